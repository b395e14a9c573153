"""Options that several commands share."""

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..evaluate.collection.stretches import LENGTH
from ..evaluate.collection.tasks import Choice
from ..host.progress import warn
from ..host.workers import cluster, local
from ..io.places import place
from ..io.text_files import parse_yaml
from ..pipeline.pipeline import Pipeline, build
from ..pipeline.settings import TABLE, Settings, checked, from_file
from ..pipeline.temperature import told_by

# Options that are parameters of the node. Their type, choices, default and help come from there.
MODEL = ('model.name', 'model.allow_unlisted', 'model.provider', 'model.threads', 'model.compiled')
_NAMES = {'model.name': '--model', 'registration.mode': '--registration'}


def source(text: str) -> Any:
    """The type of an option that names what is read: here, or remote (see `io.places`)."""
    try:
        return place(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_parameters(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options for parameters, by the last part of their names: ``--slop`` for ``sync.slop``.

    A boolean that is on by default gets ``--no-...``. What is not given stays None.
    """
    for parameter in map(TABLE.__getitem__, names):
        leaf = parameter.name.partition('.')[2]
        option = _NAMES.get(parameter.name, '--' + leaf.replace('_', '-'))
        help_ = f'{parameter.name}: {parameter.description}'.replace('%', '%%')
        if isinstance(parameter.default, bool):
            on = parameter.default
            parser.add_argument(
                option.replace('--', '--no-') if on else option,
                dest=parameter.name,
                action='store_false' if on else 'store_true',
                default=None,
                help=f'false for {help_}' if on else help_,
            )
        else:
            limits = ', '.join(filter(None, (parameter.range_text(), parameter.unit)))
            parser.add_argument(
                option,
                dest=parameter.name,
                type=type(parameter.default),
                metavar=leaf.upper(),
                help=f'{help_} ({limits}{"; " * bool(limits)}default: {parameter.default})',
            )


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """What every command has that prepares thermal images and registers them."""
    parser.add_argument(
        '--thermal-range',
        metavar='RANGE',
        help='auto (default: 8-bit stays, 16-bit by percentile), percentile, minmax, plateau, or '
        'MIN:MAX in counts (of files that hold degrees, in degrees Celsius: 20:40)',
    )
    add_parameters(
        parser, 'thermal.polarity', 'registration.mode', 'model.mask_scale', 'input.max_pixels'
    )
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Any parameter of the node: from its file, or one by one."""
    parser.add_argument('--params', type=Path, help='parameter file of the node; options override')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='any other parameter of the node, such as thermal.memory=0.5; may be given again',
    )


def add_bag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rgb-topic', help='of the bag, if its name does not tell')
    parser.add_argument('--thermal-topic', help='of the bag, if its name does not tell')
    add_parameters(parser, 'sync.slop', 'sync.thermal_time_offset')


def add_bags(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        '--bags', metavar='PATTERN',
        help='many: a pattern ("flights/**/*.mcap", s3://...), a folder, or a file of names',
    )  # fmt: skip


def add_sets(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        '--sets', metavar='PATTERN',
        help='many folders as of --data: a pattern ("share/*", s3://...), a folder of them, or a '
        'file of names',
    )  # fmt: skip


def add_workers(parser: argparse._ActionsContainer) -> None:
    """What works on a collection; see `executor`."""
    parser.add_argument(
        '--cluster', metavar='tcp://HOST:PORT',
        help="of a collection: Dask's scheduler; else processes of this machine, see --jobs",
    )  # fmt: skip


def add_jobs(parser: argparse._ActionsContainer) -> None:
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='processes')


