"""``data``: pack training crops into one file, or look at the pairs that MobileFuse makes."""

import argparse
import json
from pathlib import Path

from ..errors import UserError
from ..host.share import share_file
from ..io.stems import Selection
from ..train import require_extra
from . import options

HELP = 'Training data: pack crops of a data set into one file, or preview made pairs.'
EXAMPLE = 'python -m multimodal_fusion data pack --data data/ivif --out crops.zip'
PREVIEW = 'first | second | original | mask, multi-focus and multi-lighting in turn'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest='part', required=True, metavar='pack | preview')
    pack = parts.add_parser('pack', help='write the grey training crops as one file')
    pack.add_argument('--data', type=Path, required=True, help='train/{vis,ir} and val/{vis,ir}')
    pack.add_argument('--out', type=Path, required=True, help='the file, .zip')
    pack.add_argument('--side', type=int, default=192, help='of the crops, pixels (default: 192)')
    preview = parts.add_parser('preview', help='a sheet of the pairs that mobilefuse learns from')
    preview.add_argument('--data', type=Path, required=True, help='images/ and masks/')
    preview.add_argument('--out', type=Path, required=True, help='the picture')
    preview.add_argument('--config', type=Path, help='default: config/train/mobilefuse.yaml')
    preview.add_argument('--rows', type=int, default=12, help='pairs on the sheet (default: 12)')
    for part in (pack, preview):
        options.add_stems(part)
        part.add_argument('--json', action='store_true', help='print the result as JSON')


def run(args: argparse.Namespace) -> int:
    require_extra()
    facts = {'pack': _pack, 'preview': _preview}[args.part](args)
    print(json.dumps(facts) if args.json else '\n'.join(f'{k}: {v}' for k, v in facts.items()))
    return 0


def _pack(args: argparse.Namespace) -> dict:
    from ..train.data.packed import pack

    chosen = Selection.read(args.stems, args.without)
    return pack(args.data, args.out, args.side, selection=chosen)


def _preview(args: argparse.Namespace) -> dict:
    from ..train.config import Config
    from ..train.data.masks import Synthesised, load_made, write_preview

    path = args.config or share_file('config/train/mobilefuse.yaml')
    config = Config.load(path)
    if config.method != 'mobilefuse':
        raise UserError(f'{path} makes no pairs: it is of the method {config.method}')
    how, side = config.section.synthesis, config.section.patch
    selection = Selection.read(args.stems or config.stems, args.without or config.without)
    made = load_made(args.data, side, config.seed, how, selection)
    write_preview(
        args.out, Synthesised(made.images, side, config.batch, config.seed, how), args.rows
    )
    return {'file': str(args.out), 'data': made.description, 'columns': PREVIEW}
