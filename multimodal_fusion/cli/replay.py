"""A bag in, a bag out: everything that was in it, and the fused images."""

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

import cv2

from ..errors import UserError
from ..evaluate.cache import code_hash
from ..host.progress import progress, warn
from ..host.workers import run_all
from ..io.bag import Bag, open_bag
from ..io.bag_names import expand, size_of
from ..io.bag_topics import nearest_names
from ..io.places import place
from ..io.text_files import read_text
from ..io.whole_files import make_folder, room_for, whole_file
from ..pipeline.offline import Offline
from ..pipeline.replay import replay
from ..pipeline.timeline import Timeline
from . import options

HELP = 'Write a new bag: all topics of a bag as they are, and the fused images in between.'
EXAMPLE = 'python -m multimodal_fusion replay flight1 -o flight1_fused --model laplacian'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'bag', nargs='?', type=options.source, help='rosbag2: folder, .mcap or .db3'
    )
    options.add_bags(parser)
    options.add_workers(parser)
    options.add_jobs(parser)
    parser.add_argument(
        '-o', '--output', type=Path, required=True,
        help='folder of the new bag; with --bags, of one folder for each',
    )  # fmt: skip
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
    if (args.bag is None) == (args.bags is None):
        raise UserError('give a bag, or --bags PATTERN for many, and not both')
    if args.bags:
        return _many(args)
    if args.output.exists():
        raise UserError(f'{args.output} exists already; name a new folder with -o')
    fused = replay_one(args.bag, args.output, args)
    print(f'{fused} fused images written to {args.output}')
    if args.rerun:
        print(f'look at it: rerun {args.rerun}')
    return 0


def replay_one(path: Path, output: Path, args: argparse.Namespace, name: str = '') -> int:
    """How many fused images a new bag has. name: of the bag, where it is one of many. Raises
    UserError."""
    settings = options.settings(args)
    make_folder(output.parent)
    # Written aside and renamed: a bag that was not finished never bears the name asked for.
    with (
        open_bag(path) as bag,
        tempfile.TemporaryDirectory(dir=output.parent, prefix='.') as scratch,
    ):
        topics = bag.choose(args.rgb_topic, args.thermal_topic)
        unfinished = Path(scratch) / output.name
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
        report(offline, f'{name}: ' * bool(name))
        if output.exists():
            raise UserError(f'{output} exists already')
        shutil.move(unfinished, output)
    return fused


def _many(args: argparse.Namespace) -> int:
    """Each bag into a folder of its name; those that are there already stay. A bag that can't be
    used is told and passed over."""
    if args.rerun:
        raise UserError('--rerun is of one bag; leave it out with --bags')
    bags = expand(args.bags)
    outputs = _outputs(bags, make_folder(args.output))
    _same_as_before(args)
    left = [bag for bag in bags if not outputs[bag].exists()]
    print(room_for(args.output, 2.0 * sum(size_of(bag) for bag in left)), file=sys.stderr)
    failed, images = [], 0
    tasks = [(bag, outputs[bag]) for bag in left]
    for (bag, _), result in progress(
        run_all(options.executor(args), _try, tasks, args), len(left), 'bags'
    ):
        if isinstance(result, str):
            failed.append(f'{bag} is left out: {result}')
        else:
            images += result
    for sentence in sorted(failed):
        warn(sentence)
    done = len(left) - len(failed)
    print(
        f'{done} of {len(bags)} bags written to {args.output}, {images} fused images; '
        f'{len(bags) - len(left)} were there already, {len(failed)} left out'
    )
    return 2 if failed and not done and len(left) == len(bags) else 0


def _same_as_before(args: argparse.Namespace) -> None:
    """Raises UserError where the folder holds bags that were replayed otherwise."""
    path = args.output / 'replayed.json'
    now = {
        'settings': options.settings(args).flat(),
        'topics': [args.rgb_topic, args.thermal_topic, args.topics, args.exclude],
        'code': code_hash(),
    }
    text = json.dumps(now, sort_keys=True, indent=1, default=str) + '\n'
    if path.exists() and read_text(path, 'what was replayed') != text:
        raise UserError(
            f'{args.output} holds bags of another model, other settings, topics or code: give '
            'another -o, or remove it'
        )
    with whole_file(path) as temporary:
        temporary.write_text(text)


def _try(task: tuple[str, Path], args: argparse.Namespace) -> int | str:
    cv2.setNumThreads(1)
    try:
        return replay_one(place(task[0]), task[1], args, task[0])
    except UserError as error:
        return str(error)


def _outputs(bags: list[str], folder: Path) -> dict[str, Path]:
    """{bag: new folder}, by the last part of its name; by more of it where two are called alike,
    and by a number where that does not tell them apart."""
    parts = {bag: [p for p in bag.split('/') if p] for bag in bags}

    def called(bag: str, count: int) -> str:
        """Without the suffix, the query of an address, and what some disks do not take."""
        *above, last = parts[bag][-count:]
        return re.sub('[:?*]', '_', '_'.join((*above, re.sub(r'\.(mcap|db3)(\?.*)?$', '', last))))

    for count in range(1, 1 + max(map(len, parts.values()))):
        names = {bag: called(bag, count) for bag in bags}
        if len(set(names.values())) == len(bags):
            break
    found: dict[str, Path] = {}
    for bag, name in names.items():
        number, free = 1, name
        while folder / free in found.values():
            number += 1
            free = f'{name}_{number}'
        found[bag] = folder / free
    return found


def named(text: str | None, bag: Bag) -> set[str]:
    """Topics by comma. Raises UserError for one that the bag does not hold."""
    topics = {name.strip() for name in (text or '').split(',') if name.strip()}
    for topic in sorted(topics - bag.types.keys()):
        raise UserError(f'{bag.path} has no topic {topic}.{nearest_names(topic, list(bag.types))}')
    return topics


def report(offline: Offline, of: str = '') -> None:
    """of: which bag, before every line."""
    c = offline.counters
    kinds = (('without a partner', c.unpaired), ('duplicate', c.duplicate), ('late', c.late))
    print(
        of
        + '; '.join(
            (
                f'{c.paired} pairs',
                *(f'{what}: rgb {n["rgb"]}, thermal {n["thermal"]}' for what, n in kinds),
                f'clock resets {c.resets}',
                f'refused {", ".join(f"{k} {n}" for k, n in offline.refused.items()) or 0}',
            )
        )
    )
    for sentence in offline.notices():
        warn(of + sentence)
