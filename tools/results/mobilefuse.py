"""The tables of docs/results/mobilefuse.md: ranks, what paints outside the sources, mask and cost.

python -m tools.results.mobilefuse --data ivif/val --out docs/results/mobilefuse.md
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

from multimodal_fusion.errors import UserError
from multimodal_fusion.evaluate.cache import Cache
from multimodal_fusion.evaluate.contenders import Contender, contenders
from multimodal_fusion.evaluate.measure import Meter, Plan, Result, Sources, measure_files
from multimodal_fusion.evaluate.metrics import SourcePair, Triple, evaluate
from multimodal_fusion.evaluate.report import markdown_table
from multimodal_fusion.evaluate.summary import PROTOCOLS, rank, results, summarise
from multimodal_fusion.evaluate.timing import interleave
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.host.machine import cpu_name
from multimodal_fusion.host.progress import progress
from multimodal_fusion.io.datasets import PairFiles, find_pairs
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.io.whole_files import whole_file
from multimodal_fusion.pipeline.preparation import Preparation

SCALES = (1.0, 0.5, 0.25)
METRICS = PROTOCOLS['vifb-rank'].ranked
ROUNDS = 15


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m tools.results.mobilefuse')
    parser.add_argument('--data', type=Path, required=True, help='folder of pairs, as ivif/val')
    parser.add_argument('--out', type=Path, required=True, help='Markdown file to write')
    parser.add_argument(
        '--models',
        default='wavelet_max,ifcnn,mobilefuse',
        help='to rank, by comma: names or .onnx paths; those called mobilefuse and ifcnn are timed',
    )
    parser.add_argument('--every', type=int, default=4, help='clip every n-th pair (default: 4)')
    parser.add_argument('--jobs', type=int, default=1, help='processes (default: 1)')
    parser.add_argument('--allow-unlisted', action='store_true')
    args = parser.parse_args(words)
    command = 'python -m tools.results.mobilefuse ' + shlex.join(
        sys.argv[1:] if words is None else words
    )
    rows = contenders(args.models.split(','), [], False, args.allow_unlisted, mask_scale=1.0)
    by_name = {row.name: row for row in rows}
    if not {'mobilefuse', 'ifcnn'} <= by_name.keys():
        raise UserError(f'--models must have mobilefuse and ifcnn, got {", ".join(by_name)}')
    blender, other = by_name['mobilefuse'], by_name['ifcnn']
    pairs = find_pairs(args.data).pairs
    scaled = [_scaled(blender, scale) for scale in SCALES]
    plan = Plan(
        (*rows, *scaled),
        'vifb',
        METRICS,
        Preparation(),
        cache=Cache.default_folder(),
    )
    measured = list(progress(measure_files(pairs, plan, args.jobs), len(pairs)))
    if bad := [result for result in measured if result.message]:
        raise UserError(f'{bad[0].stem}: {bad[0].message}')
    meter = Meter(plan)
    clipped = clip(pairs[:: args.every], meter, rows, scaled)
    name = '/'.join(args.data.resolve().parts[-2:])
    found = results(
        command, {'name': name, 'kind': 'folders'}, measured, rows, 'vifb', METRICS, 'vifb-rank'
    )
    cv2.setNumThreads(2)
    samples = (Sources.read(pair, plan) for pair in pairs)
    sizes = [s for s in samples if s.thermal.shape == (480, 640)][:ROUNDS]
    sections = [
        f'# MobileFuse on {name}\n\n    {command}\n',
        '## Ranks\n\n' + markdown_table(found),
        outside_table(clipped, rows),
    ]
    if sizes:
        sections += [
            rate_table([blender, other], sizes[0]),
            scale_table(measured, clipped.likeness, scaled, sizes),
        ]
    with whole_file(args.out) as temporary:
        temporary.write_text('\n'.join(sections))
    print(args.out)
    return 0


def _scaled(blender: Contender, scale: float) -> Contender:
    return dataclasses.replace(
        blender,
        name=f'mask at {scale:g}',
        identity=f'{blender.sha256} {scale:g}',
        mask_scale=scale,
    )


@dataclasses.dataclass(frozen=True)
class Clipped:
    """Images clipped to their sources. before, after: metrics. outside: share of pixels, summed
    over the images, that clipping moves by more than one grey level, so that rounding does not
    count. likeness: SSIM of what a reduced mask blends to what the whole one does."""

    before: list[Result]
    after: list[Result]
    outside: dict[str, float]
    likeness: dict[str, list[float]]


def clip(
    pairs: Sequence[PairFiles], meter: Meter, rows: Sequence[Contender], scaled: Sequence[Contender]
) -> Clipped:
    """What becomes of the images of ``rows`` when each pixel is put between its sources."""
    found = Clipped([], [], {c.name: 0.0 for c in rows}, {c.name: [] for c in scaled})
    for pair in progress(pairs):
        sources = Sources.read(pair, meter.plan)
        grey = luma(sources.visible)
        low, high = np.minimum(sources.thermal, grey), np.maximum(sources.thermal, grey)
        before, after = {}, {}
        for row in rows:
            fused = luma(meter.fuse(row, pair.stem, sources))
            inside = np.clip(fused, low, high)
            found.outside[row.name] += (cv2.absdiff(fused, inside) > 1).mean()
            before[row.name], after[row.name] = (
                evaluate(Triple(sources.pair, image), 'vifb', METRICS) for image in (fused, inside)
            )
        images = [luma(meter.fuse(row, pair.stem, sources)) for row in scaled]
        for row, image in zip(scaled, images, strict=True):
            found.likeness[row.name].append(similarity(images[0], image))
        found.before.append(Result(pair.stem, sources.thermal.shape, before))
        found.after.append(Result(pair.stem, sources.thermal.shape, after))
    return found


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two images: half of what the metric gives for (a, a) as sources and b fused."""
    return evaluate(Triple(SourcePair(a, a), b), 'ours', ('SSIM',))['SSIM'] / 2


