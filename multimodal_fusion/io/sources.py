"""What the demo plays: a synthetic scene, folders of image pairs, or a bag; items in time order."""

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..scene import Scene
from . import messages
from .bag import Bag, decode, header_stamp, type_store
from .bag_topics import IMAGE_TYPES
from .datasets import find_pairs
from .image_files import read_thermal, read_visible


@dataclass(frozen=True)
class Item:
    """One image to publish.

    stream: ``rgb`` or ``thermal``. time: nanoseconds since the start. load: gives the pixels.
    raw: the serialized message instead, where there is one, which keeps its own stamp.
    """

    stream: str
    time: int
    load: Callable[[], np.ndarray]
    raw: bytes | None = None

    @property
    def stamp(self) -> int | None:
        """The stamp that the message carries; None if the player sets it."""
        try:
            return None if self.raw is None else header_stamp(self.raw)
        except (struct.error, IndexError):  # cut off
            return None


class SceneSource:
    """The night road of `scene`, 30 Hz RGB and thermal."""

    def __init__(self, seconds: float = 20.0, rate: float = 30.0, width: int = 640, height=480):
        self.compressed = {'rgb': False, 'thermal': False}
        self.rate, self.frames = rate, round(seconds * rate)
        self._scene = Scene(width, height)

    def __iter__(self) -> Iterator[Item]:
        for i in range(self.frames):
            t, time = i / self.rate, round(i * 1e9 / self.rate)
            yield Item('rgb', time, partial(self._scene.visible, t))
            yield Item('thermal', time, partial(self._scene.thermal, t))


class FolderSource:
    """The image pairs of a data folder, one after the other."""

    def __init__(self, data: Path, rate: float = 10.0):
        self.compressed = {'rgb': False, 'thermal': False}
        self.pairs = find_pairs(data).pairs
        self.rate, self.frames = rate, len(self.pairs)

    def __iter__(self) -> Iterator[Item]:
        for i, pair in enumerate(self.pairs):
            time = round(i * 1e9 / self.rate)
            yield Item('rgb', time, partial(read_visible, pair.visible))
            yield Item('thermal', time, partial(read_thermal, pair.thermal))


class BagSource:
    """The image messages of a bag, as they were recorded, at most ``seconds`` of them."""

    def __init__(self, path: Path, rgb: str | None, thermal: str | None, seconds: float | None):
        self.path, self.seconds = path, seconds
        with Bag(path) as bag:
            self.topics = bag.choose(rgb, thermal)
            duration = min(bag.duration, seconds or bag.duration)
        self.compressed = {
            'rgb': self.topics.compressed[self.topics.rgb],
            'thermal': self.topics.compressed[self.topics.thermal],
        }
        first = list(itertools.islice((i for i in self if i.stream == 'rgb'), 30))
        span = (first[-1].time - first[0].time) * 1e-9 if len(first) > 1 else 0
        self.rate = (len(first) - 1) / span if span else 30.0
        self.frames = round(duration * self.rate)

    def __iter__(self) -> Iterator[Item]:
        names = {self.topics.rgb: 'rgb', self.topics.thermal: 'thermal'}
        start = None
        with Bag(self.path) as bag:
            for topic, time, raw in bag.messages(tuple(names)):
                start = time if start is None else start
                if self.seconds is not None and (time - start) * 1e-9 > self.seconds:
                    return
                raw, stream = bytes(raw), names[topic]
                yield Item(stream, time - start, partial(self._pixels, stream, raw), raw)

    def _pixels(self, stream: str, raw: bytes) -> np.ndarray:
        topic = getattr(self.topics, stream)
        message = decode(type_store(), raw, IMAGE_TYPES[self.compressed[stream]], topic)
        read = messages.read_visible if stream == 'rgb' else messages.read_thermal
        return read(message)


def open_source(
    data: Path | None = None,
    bag: Path | None = None,
    seconds: float | None = None,
    rgb_topic: str | None = None,
    thermal_topic: str | None = None,
) -> SceneSource | FolderSource | BagSource:
    """The source that was asked for; the scene by default. Raises UserError."""
    if bag is not None:
        return BagSource(bag, rgb_topic, thermal_topic, seconds)
    if data is not None:
        return FolderSource(data)
    return SceneSource(seconds or 20.0)
