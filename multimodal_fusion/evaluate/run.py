"""An evaluation from its sources to its files."""

import argparse
import difflib
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from ..detect.detection import draw
from ..errors import UserError
from ..host.progress import progress, warn
from ..io.bag import open_bag
from ..io.datasets import find_pairs
from ..io.pixels import side_by_side
from ..io.whole_files import whole_file
from ..pipeline import offline
from . import detection
from .bags import measure_bag
from .detection import detection_table
from .measure import Meter, Plan, Sources, measure_files
from .report import markdown_table, write_report
from .sheet import contact_sheet
from .summary import finite, per_image_csv

_TIMED = 5  # images that fusion is timed on


_SHOWN = 6  # pictures of what only the fused image shows


_SAMPLES = 300  # pairs of a bag that are measured, unless --every says otherwise


def on_folders(args: argparse.Namespace, plan: Plan, meter: Meter):
    """(data, results, sequence, picture, samples) for a folder of pairs."""
    found = find_pairs(args.data)
    if found.alone:
        print(
            f'{len(found.alone)} images have no partner and are left out: '
            f'{", ".join(found.alone[:5])}{" …" if len(found.alone) > 5 else ""}',
            file=sys.stderr,
        )
    jobs = max(1, min(args.jobs, len(found.pairs)))
    measured = list(progress(measure_files(found.pairs, plan, jobs), len(found.pairs)))
    by_stem = {pair.stem: pair for pair in found.pairs}
    good = [result.stem for result in measured if not result.message]
    samples = [Sources.read(by_stem[stem], plan) for stem in spread(good, _TIMED)]
    name = '/'.join(args.data.resolve().parts[-2:])
    return (
        {'name': name, 'kind': 'folders', 'layout': found.layout},
        measured,
        None,
        lambda stem, name: picture_of(meter, stem, name, Sources.read(by_stem[stem], plan)),
        samples,
    )


def on_bag(args: argparse.Namespace, values: dict, meter: Meter):
    """(data, results, sequence, picture, samples) for a bag."""
    with open_bag(args.bag) as bag:
        topics = bag.choose(args.rgb_topic, args.thermal_topic)
        run_ = offline.Offline(bag, topics, values)
        every = max(1.0, bag.duration / _SAMPLES) if args.every is None else args.every
        measured, sequence, kept = measure_bag(
            run_, meter, values, every, lambda steps: progress(steps, unit='messages')
        )
    warn(run_.notice)
    for sentence in run_.told.values():
        warn(sentence)
    if not measured:
        apart = sequence['apparent_offset_s']
        raise UserError(
            f'{args.bag} gave no pair: {run_.why_nothing()}'
            + (f', the stamps are {apart} s apart' if apart and not run_.told else '')
        )
    samples = [kept.get(stem) for stem in spread(kept.stems(), _TIMED)]
    return (
        {'name': args.bag.name, 'kind': 'bag', 'topics': [topics.rgb, topics.thermal]},
        measured,
        sequence,
        lambda stem, name: picture_of(meter, stem, name, kept.get(stem)),
        samples,
    )


def detect(args, detector, found: dict, timing: dict, picture) -> list:
    """Add detection to the results and its cost to the timing; returns (caption, picture) of
    objects that only the fused image shows."""
    sizes = {image['stem']: (image['height'], image['width']) for image in found['images']}
    truths = detection.read_truth(args.labels, sizes, detection.parse_partial(args.partial))
    models = [model['name'] for model in found['models'] if model['source'] != 'source']
    findings = detection.detect_all(detector, truths, [*detection.INPUTS, *models], picture)
    at = args.detector_score
    found['detection'] = finite(detection.summarise(detector, truths, findings, at))
    if timing:
        timing['detection'] = {
            name: round(float(np.median(f.milliseconds)), 3) for name, f in findings.items()
        }
    own = [model['name'] for model in found['models'] if not model['baseline']]
    fused = (own or models)[0]

    def marked(stem: str, name: str) -> np.ndarray:
        sure = [d for d in findings[name].found[stem] if d.score >= at]
        return draw(picture(stem, name), sure)

    return [
        (
            f'{stem}: {boxes} in {fused} only (RGB, thermal, {fused})',
            side_by_side([marked(stem, name) for name in (*detection.INPUTS, fused)]),
        )
        for stem, boxes in detection.only_fused(truths, findings, fused, at)[:_SHOWN]
    ]


def spread(items: list, count: int) -> list:
    """At most ``count`` items, evenly from first to last."""
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, min(count, len(items)))]


def picture_of(meter: Meter, stem: str, name: str, sources: Sources) -> np.ndarray:
    """What the report shows under a name: a source or a contender's picture."""
    if name in ('visible', 'thermal'):
        return getattr(sources, name)
    contender = next(c for c in meter.plan.contenders if c.name == name)
    return meter.fuse(contender, stem, sources)


def write(out: Path, found: dict, timing: dict, picture, seen=()) -> None:
    """The report's files, each whole or absent."""
    texts = {
        'results.json': json.dumps(found, indent=1, allow_nan=False) + '\n',
        'timing.json': json.dumps(timing, indent=1) + '\n',
        'per_image.csv': per_image_csv(found),
        'table.md': f'# {found["data"]["name"]}\n\n    {found["command"]}\n\n'
        + markdown_table(found, timing or None)
        + (f'\n{detection_table(found["detection"])}' if 'detection' in found else ''),
    }
    for name, text in texts.items():
        with whole_file(out / name) as temporary:
            temporary.write_text(text)
    with whole_file(out / 'report.html') as temporary:
        write_report(temporary, found, timing, picture, seen)


def write_sheet(path: Path, stems: list[str], found: dict, picture) -> None:
    """The sources and every method's picture of some images. Raises UserError."""
    known = [image['stem'] for image in found['images']]
    for stem in stems:
        if stem not in known:
            near = difflib.get_close_matches(stem, known, 1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise UserError(f'--sheet: no image {stem!r} was measured{hint}')
    names = dict.fromkeys(('thermal', 'visible', *(model['name'] for model in found['models'])))
    with whole_file(path) as temporary:
        sheet = contact_sheet(stems, list(names), picture)
        temporary.write_bytes(cv2.imencode('.jpg', sheet, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])
