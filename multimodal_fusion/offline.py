"""A bag through the node's own steps, without ROS: the same pairs, the same pixels, every time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .bag import Bag, BagTopics, type_store
from .errors import UserError
from .images import BadImage
from .pairing import Counters, Pair
from .pipeline import Pipeline, build
from .receiver import Frame, Receiver, stamp_of


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

    values: parameters as of the node. other: more topics to pass through, such as camera_info.
    refused: {reason: count} of messages that could not be used, as the node would count them.
    """

    def __init__(
        self,
        bag: Bag,
        topics: BagTopics,
        values: Mapping[str, Any],
        pipeline: Pipeline | None = None,
    ):
        self.bag, self.topics, self.values = bag, topics, values
        self.pipeline = pipeline or build(values)
        self.receiver = Receiver(values, self.pipeline)
        self.refused: dict[str, int] = {}

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
                step.message = decode(store, raw, self.bag.types[topic], topic)
                step.pairs = self._take(streams[topic], step)
            yield step

    def _take(self, name: str, step: Step) -> list[Pair]:
        stamp = stamp_of(step.message.header) or step.time
        try:
            return self.receiver.take(name, Frame(step.message, step.time), stamp)
        except BadImage as error:
            key = f'{name} {error.reason}'
            self.refused[key] = self.refused.get(key, 0) + 1
            return []


def decode(store, raw: bytes, kind: str, topic: str):
    """A deserialized message. Raises UserError that names the topic."""
    try:
        return store.deserialize_cdr(raw, kind)
    except Exception as error:  # rosbags raises whatever the bytes lead it into
        raise UserError(f'a message on {topic} is no valid {kind}: {error!r}') from error
