"""A bag in, a bag out: everything that was in it, and the fused images in between."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import BadImage, UserError
from ..host.progress import progress, warn
from ..io import messages
from ..io.bag import INFO_TYPE, Bag, BagWriter, Topic, decode, type_store
from ..io.bag_topics import BagTopics
from .frames import misfit
from .offline import Offline
from .pipeline import Pipeline
from .settings import Settings
from .timeline import Timeline

FUSED, FUSED_INFO = '/fused/image_raw', '/fused/camera_info'


def replay(
    bag: Bag,
    topics: BagTopics,
    output: Path,
    settings: Settings,
    pipeline: Pipeline | None = None,
    copied: Callable[[str], bool] = lambda _: True,
    timeline: Timeline | None = None,
) -> tuple[int, Offline]:
    """Copy a bag message by message, adding what it completes, as the node would have done.

    output: the new bag's folder. pipeline: by default made from the settings. copied: whether a
    topic of this name is to be in the new bag. timeline: is shown all of it. Returns how many
    images were fused, and what became of the frames. What cannot be used is copied, left out of
    the fusing, and counted. Raises UserError, also where nothing could be fused.
    """
    taken = {FUSED, FUSED_INFO} & bag.types.keys()
    if taken:
        raise UserError(f'{bag.path} holds {", ".join(taken)} already: it was replayed before')
    reference = settings.output.reference
    info_topic = bag.info_topic(getattr(topics, reference))
    offline, store = Offline(bag, topics, settings, pipeline), type_store()
    writer = BagWriter(output)
    kept = set()
    for topic in bag.topics:
        if not copied(topic.name):
            continue
        try:
            writer.add(topic)
            kept.add(topic.name)
        except UserError as error:
            warn(f'{error}; it is left out')
    writer.add(Topic(FUSED, 'sensor_msgs/msg/Image'))
    if info_topic:
        writer.add(Topic(FUSED_INFO, INFO_TYPE))
    info, count = None, 0
    for step in progress(offline.steps(tuple(bag.types)), bag.count, 'messages'):
        if step.topic in kept:
            writer.write(step.topic, step.time, step.raw)
        if info_topic and step.topic == info_topic:
            try:
                info = decode(store, step.raw, INFO_TYPE, info_topic)
            except BadImage as error:
                offline.refuse('camera_info', error)
        if timeline is not None:
            timeline.step(step, offline)
        for pair in step.pairs:
            pixels = offline.fuse(pair)
            if timeline is not None:
                timeline.pair(pair, pixels, offline.detect(pair, pixels))
            if pixels is None:
                continue
            header = getattr(pair, reference).header
            message = _image(store, header, pixels)
            writer.write(FUSED, step.time, store.serialize_cdr(message, message.__msgtype__))
            count += 1
            if info is not None and (sentence := misfit(info, pixels)):
                offline.refuse('camera_info', BadImage('size', sentence))
            elif info is not None:
                info.header = header
                if settings.registration.straightens:
                    info.d = np.zeros(len(info.d))
                writer.write(FUSED_INFO, step.time, store.serialize_cdr(info, INFO_TYPE))
    writer.close()
    if not count:
        raise UserError(
            f'{bag.path} gave no fused image, so nothing is written: {offline.why_nothing()}'
        )
    return count, offline


def _image(store, header, pixels: np.ndarray):
    """A sensor_msgs/Image of rosbags' own types."""
    fields = messages.fields(pixels)
    fields['data'] = messages.bytes_of(pixels)
    return store.types['sensor_msgs/msg/Image'](header=header, **fields)
