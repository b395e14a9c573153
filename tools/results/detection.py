"""docs/results/detection.md: detectors on real labelled images and on the synthetic night road.

python -m tools.results.detection --data ivif/train --labels ivif/train/labels \
    --stems config/train/detector_split.txt --partial llvip_=person \
    --detectors yolox_nano.onnx,detector_person_car --models average,max,mmdrfuse,mmdrfuse_plus
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multimodal_fusion.errors import UserError
from multimodal_fusion.evaluate import detection
from multimodal_fusion.evaluate.average_precision import AT, Truth
from multimodal_fusion.evaluate.contenders import Contender, contenders
from multimodal_fusion.evaluate.detection import (
    _NAMES,
    INPUTS,
    Findings,
    _figure,
    detection_table,
)
from multimodal_fusion.evaluate.measure import Meter, Plan, Sources
from multimodal_fusion.host.machine import cpu_name
from multimodal_fusion.io.datasets import PairSet, find_pairs
from multimodal_fusion.io.whole_files import whole_file
from multimodal_fusion.pipeline.preparation import Preparation
from multimodal_fusion.scene import Scene

SCENE_SEEDS = range(1, 5)  # not those of config/train/detector.yaml
SCENE_FRAMES = 16  # of each

_ABOUT_IMAGES = """\
The shipped detector was not trained on them (`config/train/detector_split.txt`), but they are
few: differences of some hundredths mean nothing. The llvip images are of one scene, other images
of which were trained on, so they say little about other places. The msrs images may be from
drives that training images are from. Cars are not labelled in llvip, and not judged there."""
_ABOUT_SPEED = """\
The protocol of figure 9 of MMDRFuse on the images above: precision of pedestrian detection against
speed, in processor time; images/s counts fusion and detection."""
_ABOUT_SCENE = """\
The boxes are those of all people and cars of which at least a quarter is visible. The shipped
detector was trained on this road with other seeds (other people, buildings and noise): it knows
this world, which the stock detector has never seen. After @: the longer side of the input."""


def of_files(
    pairs: PairSet, labels: Path, stems: set[str] | None, partial: dict, plan: Plan
) -> tuple[list[Truth], dict[str, Sources]]:
    """The labelled pairs of a folder, restricted to ``stems`` if given."""
    wanted = {
        p.stem: p
        for p in pairs.pairs
        if (stems is None or p.stem in stems) and (labels / f'{p.stem}.txt').is_file()
    }
    sources = {stem: Sources.read(pair, plan) for stem, pair in wanted.items()}
    sizes = {stem: s.thermal.shape for stem, s in sources.items()}
    if not sizes:
        raise UserError(f'{labels} has labels for none of these images')
    return detection.read_truth(labels, sizes, partial), sources


def of_scene() -> tuple[list[Truth], dict[str, Sources]]:
    """Frames of the synthetic night road at 640x480 and what is visible in them."""
    truths, sources = [], {}
    for seed in SCENE_SEEDS:
        scene = Scene(seed=seed, freeze_for=0)
        for number in range(SCENE_FRAMES):
            t, stem = 3.1 * number, f'scene_{seed}_{number:02d}'
            boxes = scene.boxes(t)
            corners = np.float32([(b.x0, b.y0, b.x1, b.y1) for b in boxes]).reshape(-1, 4)
            names = tuple(b.label for b in boxes)
            truths.append(Truth(stem, corners, names, frozenset(('person', 'car'))))
            sources[stem] = Sources(scene.visible(t), scene.thermal(t))
    return truths, sources


def run_detector(name: str, truths, sources, meter: Meter, allow_unlisted: bool):
    """(detector, findings by input, milliseconds of fusion by input)."""
    detector = detection.open_detector(name, allow_unlisted)
    by_name = {c.name: c for c in meter.plan.contenders}

    def picture(stem: str, name: str) -> np.ndarray:
        if name in INPUTS:
            return getattr(sources[stem], name)
        return meter.fuse(by_name[name], stem, sources[stem])

    return detector, detection.detect_all(detector, truths, [*INPUTS, *by_name], picture)


def pedestrian_table(
    rows: Sequence[tuple[str, dict, dict[str, Findings]]], costs: dict[str, float]
) -> str:
    """People only: precision and speed, the protocol of MMDRFuse's figure 9."""
    lines = [
        '| detector | input | mAP@.5 | precision | recall | fusion ms | detection ms | images/s |',
        '|---|---|---:|---:|---:|---:|---:|---:|',
    ]
    for name, summary, findings in rows:
        for input_, scores in summary['rows'].items():
            s, taken = scores['person'], float(np.median(findings[input_].milliseconds))
            cost = costs.get(input_, 0.0)
            lines.append(
                f'| {name} | {_NAMES.get(input_, input_)} | {_figure(s["AP50"])} '
                f'| {_figure(s["precision"])} | {_figure(s["recall"])} | {cost:.1f} | {taken:.1f} '
                f'| {1000 / (cost + taken):.0f} |'
            )
    return '\n'.join(lines) + '\n'