def outside_table(found: Clipped, rows: Sequence[Contender]) -> str:
    names = [row.name for row in rows]
    before, after = (summarise(x, names, METRICS) for x in (found.before, found.after))
    ranks = [rank(summary, METRICS)[1] for summary in (before, after)]
    shown = ('AG', 'EI', 'SF', 'SD', 'MI')
    lines = [
        '## What is painted outside the sources\n',
        'A blender can only mix what is there. Share of pixels more than one grey level darker or '
        'brighter than\nboth sources; the average rank before and after every image is clipped to '
        'its sources pixel by pixel; and the\nmeans after clipping (in brackets their change). '
        f'Of {len(found.before)} pairs, evenly over the set.\n',
        '| model | outside | rank | clipped | ' + ' | '.join(shown) + ' |',
        '|---' * (4 + len(shown)) + '|',
    ]
    for name in names:
        means = [(after[name][m]['mean'], before[name][m]['mean']) for m in shown]
        cells = [f'{then:.3f} ({then - first:+.3f})' for then, first in means]
        lines.append(
            f'| {name} | {100 * found.outside[name] / len(found.before):.1f} % '
            f'| {ranks[0][name]:.2f} | {ranks[1][name]:.2f} | ' + ' | '.join(cells) + ' |'
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
    taken = {key: np.median(values, axis=0) for key, values in interleave(calls, ROUNDS).items()}
    first, second = (row.name for row in rows)
    lines = [
        '## Rate at 256x256\n',
        f'{machine()}; ONNX Runtime, grey images, mask at full\nsize, medians of {ROUNDS} '
        'interleaved rounds. Processor time is that of all threads: it says what the network\n'
        'costs where other work takes the machine away.\n',
        f'| threads | {first} | {second} | ratio | processor time | ratio |',
        '|---' * 6 + '|',
    ]
    for threads in (1, 2):
        a, b = taken[first, threads], taken[second, threads]
        rates = ' | '.join(f'{1e3 / x[0]:.1f} images/s ({x[0]:.1f} ms)' for x in (a, b))
        lines.append(
            f'| {threads} | {rates} | {b[0] / a[0]:.1f} | {a[1]:.1f} and {b[1]:.1f} ms '
            f'| {b[1] / a[1]:.1f} |'
        )
    return '\n'.join(lines) + '\n'


def scale_table(
    measured: Sequence[Result],
    likeness: dict[str, list[float]],
    scaled: Sequence[Contender],
    samples: list[Sources],
) -> str:
    """Quality and cost of the mask at reduced size; cost at 640x480 colour, rounds interleaved."""
    summary = summarise(measured, [row.name for row in scaled], METRICS)
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
    taken = {key: np.median(values, axis=0) for key, values in interleave(calls, ROUNDS).items()}
    lines = [
        '## The mask at reduced size\n',
        'Means over all pairs, metrics as above; "likeness" is the SSIM between the image and the '
        'one blended by\nthe whole mask, mean of the pairs that were clipped. Cost: the whole call '
        f'at 640x480 in colour, medians of\n{ROUNDS} interleaved rounds, on the wall and (in '
        f'brackets) of processor time; {machine()}.\n',
        '| mask_scale | ' + ' | '.join(METRICS) + ' | likeness | 1 thread | 2 threads |',
        '|---' * (len(METRICS) + 4) + '|',
    ]
    for row in scaled:
        cells = [f'{summary[row.name][m]["mean"]:.4g}' for m in METRICS]
        cells.append(f'{np.mean(likeness[row.name]):.4f}')
        for threads in (1, 2):
            wall, processor = taken[row.name, threads]
            cells.append(f'{wall:.1f} ms ({processor:.1f})')
        lines.append(f'| {row.mask_scale:g} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def machine() -> str:
    return f'{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run'


if __name__ == '__main__':
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f'tools.results.mobilefuse: {error}')
