"""``export``: a training checkpoint to a model file."""

import hashlib
import json
from pathlib import Path

from ..errors import UserError
from ..train import require_extra

HELP = 'Write the ONNX model file of a training run or checkpoint, with its card beside it.'
EXAMPLE = 'python -m multimodal_fusion export runs/plus -o plus.onnx'


def add_arguments(parser):
    parser.add_argument(
        'source', metavar='RUN_OR_CHECKPOINT', type=Path, help='run folder or .safetensors file'
    )
    parser.add_argument('-o', '--output', type=Path, required=True, help='model file, .onnx')
    parser.add_argument('--name', help="of the model (default: the configuration's)")
    parser.add_argument(
        '--scores', type=Path, metavar='DATA', help='measure it on these pairs, for the card'
    )
    parser.add_argument(
        '--kind', choices=('luma', 'colour'), help='colour: of MobileFuse, blends the RGB image'
    )
    parser.add_argument('--half', action='store_true', help='float16, for GPUs')
    parser.add_argument(
        '--trust',
        metavar='FILE.py:NAME',
        action='append',
        default=[],
        help='code that may be run to make the network of a run that names it',
    )
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def run(args) -> int:
    require_extra()
    from ..train.data.pairs import load_pairs
    from ..train.export.card import count_by_part, count_parameters
    from ..train.export.half import halve
    from ..train.run import Checkpoint

    if args.output.suffix != '.onnx':
        raise UserError(f'the model file must end in .onnx, got {args.output}')
    judge = load_pairs(args.scores)[0] if args.scores else None
    checkpoint = Checkpoint.load(args.source, args.trust)
    options = {'name': args.name, 'kind': args.kind, 'judge': judge}
    table = checkpoint.method.ship(checkpoint, args.output, **options)
    if args.half:
        halve(args.output)
    content = args.output.read_bytes()
    facts = {
        'file': str(args.output),
        'bytes': len(content),
        'parameters': count_parameters(checkpoint.network),
        'by part': count_by_part(checkpoint.network),
        'sha256': hashlib.sha256(content).hexdigest(),
    }
    facts |= {'scores': table} if table else {}
    print(json.dumps(facts) if args.json else '\n'.join(f'{k}: {v}' for k, v in facts.items()))
    return 0