def fusion_costs(fusers: Sequence[Contender], meter: Meter, sources: dict) -> dict[str, float]:
    """Median milliseconds of processor time of each fuser, one thread."""
    taken: dict[str, list[float]] = {fuser.name: [] for fuser in fusers}
    for stem, pair in sources.items():
        for fuser in fusers:
            start = time.thread_time()
            meter.fuse(fuser, stem, pair)
            taken[fuser.name].append((time.thread_time() - start) * 1e3)
    return {name: float(np.median(values)) for name, values in taken.items()}


def free_people(truths: Sequence[Truth], findings: dict[str, Findings]) -> str:
    """A sentence on the people that nobody and nothing with a box stands in front of."""
    recalls = {
        name: detection.recall_apart(truths, f.found, 'person', AT) for name, f in findings.items()
    }
    count = next(iter(recalls.values()))[1]
    shown = ', '.join(f'{_NAMES.get(n, n)} {recall:.3f}' for n, (recall, _) in recalls.items())
    return f'Recall among the {count} people whose box meets no other box: {shown}.\n'


def page(args: argparse.Namespace, command: str) -> str:
    fusers = contenders(args.models.split(','), [], False, args.allow_unlisted)
    plan = Plan(tuple(fusers), 'ours', (), Preparation())
    meter = Meter(plan)
    stems = None
    if args.stems:
        lines = (line.partition('#')[0].strip() for line in args.stems.read_text().splitlines())
        stems = {line for line in lines if line}
    truths, sources = of_files(
        find_pairs(args.data), args.labels, stems, detection.parse_partial(args.partial), plan
    )
    night, frames = of_scene()
    real, synthetic, people = [], [], []
    for name in args.detectors.split(','):
        print(f'{name}: {len(truths)} images, {len(night)} frames', file=sys.stderr)
        detector, findings = run_detector(name, truths, sources, meter, args.allow_unlisted)
        summary = detection.summarise(detector, truths, findings, AT)
        real.append(detection_table(summary))
        people.append((detector.name, summary, findings))
        detector, findings = run_detector(name, night, frames, meter, args.allow_unlisted)
        synthetic.append(detection_table(detection.summarise(detector, night, findings, AT)))
        synthetic.append(free_people(night, findings))
    costs = fusion_costs(fusers, meter, sources)
    kinds = sorted({stem.partition('_')[0] for stem in sources})
    counts = ', '.join(f'{sum(s.startswith(k) for s in sources)} of {k}' for k in kinds)
    return '\n'.join(
        [
            '# Detection through fusion\n',
            'On roads that it has never seen the shipped detector finds far fewer people than '
            'these tables say:\n[detection_elsewhere.md](detection_elsewhere.md).\n',
            f'    {command}\n',
            '## Images with boxes by people\n',
            f'{len(sources)} images: {counts}. {_ABOUT_IMAGES}\n',
            *real,
            '## People: precision and speed\n',
            f'{_ABOUT_SPEED} One thread of {cpu_name()}, median over images.\n',
            pedestrian_table(people, costs),
            '## The synthetic night road\n',
            f'{len(night)} frames of 640x480. {_ABOUT_SCENE}\n',
            *synthetic,
        ]
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog='python -m tools.results.detection', description=__doc__)
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--labels', type=Path, required=True)
    parser.add_argument('--stems', type=Path)
    parser.add_argument('--partial', action='append', default=[])
    parser.add_argument('--detectors', default='detector_person_car')
    parser.add_argument('--models', default='average,max,mmdrfuse,mmdrfuse_plus')
    parser.add_argument('--allow-unlisted', action='store_true')
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        shown = shlex.join(['python', '-m', 'tools.results.detection', *arguments])
        text = page(args, shown)
    except UserError as error:
        print(f'detection_table: {error}', file=sys.stderr)
        return 2
    with whole_file(args.out) as temporary:
        temporary.write_text(text)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
