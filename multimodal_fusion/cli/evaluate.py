"""Score fusers on image pairs or on a bag, and write a report."""

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..evaluate.average_precision import AT
from ..evaluate.cache import Cache
from ..evaluate.collection.run import evaluate_collection
from ..evaluate.collection.tasks import Collection
from ..evaluate.metrics import DEFINITIONS
from ..evaluate.run import BoxJob, Job, MaskJob, evaluate
from ..evaluate.sheet import SheetRow
from ..evaluate.summary import PROTOCOLS
from ..io.whole_files import make_folder
from . import options

HELP = 'Score fusers on image pairs or on a bag: metrics with intervals, ranks, cost, a report.'
EXAMPLE = (
    'python -m multimodal_fusion evaluate --data ivif/val --models mmdrfuse_plus,my.onnx '
    '--allow-unlisted --out report'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        '--data', type=options.source, help='folder of a data set, such as DATA/vis, DATA/ir'
    )
    data.add_argument('--bag', type=options.source, help='rosbag2: folder, .mcap or .db3')
    options.add_bags(data)
    options.add_sets(data)
    options.add_stems(parser)
    parser.add_argument('--out', '-o', type=Path, required=True, help='folder for the report')
    parser.add_argument('--models', default='default', help='names or .onnx paths, by comma')
    parser.add_argument(
        '--fused', type=Path, action='append', default=[], metavar='DIR',
        help='fused images that somebody else made, by stem; may be given again',
    )  # fmt: skip
    parser.add_argument(
        '--definition', choices=list(DEFINITIONS), help='whose metrics (default: ours)'
    )
    parser.add_argument(
        '--metrics',
        help='names by comma (default: all of the definition), FILE.py:NAME for your own',
    )
    parser.add_argument('--protocol', choices=list(PROTOCOLS), help='metrics and ranks of a paper')
    parser.add_argument('--no-baselines', action='store_true', help='only what --models names')
    parser.add_argument('--no-cache', action='store_true', help='measure everything anew')
    parser.add_argument('--no-timing', action='store_true', help='leave the cost out')
    parser.add_argument(
        '--sheet',
        metavar='STEMS',
        help='also sheet.jpg: these images, by comma, of every method; STEM:X:Y shows what is '
        'around a place at full size',
    )
    options.add_jobs(parser)
    parser.add_argument(
        '--every',
        type=float,
        help='of a bag: seconds between measured pairs (default: 1, more for over 5 minutes)',
    )
    options.add_collection(parser)
    parser.add_argument(
        '--flicker', action='store_true', help='with --bags: fuse every pair, to measure flicker'
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
        '--class-map', action='append', default=[], metavar='LABEL=CLASS',
        help='a class of the labels is this one of the detector, as people=person; may be given '
        'again',
    )  # fmt: skip
    boxes.add_argument(
        '--detector-score', type=float, default=AT,
        help=f'least score for recall, precision and pictures (default: {AT})',
    )  # fmt: skip
    masks = parser.add_argument_group('segmentation')
    masks.add_argument(
        '--segmenter', metavar='MODEL',
        help='segmenter, by name or .onnx, to see through the fusers',
    )  # fmt: skip
    masks.add_argument(
        '--masks', type=Path, metavar='DIR',
        help="masks by people, as STEM.png of the segmenter's numbers, 255 for what nobody knows; "
        'or of numbers that classes.txt there or above names',
    )  # fmt: skip
    parser.add_argument('--json', action='store_true', help='print the results as JSON')
    options.add_parameters(parser, 'model.allow_unlisted')
    options.add_pipeline(parser)
    options.add_bag(parser)


def _job(args: argparse.Namespace) -> Job:
    return Job(
        data=args.data,
        bag=args.bag,
        stems=args.stems,
        without=args.without,
        models=_names(args.models),
        fused=tuple(args.fused),
        baselines=not args.no_baselines,
        parameters=options.parameters(args),
        definition=args.definition,
        metrics=tuple(args.metrics.split(',')) if args.metrics else (),
        protocol=args.protocol,
        rgb_topic=args.rgb_topic,
        thermal_topic=args.thermal_topic,
        every=args.every,
        jobs=args.jobs,
        cache=None if args.no_cache else Cache.default_folder(),
        timing=not args.no_timing,
        command=command_of(args),
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(',') if name.strip())
    if not names:
        raise UserError(f'--models is {text!r}; give names or .onnx paths, by comma')
    return names


def _collection(args: argparse.Namespace) -> int:
    for option in ('stems', 'without', 'fused', 'sheet', 'labels', 'masks'):
        if getattr(args, option):
            raise UserError(f'--{option} is of one folder of pairs: give it with --data')
    if args.flicker and args.sets:
        raise UserError('--flicker is of bags: pairs of a data set do not follow on each other')
    found = evaluate_collection(
        _job(args),
        Collection.find(args.bags, args.sets),
        args.out,
        options.executor(args),
        args.stretch,
        options.choice(args),
        args.flicker,
    )
    whole, kind = found.results['all'], found.results['of']
    if args.json:
        print(json.dumps(found.results, indent=2))
    else:
        print(
            f'{found.results[f"{kind}s"]} {found.results["data"]["kind"]}, '
            f'{found.results["hours"]:.2f} hours: '
            f'{whole["pairs"]} pairs, {whole["measured"]} measured, {whole["lost"]} frames lost; '
            f'{len(found.results["left_out"])} left out, {len(found.failed)} stretches not done'
        )
        print(found.table())
        print(f'look at: {args.out}/report.html, {args.out}/frames.parquet')
    return 1 if found.failed else 0  # the same command does the rest


def run(args: argparse.Namespace) -> int:
    if (args.detector is None) != (args.labels is None):
        raise UserError('--detector and --labels go together, with --data')
    boxes = args.detector and BoxJob(
        args.detector,
        args.labels,
        tuple(args.partial),
        args.detector_score,
        tuple(args.class_map),
    )
    if (args.segmenter is None) != (args.masks is None):
        raise UserError('--segmenter and --masks go together, with --data')
    masks = MaskJob(args.segmenter, args.masks) if args.segmenter else None
    if args.bags or args.sets:
        return _collection(args)
    options.no_collection(args)
    sheet = [SheetRow.parse(text) for text in args.sheet.split(',')] if args.sheet else []
    make_folder(args.out)  # before any work: it may not be writable
    found = evaluate(replace(_job(args), boxes=boxes or None, masks=masks))
    for result in found.left_out:
        print(f'{result.stem} is left out: {result.message}', file=sys.stderr)
    found.write(args.out, sheet)
    if args.json:
        print(json.dumps(found.results))
    else:
        print(found.table())
        print(f'written to {args.out}: report.html, results.json, per_image.csv, table.md')
    return 0


def command_of(args: argparse.Namespace) -> str:
    """The command that makes these results: without what decides nothing about them."""
    words, skip = ['python -m multimodal_fusion'], False
    for word in args.argv:
        if skip or word in ('--json', '--no-cache', '--no-timing'):
            skip = False
        elif word in ('--out', '-o', '--jobs', '--cluster'):
            skip = True
        elif not word.startswith(('--out=', '--jobs=', '-o=', '--cluster=')):
            words.append(shlex.quote(word))
    return ' '.join(words)
