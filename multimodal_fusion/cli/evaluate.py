"""Score fusers on image pairs or on a bag, and write a report."""

import argparse
import difflib
import json
import os
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np

from .. import offline
from ..bag import open_bag
from ..datasets import find_pairs
from ..detector import draw
from ..errors import UserError
from ..evaluate import detection
from ..evaluate.bag_run import measure_bag
from ..evaluate.cache import Cache
from ..evaluate.contenders import contenders
from ..evaluate.detection_table import detection_table
from ..evaluate.measure import Meter, Plan, Sources, measure_files
from ..evaluate.metrics import DEFINITIONS, metric_names
from ..evaluate.report import markdown_table, write_report
from ..evaluate.sheet import contact_sheet
from ..evaluate.summary import PROTOCOLS, finite, per_image_csv, results
from ..evaluate.timing import time_fusion
from ..files import make_folder, whole_file
from ..image_files import side_by_side
from ..pipeline import thermal_settings
from . import options
from .progress import progress

HELP = 'Score fusers on image pairs or on a bag: metrics with intervals, ranks, cost, a report.'
EXAMPLE = (
    'python -m multimodal_fusion evaluate --data ivif/val --models mmdrfuse_plus,my.onnx '
    '--allow-unlisted --out report'
)

_TIMED = 5  # images that fusion is timed on
_SHOWN = 6  # pictures of what only the fused image shows
_SAMPLES = 300  # pairs of a bag that are measured, unless --every says otherwise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument('--data', type=Path, help='folder of a data set, such as DATA/vis, DATA/ir')
    data.add_argument('--bag', type=Path, help='rosbag2: folder, .mcap or .db3')
    parser.add_argument('--out', '-o', type=Path, required=True, help='folder for the report')
    parser.add_argument('--models', default='default', help='names or .onnx paths, by comma')
    parser.add_argument(
        '--fused', type=Path, action='append', default=[], metavar='DIR',
        help='fused images that somebody else made, by stem; may be given again',
    )  # fmt: skip
    parser.add_argument(
        '--definition', choices=list(DEFINITIONS), help='whose metrics (default: ours)'
    )
    parser.add_argument('--metrics', help='names by comma (default: all of the definition)')
    parser.add_argument('--protocol', choices=list(PROTOCOLS), help='metrics and ranks of a paper')
    parser.add_argument('--no-baselines', action='store_true', help='only what --models names')
    parser.add_argument('--no-cache', action='store_true', help='measure everything anew')
    parser.add_argument('--no-timing', action='store_true', help='leave the cost out')
    parser.add_argument(
        '--sheet', metavar='STEMS', help='also sheet.jpg: these images, by comma, of every method'
    )
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='processes')
    parser.add_argument(
        '--every',
        type=float,
        help='of a bag: seconds between measured pairs (default: 1, more for over 5 minutes)',
    )
    boxes = parser.add_argument_group('detection (needs pycocotools)')
    boxes.add_argument(
        '--detector',
        metavar='MODEL[@SIZE]',
        help='detector, by name or .onnx, to see through the fusers; SIZE: of its input',
    )
    boxes.add_argument(
        '--labels', type=Path, metavar='DIR',
        help='boxes by people, as STEM.txt of "class cx cy w h", with classes.txt there or above',
    )  # fmt: skip
    boxes.add_argument(
        '--partial', action='append', default=[], metavar='STEM=CLASSES',
        help='where stems begin so, only these classes are labelled; may be given again',
    )  # fmt: skip
    boxes.add_argument(
        '--detector-score', type=float, default=detection.AT,
        help=f'least score for recall, precision and pictures (default: {detection.AT})',
    )  # fmt: skip
    parser.add_argument('--json', action='store_true', help='print the results as JSON')
    parser.add_argument('--allow-unlisted', action='store_true', default=None,
                        help='load models that models.yaml does not list')  # fmt: skip
    options.add_mask_scale(parser)
    options.add_thermal(parser)
    options.add_bag(parser)


def run(args: argparse.Namespace) -> int:
    if (args.detector is None) != (args.labels is None) or (args.labels and args.bag):
        raise UserError('--detector and --labels go together, with --data')
    detector = args.detector and detection.open_detector(args.detector, bool(args.allow_unlisted))
    definition, metrics = choose_metrics(args)
    values = options.parameters(args)
    rows = contenders(
        args.models.split(','),
        args.fused,
        not args.no_baselines,
        bool(args.allow_unlisted),
        values['model.mask_scale'],
    )
    plan = Plan(
        contenders=tuple(rows),
        definition=definition,
        metrics=metrics,
        thermal=thermal_settings(values),
        registration=values['registration.mode'],
        cache=None if args.no_cache else Cache.default_folder(),
    )
    make_folder(args.out)
    meter = Meter(plan)
    if args.data is not None:
        data, measured, sequence, picture, samples = on_folders(args, plan, meter)
    else:
        data, measured, sequence, picture, samples = on_bag(args, values, meter)
    bad = [result for result in measured if result.message]
    for result in bad:
        print(f'{result.stem} is left out: {result.message}', file=sys.stderr)
    if len(bad) == len(measured):
        raise UserError(f'none of the {len(measured)} pairs could be measured')
    found = results(
        command_of(args), data, measured, rows, definition, metrics, args.protocol, sequence
    )
    timing = {} if args.no_timing else time_fusion(rows, meter, samples)
    seen = detect(args, detector, found, timing, picture) if detector else []
    write(args.out, found, timing, picture, seen)
    if args.sheet:
        write_sheet(args.out / 'sheet.jpg', args.sheet.split(','), found, picture)
    print(json.dumps(found) if args.json else markdown_table(found, timing or None))
    if detector and not args.json:
        print(detection_table(found['detection']))
    if not args.json:
        print(f'written to {args.out}: report.html, results.json, per_image.csv, table.md')
    return 2 if bad else 0


def choose_metrics(args: argparse.Namespace) -> tuple[str, tuple[str, ...]]:
    """The definition and the metrics asked for. Raises UserError."""
    definition = args.definition or ('vifb' if args.protocol == 'vifb-rank' else 'ours')
    known = metric_names(definition)
    if args.metrics:
        names = tuple(args.metrics.split(','))
    else:
        names = PROTOCOLS.get(args.protocol) or tuple(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f'the definition {definition} has no metric {unknown[0]!r}; it has {", ".join(known)}'
        )
    return definition, tuple(names)


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
    options.warn(run_.notice)
    for sentence in run_.told.values():
        options.warn(sentence)
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


def command_of(args: argparse.Namespace) -> str:
    """The command that makes these results: without what decides nothing about them."""
    words, skip = ['python -m multimodal_fusion'], False
    for word in args.argv:
        if skip or word in ('--json', '--no-cache', '--no-timing'):
            skip = False
        elif word in ('--out', '-o', '--jobs'):
            skip = True
        elif not word.startswith(('--out=', '--jobs=', '-o=')):
            words.append(shlex.quote(word))
    return ' '.join(words)


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