def add_collection(parser: argparse.ArgumentParser) -> None:
    """How a collection is cut, and which parts of it are worked on; see `collection`."""
    many = parser.add_argument_group('collections (--bags, --sets)')
    add_workers(many)
    many.add_argument(
        '--stretch', type=float, default=LENGTH, metavar='SECONDS',
        help=f'bags are cut into these (default: {LENGTH:g})',
    )  # fmt: skip
    many.add_argument('--limit', type=int, help='this many stretches at most')
    many.add_argument('--sample', type=float, default=1.0, help='a share of the stretches, 0 to 1')
    many.add_argument('--seed', type=int, default=0, help='of --sample (default: 0)')


def no_collection(args: argparse.Namespace) -> None:
    """Raises UserError for options of `add_collection` where there is none."""
    usual = {'cluster': None, 'stretch': LENGTH, 'limit': None, 'sample': 1.0, 'seed': 0}
    for name, default in {**usual, 'flicker': False}.items():
        if getattr(args, name, default) != default:
            raise UserError(f'--{name} is of collections: give it with --bags or --sets')


def choice(args: argparse.Namespace) -> Choice:
    """Raises UserError."""
    return Choice(args.sample, args.seed, args.limit)


def executor(args: argparse.Namespace) -> Callable[[], Any]:
    """What makes the executor of --cluster or --jobs. Raises UserError."""
    if args.jobs < 1:
        raise UserError(f'--jobs is {args.jobs}; give at least 1')
    return partial(cluster, args.cluster) if args.cluster else partial(local, args.jobs)


def add_stems(parser: argparse.ArgumentParser) -> None:
    """Which pairs of a folder: see `io.stems`."""
    parser.add_argument(
        '--stems', type=Path, metavar='FILE', help='only the pairs it names, a stem on each line'
    )
    parser.add_argument(
        '--without', type=Path, metavar='FILE', help='all but the pairs it names, such as '
        'config/train/ivif_test.txt'
    )  # fmt: skip


def parameters(args: argparse.Namespace, **fixed: Any) -> dict[str, Any]:
    """Node parameters by name: from the options, else from --set, else from --params.

    fixed: what this command has to have, such as ``thermal_memory=0.0``. Raises UserError.
    """
    values = from_file(args.params) if args.params else {}
    for text in args.set:
        name, equals, value = text.partition('=')
        if not equals:
            raise UserError(f'--set is {text!r}; give NAME=VALUE, such as sync.slop=0.05')
        values[name] = parse_yaml(value, f'--set {name}')
    given = {name: value for name, value in vars(args).items() if name in TABLE}
    values |= {name: value for name, value in given.items() if value is not None}
    if getattr(args, 'thermal_range', None):
        values |= thermal_range(args.thermal_range)
    return values | {name.replace('_', '.', 1): value for name, value in fixed.items()}


def without_cameras(settings: Settings) -> None:
    """Say what files, which have no camera_info, cannot do."""
    if settings.registration.undistort:
        warn('registration.undistort needs camera_info, which files have none of: it does nothing')


def settings(args: argparse.Namespace, thermal: Path | None = None, **fixed: Any) -> Settings:
    """As `parameters`, over the defaults and checked. thermal: a file that may tell how its counts
    are temperatures. Raises UserError."""
    values = parameters(args, **fixed)
    told = told_by(thermal, values) if thermal else {}
    return checked(told | values)


def thermal_range(text: str) -> dict:
    """Parameters for --thermal-range. Raises UserError."""
    if text in ('auto', 'percentile', 'minmax', 'plateau'):
        return {'thermal.range': text}
    try:
        low, high = map(float, text.split(':'))
    except ValueError:
        raise UserError(
            f'--thermal-range is {text!r}; give auto, percentile, minmax, plateau or MIN:MAX '
            '(7000:9000)'
        ) from None
    return {'thermal.range': 'fixed', 'thermal.fixed_min': low, 'thermal.fixed_max': high}


def make_pipeline(settings: Settings) -> Pipeline:
    """The pipeline of settings; says if the model does not run where it was asked to."""
    pipeline = build(settings)
    for notice in pipeline.notices:
        warn(notice)
    return pipeline
