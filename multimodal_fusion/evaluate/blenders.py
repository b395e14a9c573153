"""The tables of docs/results/mobilefuse.md: ranks, what paints outside the sources, mask and cost.

python -m multimodal_fusion.evaluate.blenders --data ivif/val --out docs/results/mobilefuse.md
"""

import argparse
import dataclasses
import itertools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..datasets import PairFiles, find_pairs
from ..errors import UserError
from ..files import whole_file
from ..fuser import Fuser
from ..images import luma
from ..machine import cpu_name
from ..parameters import checked
from ..pipeline import thermal_settings
from .contenders import Contender, contenders
from .measure import Meter, Plan, Result, Sources
from .metrics import SourcePair, Triple, evaluate
from .report import markdown_table
from .summary import PROTOCOLS, rank, results, summarise
from .timing import interleave

SCALES = (1.0, 0.5, 0.25)
METRICS = PROTOCOLS['vifb-rank']
ROUNDS = 15


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m multimodal_fusion.evaluate.blenders')
    parser.add_argument('--data', type=Path, required=True, help='folder of pairs, as ivif/val')
    parser.add_argument('--out', type=Path, required=True, help='Markdown file to write')
    parser.add_argument(
        '--models',
        default='wavelet_max,ifcnn,mobilefuse',
        help='to rank, by comma: names or .onnx paths; those called mobilefuse and ifcnn are timed',
    )
    parser.add_argument('--allow-unlisted', action='store_true')
    args = parser.parse_args(words)
    command = 'python -m multimodal_fusion.evaluate.blenders ' + shlex.join(
        sys.argv[1:] if words is None else words
    )
    rows = contenders(args.models.split(','), [], False, args.allow_unlisted, mask_scale=1.0)
    by_name = {row.name: row for row in rows}
    if not {'mobilefuse', 'ifcnn'} <= by_name.keys():
        raise UserError(f'--models must have mobilefuse and ifcnn, got {", ".join(by_name)}')
    blender, other = by_name['mobilefuse'], by_name['ifcnn']
    pairs = find_pairs(args.data).pairs
    plan = Plan(tuple(rows), 'vifb', METRICS, thermal_settings(checked({})))
    meter = Meter(plan)
    scaled = [_scaled(blender, scale) for scale in SCALES]
    measured, clipped, outside, masks = measure(pairs, plan, meter, scaled)
    name = '/'.join(args.data.resolve().parts[-2:])
    found = results(
        command, {'name': name, 'kind': 'folders'}, measured, rows, 'vifb', METRICS, 'vifb-rank'
    )
    cv2.setNumThreads(2)
    samples = [Sources.read(pair, plan) for pair in pairs]
    sizes = [s for s in samples if s.thermal.shape == (480, 640)][:ROUNDS]
    sections = [
        f'# MobileFuse on {name}\n\n    {command}\n',
        '## Ranks\n\n' + markdown_table(found),
        outside_table(found, measured, clipped, outside, rows),
    ]
    if sizes:
        sections += [
            rate_table([blender, other], sizes[0]),
            scale_table(summarise(measured, [s.name for s in scaled], METRICS), masks, scaled,
                        sizes),
        ]  # fmt: skip
    with whole_file(args.out) as temporary:
        temporary.write_text('\n'.join(sections))
    print(args.out)
    return 0


def _scaled(blender: Contender, scale: float) -> Contender:
    return dataclasses.replace(blender, name=f'mask at {scale:g}', mask_scale=scale)


