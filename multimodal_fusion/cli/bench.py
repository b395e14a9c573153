"""Measure what fusion costs on this machine."""

import argparse
import importlib
import importlib.util
import json
from datetime import date
from pathlib import Path

from .. import __version__
from ..errors import UserError
from ..host.machine import cpu_name
from ..io.text_files import read_text

HELP = 'Measure fusers beside the physical floor of this machine; or the node, or a link.'
EXAMPLE = 'python -m multimodal_fusion bench --sizes 640x480 --threads 1,2 --json > bench.json'

SIZES = '256x256,640x480,640x512,1280x1024,1920x1080'
MODELS = 'max,laplacian,mmdrfuse,mmdrfuse_plus,mmdrfuse_pyramid'
INPUTS = ('luma', 'colour')
# Beside the fusers, each a module of benchmark/ with add_arguments(parser) and run(args).
MODES = {
    'agreement': 'pixels of the compiled kernel beside those of ONNX Runtime',
    'node': 'the node as a process, over DDS: latency, rate, CPU, memory',
    'warp': 'registration, one thread, a frame',
    'bandwidth': 'MB/s of fusing here or there, for a data set and rate',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    purposes = '; '.join(f'{mode}: {purpose}' for mode, purpose in MODES.items())
    parser.add_argument(
        'mode', nargs='?', choices=('fusers', *MODES), default='fusers',
        help=f'fusers (the default): beside the floor of this machine; {purposes}',
    )  # fmt: skip
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')
    fusers = parser.add_argument_group('fusers (the default)')
    fusers.add_argument('--models', default=MODELS, help=f'names, .onnx paths (default: {MODELS})')
    fusers.add_argument('--sizes', default=SIZES, help=f'default: {SIZES}')
    fusers.add_argument('--threads', default='1,2', help='default: 1,2')
    fusers.add_argument('--input', default=','.join(INPUTS), help='of luma, colour (default: both)')
    fusers.add_argument('--provider', default='cpu', help='of cpu, cuda, tensorrt, where present')
    fusers.add_argument('--rounds', type=int, default=20, help='of five frames each (default: 20)')
    fusers.add_argument('--no-torch', action='store_true', help='leave out the rows of PyTorch')
    fusers.add_argument('--compare', type=Path, help='figures of an earlier run, from --json')
    fusers.add_argument('--allow-unlisted', action='store_true', help='of .onnx paths')
    for mode in MODES:
        if (module := _mode(mode)) is not None:
            module.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.mode in MODES:
        module = _mode(args.mode)
        if module is None:
            raise UserError(f'bench {args.mode} is not part of this installation')
        return module.run(args)
    from ..benchmark import fusers, table

    earlier = read_figures(args.compare) if args.compare else None
    plan = fusers.BenchPlan(
        models=args.models.split(','),
        providers=fusers.providers_present(args.provider.split(',')),
        sizes=[fusers.parse_size(text) for text in args.sizes.split(',')],
        threads=[_count(text, '--threads') for text in args.threads.split(',')],
        inputs=args.input.split(','),
        rounds=_count(str(args.rounds), '--rounds'),
        allow_unlisted=args.allow_unlisted,
        pytorch=not args.no_torch,
    )
    unknown = [name for name in plan.inputs if name not in INPUTS]
    if unknown:
        raise UserError(f'--input has {unknown[0]!r}; name of {", ".join(INPUTS)}')
    figures = {
        'version': __version__,
        'machine': cpu_name(),
        'date': date.today().isoformat(),
        'rounds': plan.rounds,
        **fusers.measure_all(plan),
    }
    if args.json:
        print(json.dumps(figures, indent=1))
    elif earlier:
        print(table.comparison(earlier, figures))
    else:
        print(f'{figures["machine"]}, {figures["date"]}, {plan.rounds} rounds\n')
        print(table.table(figures))
    return 0


def read_figures(path: Path) -> dict:
    """The figures that --json printed. Raises UserError."""
    try:
        figures = json.loads(read_text(path, 'the figures'))
        if not figures['rows'] or not figures['floors']:
            raise ValueError('no rows')
        return figures
    except UserError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{path} does not hold what "bench --json" prints ({error}); make it with '
            '"python -m multimodal_fusion bench --json > FILE"'
        ) from error


def _count(text: str, option: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f'{option} has {text!r}; give whole numbers from 1 on')
    return int(text)


def _mode(mode: str):
    """The module of a mode."""
    name = f'multimodal_fusion.benchmark.{mode}'
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
