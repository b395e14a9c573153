"""Options that several commands share."""

import argparse

from ..errors import UserError
from ..parameters import checked
from ..pipeline import Pipeline, build


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--model', default='default', help='a fuser that "models" lists, or an .onnx file'
    )
    parser.add_argument(
        '--allow-unlisted', action='store_true', help='load a model that models.yaml does not list'
    )
    parser.add_argument(
        '--provider', default='cpu', help='cpu, cuda or tensorrt (default: %(default)s)'
    )
    parser.add_argument('--threads', type=int, default=1, help='threads of the model (default: 1)')


def add_thermal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--thermal-range',
        default='auto',
        metavar='RANGE',
        help='auto (8-bit stays, 16-bit by percentile), percentile, minmax, or MIN:MAX in counts',
    )
    parser.add_argument(
        '--polarity', default='white_hot', help='white_hot or black_hot (default: %(default)s)'
    )
    parser.add_argument(
        '--registration',
        default='none',
        help='none or resize: scale thermal to the visible size (default: %(default)s)',
    )


def pipeline(args: argparse.Namespace, memory: float | None = None) -> Pipeline:
    """The pipeline that the options describe. Raises UserError.

    memory: overrides ``thermal.memory`` in seconds; 0 for images that are unrelated.
    """
    values = {
        'model.name': args.model,
        'model.provider': args.provider,
        'model.threads': args.threads,
        'model.allow_unlisted': args.allow_unlisted,
        'thermal.polarity': args.polarity,
        'registration.mode': args.registration,
        **thermal_range(args.thermal_range),
    }
    if memory is not None:
        values['thermal.memory'] = memory
    return build(checked(values))


def thermal_range(text: str) -> dict:
    """Parameters for --thermal-range. Raises UserError."""
    if ':' not in text:
        return {'thermal.range': text}
    try:
        low, high = map(float, text.split(':'))
    except ValueError:
        raise UserError(
            f'--thermal-range is {text!r}; give auto, percentile, minmax or MIN:MAX (7000:9000)'
        ) from None
    return {'thermal.range': 'fixed', 'thermal.fixed_min': low, 'thermal.fixed_max': high}
