"""A bag cut into stretches that can be measured each on its own.

The cut depends on the bag and the settings alone. A stretch is read from before it begins, so that
pairing, freeze detection and the range of thermal are then those of the whole bag; what comes of
that time belongs to the stretch before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ...errors import UserError
from ...io.bag import Bag
from ...io.bag_topics import BagTopics
from ...io.places import place
from ...pipeline.offline import patience
from ...pipeline.receiver import make_pairer
from ...pipeline.settings import Settings

FORGOTTEN = 10.0  # time constants after which what was is forgotten: within 5e-5
SECOND = 1_000_000_000
LOOKED_AT = 60.0  # seconds of a bag, by which it is told how late one stream was recorded


@dataclass(frozen=True)
class Stretch:
    """bag: as it was named. start, stop: nanoseconds of recording, stop itself left out. read_from:
    nanoseconds. origin: of the bag. wait: seconds, of `pipeline.offline.Offline`."""

    bag: str
    number: int
    start: int
    stop: int
    read_from: int
    origin: int
    wait: float
    topics: BagTopics

    @property
    def key(self) -> str:
        return f'{self.number:05d}'


@dataclass(frozen=True)
class Survey:
    """A bag that was looked at. reason: why it is left out; empty if it isn't. warning: of damage.
    duration: seconds."""

    bag: str
    stretches: tuple[Stretch, ...] = ()
    duration: float = 0.0
    warning: str = ''
    reason: str = ''


def survey(
    bag: str,
    settings: Settings,
    length: float,
    every: float,
    rgb: str | None = None,
    thermal: str | None = None,
) -> Survey:
    """Choose topics and cut a bag; one that can't be used is left out with the reason.

    length: seconds of a stretch. every: seconds between measured pairs, which no cut divides. rgb,
    thermal: topics, where their names do not tell.
    """
    try:
        with Bag(place(bag)) as opened:
            topics = opened.choose(rgb, thermal, quiet=True)
            stop = opened.start + round(LOOKED_AT * SECOND)
            wait = patience(opened, topics, settings, stop)
            found = cut(bag, opened, topics, settings, wait, length, every)
            return Survey(bag, found, opened.duration, opened.warning)
    except UserError as error:
        return Survey(bag, reason=str(error))


def cut(
    name: str,
    bag: Bag,
    topics: BagTopics,
    settings: Settings,
    wait: float,
    length: float,
    every: float,
) -> tuple[Stretch, ...]:
    sync = settings.sync
    memory = make_pairer(replace(sync, max_wait=wait)).memory
    early = max(memory, FORGOTTEN * settings.thermal.memory, 2 * settings.stall.freeze_after)
    whole = length if every <= 0 else math.ceil(length / every - 1e-9) * every
    end = bag.start + round(bag.duration * SECOND) + 1
    # A bag without an index is read from its beginning each time: it is one stretch.
    step = round(whole * SECOND) if bag.indexed else end - bag.start
    starts = range(bag.start, end, step)
    return tuple(
        Stretch(
            name,
            number,
            start,
            min(start + step, end),
            max(bag.start, start - round(early * SECOND)),
            bag.start,
            wait,
            topics,
        )
        for number, start in enumerate(starts)
    )
