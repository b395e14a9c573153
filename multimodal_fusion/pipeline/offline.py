"""A bag through the node's own steps, without ROS: the same pairs, the same pixels, every time."""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..detect.detection import Detection
from ..errors import BadImage, UserError
from ..io import messages
from ..io.bag import INFO_TYPE, Bag, decode, header_stamp, type_store
from ..io.bag_topics import BagTopics
from .frames import Frame, stamp_of
from .health import Health
from .pairing import STREAMS, Counters, Pair
from .pipeline import Pipeline, build, fuse_pair
from .receiver import Receiver
from .settings import Settings

_LATEST = 60_000_000_000  # nanoseconds: streams that lie farther apart have different clocks


@dataclass
class Step:
    """One message of the bag, and the pairs it completed.

    time: nanoseconds of recording. message: deserialized if the topic was chosen, else None.
    """

    topic: str
    time: int
    raw: bytes
    message: Any = None
    pairs: list[Pair] = field(default_factory=list)


class Offline:
    """Plays a bag through receiving and pairing.

    settings: as of the node; but no frame is given up for waiting, however late the other stream
    was recorded (up to a minute). wait: how long frames wait, seconds, where that is known already.
    span: nanoseconds of recording, all by default. refused: {reason: count} of messages and pairs
    that could not be
    used, as the node would count them; told: {reason: sentence} of the first of each.
    """

    def __init__(
        self,
        bag: Bag,
        topics: BagTopics,
        settings: Settings,
        pipeline: Pipeline | None = None,
        wait: float | None = None,
        span: tuple[int | None, int | None] = (None, None),
    ):
        self.span = span
        self.bag, self.topics, self.settings = bag, topics, settings
        self.pipeline = pipeline or build(settings)
        wait = patience(bag, topics, settings) if wait is None else wait
        patient = replace(settings.sync, max_wait=wait, max_bytes=sys.maxsize)
        self.receiver = Receiver(replace(settings, sync=patient), self.pipeline)
        names = {'rgb': topics.rgb, 'thermal': topics.thermal}
        self.health, self._now = Health(names, settings.stall, 0.0), 0.0
        self.refused: dict[str, int] = {}
        self.told: dict[str, str] = {}
        if settings.registration.straightens:
            self._look()

    @property
    def counters(self) -> Counters:
        return self.receiver.pairer.counters

    def _look(self) -> None:
        """Take the lenses from the first camera_info of each camera, wherever in the bag it is."""
        for name in STREAMS:
            topic = self.bag.info_topic(getattr(self.topics, name))
            found = next(iter(self.bag.messages((topic,))), None) if topic else None
            if topic is None or found is None:
                self.told[f'{name} lens'] = (
                    f'the bag has no camera_info of {name}: its images are not straightened'
                )
                continue
            info = decode(type_store(), found[2], INFO_TYPE, topic)
            self.pipeline.preparation.registration.look(name, info)

    def notices(self) -> list[str]:
        """What a user should know once all was played, in the node's words."""
        rhythm = self.receiver.pairer.rhythm
        losses = self.health.losses(self._now, self.settings.sync, self.counters)
        few = [s for s in self.told.values() if not any(s.partition(': ')[2] in x for x in losses)]
        return [*([rhythm.notice] if rhythm and rhythm.notice else []), *few, *losses]

    def steps(self, other: tuple[str, ...] = ()) -> Iterator[Step]:
        """Every message of the two image topics and the others, in order of recording."""
        streams = {self.topics.rgb: 'rgb', self.topics.thermal: 'thermal'}
        store = type_store()
        for topic, time, raw in self.bag.messages((*streams, *other), *self.span):
            step = Step(topic, time, raw)
            self._now = time * 1e-9
            if topic in streams:
                name = streams[topic]
                try:
                    step.message = decode(store, raw, self.bag.types[topic], topic)
                    step.pairs = self._take(name, step)
                except UserError as error:
                    self.refuse(name, error)
            yield step

    def fuse(self, pair: Pair) -> np.ndarray | None:
        """The fused image; None if ``stall.thermal`` holds it back or the pair cannot be fused."""
        try:
            fused = fuse_pair(self.pipeline, self.settings, pair)
        except BadImage as error:  # what of a pair is decoded late
            self.refuse('rgb', error, pair=True)
            return None
        except UserError as error:
            self.refuse('pair', error, pair=True)
            return None
        if fused is None:
            self.health.held_back()
        else:
            self.health.published(0.0)
        return fused

    def detect(self, pair: Pair, fused: np.ndarray | None) -> list[Detection]:
        """What the pipeline's detector finds on a fused pair; nothing where there is none."""
        if fused is None or self.pipeline.detector is None:
            return []
        visible = messages.read_visible(pair.rgb.message, self.settings.input.max_pixels)
        return self.pipeline.detect(fused, visible, pair.thermal.thermal)

    def why_nothing(self) -> str:
        """What is wrong with a bag that gave no image: a sentence."""
        if self.told:
            return '; '.join(self.told.values())
        paired = self.counters.paired
        if paired:
            wanted = self.settings.stall.wanted('thermal')
            return f'stall.thermal {wanted} held back all of {paired} pairs'
        return self.health.why_nothing(self._now, self.settings.sync)

    def refuse(self, stage: str, error: UserError, pair: bool = False) -> None:
        """Count what cannot be used, as the node does. pair: it was to be fused already."""
        self.health.refused(f'{stage} {getattr(error, "reason", "mismatch")}', str(error), pair)
        key = f'{stage} {getattr(error, "reason", "mismatch")}'
        self.refused[key] = self.refused.get(key, 0) + 1
        self.told.setdefault(key, f'{stage}: {error}')

    def _take(self, name: str, step: Step) -> list[Pair]:
        stamp = stamp_of(step.message.header)
        self.health.arrived(name, stamp or step.time, self._now, stamp != 0, self._now)
        pairs = self.receiver.take(name, Frame(step.message, step.time), stamp or step.time)
        for pair in pairs:
            self.health.paired(pair.gap, self._now, replaced=0)
        return pairs


def patience(bag: Bag, topics: BagTopics, settings: Settings, stop: int | None = None) -> float:
    """Seconds that frames of a bag wait for a partner, so that none is given up. stop: as of
    `lateness`."""
    sync = settings.sync
    return max(sync.max_wait, lateness(bag, topics, settings, stop) * 1e-9 + sync.slop + 1.0)


def lateness(bag: Bag, topics: BagTopics, settings: Settings, stop: int | None = None) -> int:
    """By how many nanoseconds of stamps one stream was recorded behind the other, at most. stop:
    nanoseconds of recording up to which it is looked at; all by default."""
    other = {topics.rgb: topics.thermal, topics.thermal: topics.rgb}
    offset = {topics.rgb: 0, topics.thermal: round(settings.sync.thermal_time_offset * 1e9)}
    newest: dict[str, int] = {}
    most = 0
    try:
        for topic, time, raw in bag.messages(tuple(other), None, stop):
            try:
                stamp = (header_stamp(raw) or time) + offset[topic]
            except (struct.error, IndexError):
                continue  # told when it is taken
            if stamp < newest.get(topic, stamp) - settings.sync.reset_after * 1e9:
                newest.clear()
            behind = newest.get(other[topic], stamp) - stamp
            most = max(most, behind if behind < _LATEST else 0)
            newest[topic] = max(stamp, newest.get(topic, stamp))
    except UserError:
        pass  # damaged from here on, which is told when it is played
    return most