def measure(
    pairs: Sequence[PairFiles], plan: Plan, meter: Meter, scaled: Sequence[Contender]
) -> tuple[list[Result], list[Result], dict[str, float], dict[str, list[float]]]:
    """(metrics, metrics of images clipped to their sources, share of pixels outside the sources,
    SSIM of the images blended by a reduced mask against those by the whole one)."""
    measured, clipped = [], []
    outside = {c.name: 0.0 for c in plan.contenders}
    masks: dict[str, list[float]] = {c.name: [] for c in scaled}
    for pair in pairs:
        sources = Sources.read(pair, plan)
        grey = luma(sources.visible)
        low, high = np.minimum(sources.thermal, grey), np.maximum(sources.thermal, grey)
        rows, within = {}, {}
        for contender in plan.contenders:
            fused = luma(meter.fuse(contender, pair.stem, sources))
            rows[contender.name] = evaluate(Triple(sources.pair, fused), 'vifb', METRICS)
            # By more than one grey level, so that rounding does not count.
            beyond = (fused > cv2.add(high, 1)) | (fused < cv2.subtract(low, 1))
            outside[contender.name] += beyond.mean() / len(pairs)
            inside = np.clip(fused, low, high)
            within[contender.name] = evaluate(Triple(sources.pair, inside), 'vifb', METRICS)
        whole = None
        for contender in scaled:
            fused = luma(meter.fuse(contender, pair.stem, sources))
            whole = fused if whole is None else whole
            rows[contender.name] = evaluate(Triple(sources.pair, fused), 'vifb', METRICS)
            masks[contender.name].append(similarity(whole, fused))
        shape = sources.thermal.shape
        measured.append(Result(pair.stem, shape, rows))
        clipped.append(Result(pair.stem, shape, within))
        print('.', end='', flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return measured, clipped, outside, masks


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two images: half of what the metric gives for (a, a) as sources and b fused."""
    return evaluate(Triple(SourcePair(a, a), b), 'ours', ('SSIM',))['SSIM'] / 2


def outside_table(
    found: dict,
    measured: Sequence[Result],
    clipped: Sequence[Result],
    outside: dict[str, float],
    rows: Sequence[Contender],
) -> str:
    names = [row.name for row in rows]
    before = summarise(measured, names, METRICS)
    after = summarise(clipped, names, METRICS)
    _, ranks = rank(after, METRICS)
    shown = ('AG', 'EI', 'SF', 'SD', 'MI')
    lines = [
        '## What is painted outside the sources\n',
        'A blender can only mix what is there. Share of pixels more than one grey level darker or '
        'brighter than\nboth sources, and the ranks when every image is clipped to its sources '
        'pixel by pixel (in brackets\nthe change of the mean by clipping):\n',
        '| model | outside | rank | rank, clipped | ' + ' | '.join(shown) + ' |',
        '|---' * (4 + len(shown)) + '|',
    ]
    for name in names:
        means = [(after[name][m]['mean'], before[name][m]['mean']) for m in shown]
        cells = [f'{then:.3f} ({then - first:+.3f})' for then, first in means]
        lines.append(
            f'| {name} | {100 * outside[name]:.1f} % | {found["average_rank"][name]:.2f} '
            f'| {ranks[name]:.2f} | ' + ' | '.join(cells) + ' |'
        )
    return '\n'.join(lines) + '\n'


def rate_table(rows: Sequence[Contender], sources: Sources) -> str:
    """Images a second at 256x256 through ONNX Runtime, grey, whole mask; rounds interleaved."""
    crop = np.s_[100:356, 200:456]
    visible, thermal = (np.ascontiguousarray(x[crop])
                        for x in (luma(sources.visible), sources.thermal))  # fmt: skip
    calls = {}
    for threads in (1, 2):
        for row in rows:
            fuser = Fuser.load(
                row.spec, threads=threads, allow_unlisted=row.allow_unlisted, mask_scale=1.0
            )
            calls[row.name, threads] = lambda f=fuser: f.fuse(visible, thermal)
    taken = {key: float(np.median(values)) for key, values in interleave(calls, ROUNDS).items()}
    first, second = (row.name for row in rows)
    lines = [
        '## Rate at 256x256\n',
        f'{machine()}; ONNX Runtime, grey images, mask at full size, medians of {ROUNDS} '
        'interleaved rounds.\n',
        f'| threads | {first} | {second} | ratio |',
        '|---' * 4 + '|',
    ]
    for threads in (1, 2):
        a, b = taken[first, threads], taken[second, threads]
        lines.append(
            f'| {threads} | {1e3 / a:.1f} images/s ({a:.1f} ms) | {1e3 / b:.1f} images/s '
            f'({b:.1f} ms) | {b / a:.1f} |'
        )
    return '\n'.join(lines) + '\n'


def scale_table(
    summary: dict, masks: dict[str, list[float]], scaled: Sequence[Contender], samples: list
) -> str:
    """Quality and cost of the mask at reduced size; cost at 640x480 colour, rounds interleaved."""
    calls = {}
    for threads in (1, 2):
        for row in scaled:
            fuser = Fuser.load(
                row.spec, threads=threads, allow_unlisted=row.allow_unlisted,
                mask_scale=row.mask_scale,
            )  # fmt: skip
            turns = itertools.cycle(samples)

            def call(fuser=fuser, turns=turns):
                sources = next(turns)
                fuser.fuse(sources.visible, sources.thermal)

            calls[row.name, threads] = call
    taken = {key: float(np.median(values)) for key, values in interleave(calls, ROUNDS).items()}
    lines = [
        '## The mask at reduced size\n',
        'Means over all pairs, metrics as above; "likeness" is the SSIM between the image and the '
        'one blended by\nthe whole mask. Cost: the whole call at 640x480 in colour, medians of '
        f'{ROUNDS} interleaved rounds,\n{machine()}.\n',
        '| mask_scale | ' + ' | '.join(METRICS) + ' | likeness | 1 thread | 2 threads |',
        '|---' * (len(METRICS) + 4) + '|',
    ]
    for row in scaled:
        cells = [f'{summary[row.name][m]["mean"]:.4g}' for m in METRICS]
        cells.append(f'{np.mean(masks[row.name]):.4f}')
        for threads in (1, 2):
            value = taken[row.name, threads]
            cells.append(f'{value:.1f} ms, {1e3 / value:.0f}/s')
        lines.append(f'| {row.mask_scale:g} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def machine() -> str:
    return f'{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run'


if __name__ == '__main__':
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f'multimodal_fusion.evaluate.blenders: {error}')
