"""``data``: pack training crops, look at made pairs, say in words what is wrong with pairs."""

import argparse
import json
from pathlib import Path

from ..errors import UserError
from ..evaluate.collection.stretches import EVERY, Cutting
from ..evaluate.collection.tasks import Collection
from ..host.share import share_file
from ..io.datasets import find_pairs
from ..io.stems import Selection
from ..pipeline.preparation import Preparation
from ..train import require_extra
from . import options

HELP = 'Training data: pack crops into one file, preview made pairs, annotate pairs, embed words.'
EXAMPLE = 'python -m multimodal_fusion data pack --data data/ivif --out crops.zip'
PREVIEW = 'first | second | original | mask, multi-focus and multi-lighting in turn'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(
        dest='part', required=True, metavar='pack | preview | annotate | embed'
    )
    pack = parts.add_parser('pack', help='write the training crops as one file, or as shards')
    pack.add_argument('--data', type=Path, required=True, help='train/{vis,ir} and val/{vis,ir}')
    pack.add_argument(
        '--out', type=Path, required=True, help='the file, .zip; of --shards the folder'
    )
    pack.add_argument(
        '--shards', action='store_true',
        help='a folder of tar shards (WebDataset) instead, for sets that do not fit into memory',
    )  # fmt: skip
    pack.add_argument('--count', type=int, help='with --shards: so many crops')
    pack.add_argument(
        '--shard-mb', type=float, default=64.0, help='with --shards: MB of one (default: 64)'
    )
    pack.add_argument(
        '--png', action='store_true', help='with --shards: half of the room, slower to read'
    )
    pack.add_argument('--colour', action='store_true', help='with --shards: visible in colour')
    pack.add_argument('--side', type=int, default=192, help='of the crops, pixels (default: 192)')
    preview = parts.add_parser('preview', help='a sheet of the pairs that mobilefuse learns from')
    preview.add_argument('--data', type=Path, required=True, help='images/ and masks/')
    preview.add_argument('--out', type=Path, required=True, help='the picture')
    preview.add_argument('--config', type=Path, help='default: config/train/mobilefuse.yaml')
    preview.add_argument('--rows', type=int, default=12, help='pairs on the sheet (default: 12)')
    annotate = parts.add_parser('annotate', help='one JSON line a pair: what is wrong with it')
    data = annotate.add_mutually_exclusive_group(required=True)
    data.add_argument('--data', type=options.source, help='a folder of pairs')
    options.add_bags(data)
    options.add_sets(data)
    annotate.add_argument(
        '--out', type=Path, required=True, help='the file, .jsonl; of --bags and --sets a folder'
    )
    annotate.add_argument(
        '--captioner',
        type=Path,
        metavar='PATH',
        help='folder of a vision-language model for transformers, such as Qwen2-VL, that is asked '
        '(default: simple measures)',
    )
    annotate.add_argument(
        '--every',
        type=float,
        default=EVERY,
        help=f'of bags: seconds between pairs (default: {EVERY:g})',
    )
    options.add_jobs(annotate)
    options.add_collection(annotate)
    options.add_pipeline(annotate)
    options.add_bag(annotate)
    embed = parts.add_parser('embed', help='the words of the text prior as vectors, for training')
    embed.add_argument('--out', type=Path, required=True, help='the file, .npz')
    embed.add_argument(
        '--encoder',
        default='wordllama',
        help='wordllama, or the folder of a CLIP text model for transformers (default: wordllama)',
    )
    for part in (pack, preview, annotate):
        options.add_stems(part)
    for part in (pack, preview, annotate, embed):
        part.add_argument('--json', action='store_true', help='print the result as JSON')


def run(args: argparse.Namespace) -> int:
    require_extra()
    parts = {'pack': _pack, 'preview': _preview, 'annotate': _annotate, 'embed': _embed}
    facts = parts[args.part](args)
    print(json.dumps(facts) if args.json else '\n'.join(f'{k}: {v}' for k, v in facts.items()))
    return 1 if facts.get('failed') else 0  # the same command does the rest


def _pack(args: argparse.Namespace) -> dict:
    from ..train.data.packed import pack

    chosen = Selection.read(args.stems, args.without)
    if args.shards:
        from ..train.data.shards import pack_shards

        if args.shard_mb <= 0:
            raise UserError(f'--shard-mb is {args.shard_mb:g}; give more than 0')
        return pack_shards(
            args.data, args.out, args.side, args.count, round(args.shard_mb * 1e6),
            colour=args.colour, kind='png' if args.png else 'npy', selection=chosen,
        )  # fmt: skip
    if args.count is not None or args.colour or args.png:
        raise UserError('--count, --colour and --png go with --shards')
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


def _annotate(args: argparse.Namespace) -> dict:
    from ..train.data.annotate import annotate_collection, annotate_folder

    if args.data is None:
        if args.stems or args.without:
            raise UserError('--stems and --without are of one folder of pairs: give --data')
        cutting = Cutting(
            options.settings(args), args.stretch, args.every, args.rgb_topic, args.thermal_topic
        )
        return annotate_collection(
            Collection.find(args.bags, args.sets), args.out, cutting, options.executor(args),
            options.choice(args), args.captioner,
        )  # fmt: skip
    options.no_collection(args)
    pairs = Selection.read(args.stems, args.without).choose(find_pairs(args.data).pairs, args.data)
    preparation = Preparation.of(options.settings(args, pairs[0].thermal))
    return annotate_folder(pairs, args.data, args.out, preparation, args.captioner)


def _embed(args: argparse.Namespace) -> dict:
    from ..train.data.text import embed

    vectors = embed(args.encoder)
    vectors.save(args.out)
    phrases, numbers = vectors.table.shape
    return {
        'file': str(args.out),
        'encoder': vectors.encoder,
        'phrases': phrases,
        'numbers': numbers,
    }
