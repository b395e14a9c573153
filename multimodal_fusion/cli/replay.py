"""A bag in, a bag out: everything that was in it, and the fused images."""

import argparse
import shutil
import tempfile
from pathlib import Path

from ..errors import UserError
from ..host.progress import progress, warn
from ..io import messages
from ..io.bag import INFO_TYPE, BagWriter, Topic, open_bag, type_store
from ..io.whole_files import make_folder
from ..pipeline.offline import Offline, decode
from ..pipeline.settings import Settings
from . import options

HELP = 'Write a new bag: all topics of a bag as they are, and the fused images in between.'
EXAMPLE = 'python -m multimodal_fusion replay flight1 -o flight1_fused --model laplacian'

FUSED, FUSED_INFO = '/fused/image_raw', '/fused/camera_info'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('bag', type=Path, help='rosbag2: folder, .mcap or .db3')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder of the new bag')
    options.add_bag(parser)
    options.add_model(parser)
    options.add_thermal(parser)


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
        fused = replay(bag, args, settings, Path(scratch) / args.output.name)
        shutil.move(Path(scratch) / args.output.name, args.output)
    print(f'{fused} fused images written to {args.output}')
    return 0


def replay(bag, args: argparse.Namespace, settings: Settings, output: Path) -> int:
    """Copy the bag message by message, adding what it completes; returns the number of images."""
    topics = bag.choose(args.rgb_topic, args.thermal_topic)
    taken = {FUSED, FUSED_INFO} & bag.types.keys()
    if taken:
        raise UserError(f'{bag.path} holds {", ".join(taken)} already: it was replayed before')
    reference = topics.rgb if settings.output.reference == 'rgb' else topics.thermal
    info_topic = bag.info_topic(reference)
    offline, store, writer = (
        Offline(bag, topics, settings, options.make_pipeline(settings)),
        type_store(),
        BagWriter(output),
    )
    for topic in bag.topics:
        writer.add(topic)
    writer.add(Topic(FUSED, 'sensor_msgs/msg/Image'))
    if info_topic:
        writer.add(Topic(FUSED_INFO, INFO_TYPE))
    info, count = None, 0
    for step in progress(offline.steps(tuple(bag.types)), bag.count, 'messages'):
        writer.write(step.topic, step.time, step.raw)
        if step.topic == info_topic:
            info = decode(store, step.raw, INFO_TYPE, info_topic)
        for pair in step.pairs:
            pixels = offline.fuse(pair)
            if pixels is None:
                continue
            header = getattr(pair, settings.output.reference).header
            message = image_message(store, header, pixels)
            writer.write(FUSED, step.time, store.serialize_cdr(message, message.__msgtype__))
            if info is not None:
                info.header = header
                writer.write(FUSED_INFO, step.time, store.serialize_cdr(info, INFO_TYPE))
            count += 1
    writer.close()
    report(offline)
    if not count:
        raise UserError(
            f'{bag.path} gave no fused image, so nothing is written: {offline.why_nothing()}'
        )
    return count


def image_message(store, header, pixels):
    """A sensor_msgs/Image of rosbags' own types."""
    fields = messages.fields(pixels)
    fields['data'] = messages.bytes_of(pixels)
    return store.types['sensor_msgs/msg/Image'](header=header, **fields)


def report(offline: Offline) -> None:
    warn(offline.notice)
    c = offline.counters
    print(
        f'{c.paired} pairs; without a partner: rgb {c.unpaired["rgb"]}, thermal '
        f'{c.unpaired["thermal"]}; clock resets {c.resets}; refused '
        f'{", ".join(f"{k} {n}" for k, n in offline.refused.items()) or 0}'
    )
    for sentence in offline.told.values():
        warn(sentence)
