"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..host.progress import warn
from ..pipeline.pipeline import Pipeline, build
from ..pipeline.settings import Settings, checked, from_file

VGG_FILE = 'weights/vgg19_conv_fp16.npz'


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--model', help='a fuser that "models" lists, or an .onnx file')
    add_runtime(parser)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--allow-unlisted',
        action='store_true',
        default=None,
        help='load a model that models.yaml does not list',
    )
    parser.add_argument('--provider', help='cpu (default), cuda or tensorrt')
    parser.add_argument('--threads', type=int, help='threads of the model (default: 1)')
    parser.add_argument(
        '--no-compiled',
        dest='compiled',
        action='store_false',
        default=None,
        help='run the mini-model by ONNX Runtime, not by the compiled kernel',
    )
    add_mask_scale(parser)


def add_mask_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--mask-scale',
        type=float,
        help='model.mask_scale, 0.1 to 1, of models that blend by a mask',
    )


def add_thermal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--thermal-range',
        metavar='RANGE',
        help='auto (default: 8-bit stays, 16-bit by percentile), percentile, minmax, or MIN:MAX '
        'in counts',
    )
    parser.add_argument('--polarity', help='white_hot (default) or black_hot')
    parser.add_argument(
        '--registration',
        choices=('none', 'resize'),
        help='none (default) or resize: scale thermal to the visible size',
    )


def add_bag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rgb-topic', help='of the bag, if its name does not tell')
    parser.add_argument('--thermal-topic', help='of the bag, if its name does not tell')
    parser.add_argument('--slop', type=float, help='sync.slop in seconds')
    parser.add_argument('--thermal-time-offset', type=float, help='seconds added to thermal stamps')
    add_params(parser)


def add_params(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--params', type=Path, help='parameter file of the node; options override')


_PARAMETERS = {
    'model': 'model.name',
    'allow_unlisted': 'model.allow_unlisted',
    'provider': 'model.provider',
    'threads': 'model.threads',
    'compiled': 'model.compiled',
    'mask_scale': 'model.mask_scale',
    'polarity': 'thermal.polarity',
    'registration': 'registration.mode',
    'slop': 'sync.slop',
    'thermal_time_offset': 'sync.thermal_time_offset',
}


def parameters(args: argparse.Namespace, **fixed: Any) -> dict[str, Any]:
    """Node parameters by name: from the options, else from --params.

    fixed: what this command has to have, such as ``thermal_memory=0.0``. Raises UserError.
    """
    values = from_file(args.params) if getattr(args, 'params', None) else {}
    for option, name in _PARAMETERS.items():
        given = getattr(args, option, None)
        if given is not None:
            values[name] = given
    if getattr(args, 'thermal_range', None):
        values |= thermal_range(args.thermal_range)
    return values | {name.replace('_', '.', 1): value for name, value in fixed.items()}


def settings(args: argparse.Namespace, **fixed: Any) -> Settings:
    """As `parameters`, over the defaults and checked. Raises UserError."""
    return checked(parameters(args, **fixed))


def thermal_range(text: str) -> dict:
    """Parameters for --thermal-range. Raises UserError."""
    if text in ('auto', 'percentile', 'minmax'):
        return {'thermal.range': text}
    try:
        low, high = map(float, text.split(':'))
    except ValueError:
        raise UserError(
            f'--thermal-range is {text!r}; give auto, percentile, minmax or MIN:MAX (7000:9000)'
        ) from None
    return {'thermal.range': 'fixed', 'thermal.fixed_min': low, 'thermal.fixed_max': high}


def make_pipeline(settings: Settings) -> Pipeline:
    """The pipeline of settings; says if the model does not run where it was asked to."""
    pipeline = build(settings)
    for notice in pipeline.notices:
        warn(notice)
    return pipeline


def add_vgg(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--vgg',
        type=Path,
        help=f"VGG-19 weights, .npz or torchvision's .pth (default: {VGG_FILE} beside --data)",
    )
    parser.add_argument(
        '--no-perception', action='store_true', help='mmdr-*: leave the perception term out'
    )


def vgg(args: argparse.Namespace, data: Path) -> Path | None:
    """The file of VGG-19, or None. Raises UserError where it is wanted and not there."""
    if args.no_perception:
        return None
    path = args.vgg or data.resolve().parent / VGG_FILE
    if not path.is_file():
        raise UserError(
            f'the perception term needs VGG-19 weights, and {path} is missing: give --vgg '
            "(torchvision's vgg19-dcbb9e9d.pth from download.pytorch.org/models will do), or leave "
            'the term out by --no-perception'
        )
    return path
