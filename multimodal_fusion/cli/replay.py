"""A bag in, a bag out: everything that was in it, and the fused images."""

import argparse
import shutil
import tempfile
from pathlib import Path

from ..errors import UserError
from ..host.progress import warn
from ..io.bag import Bag, open_bag
from ..io.bag_topics import nearest_names
from ..io.whole_files import make_folder
from ..pipeline.offline import Offline
from ..pipeline.replay import replay
from ..pipeline.timeline import Timeline
from . import options

HELP = 'Write a new bag: all topics of a bag as they are, and the fused images in between.'
EXAMPLE = 'python -m multimodal_fusion replay flight1 -o flight1_fused --model laplacian'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('bag', type=Path, help='rosbag2: folder, .mcap or .db3')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder of the new bag')
    parser.add_argument('--topics', help='only these topics, by comma, are copied (default: all)')
    parser.add_argument('--exclude', default='', help='topics, by comma, that are not copied')
    parser.add_argument(
        '--rerun', type=Path, metavar='FILE.rrd',
        help='write a time line for Rerun, too: both cameras, fused, boxes, gaps and losses',
    )  # fmt: skip
    options.add_bag(parser)
    options.add_parameters(parser, *options.MODEL)
    options.add_pipeline(parser)


def run(args: argparse.Namespace) -> int:
    if args.output.exists():
        raise UserError(f'{args.output} exists already; name a new folder with -o')
    settings = options.settings(args)
    make_folder(args.output.parent)
    # Written aside and renamed: a bag that was not finished never bears the name asked for.
    with (
        open_bag(args.bag) as bag,
        tempfile.TemporaryDirectory(dir=args.output.parent, prefix='.') as scratch,
    ):
        topics = bag.choose(args.rgb_topic, args.thermal_topic)
        unfinished = Path(scratch) / args.output.name
        timeline = Timeline(args.rerun) if args.rerun else None
        only, without = named(args.topics, bag) or set(bag.types), named(args.exclude, bag)
        fused, offline = replay(
            bag,
            topics,
            unfinished,
            settings,
            options.make_pipeline(settings),
            copied=lambda topic: topic in only - without,
            timeline=timeline,
        )
        if timeline is not None:
            timeline.close()
        report(offline)
        shutil.move(Path(scratch) / args.output.name, args.output)
    print(f'{fused} fused images written to {args.output}')
    if args.rerun:
        print(f'look at it: rerun {args.rerun}')
    return 0


def named(text: str | None, bag: Bag) -> set[str]:
    """Topics by comma. Raises UserError for one that the bag does not hold."""
    topics = {name.strip() for name in (text or '').split(',') if name.strip()}
    for topic in sorted(topics - bag.types.keys()):
        raise UserError(f'{bag.path} has no topic {topic}.{nearest_names(topic, list(bag.types))}')
    return topics


def report(offline: Offline) -> None:
    c = offline.counters
    kinds = (('without a partner', c.unpaired), ('duplicate', c.duplicate), ('late', c.late))
    print(
        '; '.join(
            (
                f'{c.paired} pairs',
                *(f'{what}: rgb {n["rgb"]}, thermal {n["thermal"]}' for what, n in kinds),
                f'clock resets {c.resets}',
                f'refused {", ".join(f"{k} {n}" for k, n in offline.refused.items()) or 0}',
            )
        )
    )
    for sentence in offline.notices():
        warn(sentence)
