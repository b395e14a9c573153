"""``ablate``: train variants of a configuration and compare them."""

import argparse
import json
from pathlib import Path

from ..host.share import share_file
from ..train import require_extra

HELP = 'Train variants of a configuration alike, score them, and print the table.'
EXAMPLE = 'python -m multimodal_fusion ablate --data data/ivif --out runs/ablation'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--config', type=Path, help='variants (default: config/train/ablate.yaml)')
    parser.add_argument(
        'changes', metavar='KEY=VALUE', nargs='*', help='of every variant, such as steps=100'
    )
    parser.add_argument('--data', type=Path, required=True, help='train/{vis,ir} and val/{vis,ir}')
    parser.add_argument('--out', type=Path, required=True, help='folder of the runs')
    parser.add_argument(
        '--vgg',
        default='auto',
        help='VGG-19 weights (default: weights/vgg19_conv_fp16.npz beside --data)',
    )
    parser.add_argument(
        '--no-perception', action='store_true', help='leave the perception term out'
    )
    parser.add_argument('--json', action='store_true', help='print the rows as JSON')


def run(args: argparse.Namespace) -> int:
    require_extra()
    from ..train.ablate import ablate

    config = args.config or share_file('config/train/ablate.yaml')
    table = ablate(
        config,
        args.data,
        args.out,
        'none' if args.no_perception else args.vgg,
        changes=args.changes,
    )
    print(json.dumps(table.rows) if args.json else table.markdown())
    return 0
