"""A bag through the node's own steps, without ROS: the same pairs, the same pixels, every time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import BadImage, UserError
from ..io.bag import Bag, BagTopics, type_store
from .frames import Frame, stamp_of
from .pairing import Counters, Pair
from .pipeline import Pipeline, build, fuse_pair
from .receiver import Receiver
from .settings import Settings


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

    settings: as of the node. other: more topics to pass through, such as camera_info.
    refused: {reason: count} of messages and pairs that could not be used, as the node would count
    them; told: {reason: sentence} of the first of each.
    """

    def __init__(
        self,
        bag: Bag,
        topics: BagTopics,
        settings: Settings,
        pipeline: Pipeline | None = None,
    ):
        self.bag, self.topics, self.settings = bag, topics, settings
        self.pipeline = pipeline or build(settings)
        self.receiver = Receiver(settings, self.pipeline)
        self.refused: dict[str, int] = {}
        self.told: dict[str, str] = {}

    @property
    def counters(self) -> Counters:
        return self.receiver.pairer.counters

    @property
    def notice(self) -> str:
        """What a user should know of the pairing so far; else empty."""
        rhythm = self.receiver.pairer.rhythm
        return rhythm.notice if rhythm is not None else ''

    def steps(self, other: tuple[str, ...] = ()) -> Iterator[Step]:
        """Every message of the two image topics and the others, in order of recording."""
        streams = {self.topics.rgb: 'rgb', self.topics.thermal: 'thermal'}
        store = type_store()
        for topic, time, raw in self.bag.messages((*streams, *other)):
            step = Step(topic, time, raw)
            if topic in streams:
                try:
                    step.message = decode(store, raw, self.bag.types[topic], topic)
                    step.pairs = self._take(streams[topic], step)
                except UserError as error:
                    self.refuse(streams[topic], error)
            yield step

    def fuse(self, pair: Pair) -> np.ndarray | None:
        """The fused image; None if ``stall.policy`` holds it back or the pair cannot be fused."""
        try:
            return fuse_pair(self.pipeline, self.settings, pair)
        except BadImage as error:  # what of a pair is decoded late
            self.refuse('rgb', error)
        except UserError as error:
            self.refuse('pair', error)
        return None

    def why_nothing(self) -> str:
        """What is wrong with a bag that gave no image: a sentence."""
        if self.told:
            return '; '.join(self.told.values())
        c = self.counters
        if c.paired:
            return f'stall.policy {self.settings.stall.policy} held back all of {c.paired} pairs'
        return (
            f'rgb {c.unpaired["rgb"]}, thermal {c.unpaired["thermal"]} without a partner within '
            f'{self.settings.sync.slop} s; --slop and --thermal-time-offset help'
        )

    def refuse(self, stage: str, error: UserError) -> None:
        """Count what cannot be used, as the node does."""
        key = f'{stage} {getattr(error, "reason", "mismatch")}'
        self.refused[key] = self.refused.get(key, 0) + 1
        self.told.setdefault(key, f'{stage}: {error}')

    def _take(self, name: str, step: Step) -> list[Pair]:
        stamp = stamp_of(step.message.header) or step.time
        return self.receiver.take(name, Frame(step.message, step.time), stamp)


def decode(store, raw: bytes, kind: str, topic: str):
    """A deserialized message. Raises BadImage that names the topic."""
    try:
        return store.deserialize_cdr(raw, kind)
    except Exception as error:  # rosbags raises whatever the bytes lead it into
        raise BadImage(
            'message', f'a message on {topic} is no valid {kind} ({error!r}); it was cut off'
        ) from error
