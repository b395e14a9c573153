"""A bag cut into stretches that can be measured each on its own.

The cut depends on the bag and the settings alone. A stretch is read from before it begins, so that
pairing, freeze detection and the range of thermal are then those of the whole bag; what comes of
that time belongs to the stretch before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ...errors import UserError
from ...io.bag import Bag
from ...io.bag_topics import BagTopics
from ...io.places import place
from ...pipeline.offline import Offline, patience
from ...pipeline.pipeline import build
from ...pipeline.receiver import make_pairer
from ...pipeline.settings import Settings

EVERY = 1.0  # seconds between pairs that are looked at, by default
FORGOTTEN = 10.0  # time constants after which what was is forgotten: within 5e-5
LENGTH = 60.0  # seconds of a stretch, by default
LOOKED_AT = 20.0  # seconds of a bag, by which it is told how late one stream was recorded
SECOND = 1_000_000_000
_LONGEST = 1e6  # seconds: some days


@dataclass(frozen=True)
class Stretch:
    """source: the bag as it was named. mark: as of `tasks.Survey`. start, stop: nanoseconds of
    recording, stop itself left out. read_from: nanoseconds. origin: of the bag. last: the bag ends
    here. wait: seconds, of `pipeline.offline.Offline`."""

    source: str
    mark: str
    number: int
    start: int
    stop: int
    read_from: int
    origin: int
    last: bool
    wait: float
    topics: BagTopics


@dataclass(frozen=True)
class Cutting:
    """How bags are cut and which of their pairs are looked at. Picklable.

    length: seconds of a stretch. every: seconds between pairs that are looked at, which no cut
    divides; 0 for all of them. rgb, thermal: topics, where their names do not tell.
    """

    settings: Settings
    length: float = LENGTH
    every: float = EVERY
    rgb: str | None = None
    thermal: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.length <= _LONGEST:
            raise UserError(f'--stretch is {self.length:g} s; give 1 to {_LONGEST:g}')
        if not 0 <= self.every <= _LONGEST:
            raise UserError(f'--every is {self.every:g} s; give more than 0, or 0 for every pair')

    def cut(self, source: str, mark: str, bag: Bag) -> tuple[Stretch, ...]:
        """Choose topics and cut. Raises UserError where they can't be told."""
        topics = bag.choose(self.rgb, self.thermal, quiet=True)
        wait = patience(bag, topics, self.settings, bag.start + round(LOOKED_AT * SECOND))
        sync = self.settings.sync
        early = max(
            make_pairer(replace(sync, max_wait=wait)).memory,
            FORGOTTEN * self.settings.thermal.memory,
            2 * self.settings.stall.freeze_after,
        )
        whole = self.length
        if self.every > 0:
            whole = math.ceil(self.length / self.every - 1e-9) * self.every
        end = bag.start + round(bag.duration * SECOND) + 1
        # A bag without an index is read from its beginning each time: it is one stretch.
        step = round(whole * SECOND) if bag.indexed else end - bag.start
        return tuple(
            Stretch(
                source,
                mark,
                number,
                start,
                min(start + step, end),
                max(bag.start, start - round(early * SECOND)),
                bag.start,
                start + step >= end,
                wait,
                topics,
            )
            for number, start in enumerate(range(bag.start, end, step))
        )


@contextmanager
def played(stretch: Stretch, settings: Settings) -> Iterator[Offline]:
    """The bag, from before the stretch to its end. Raises UserError where it can't be read."""
    with Bag(place(stretch.source)) as bag:
        span = stretch.read_from, stretch.stop
        yield Offline(bag, stretch.topics, settings, build(settings), stretch.wait, span)


class Cells:
    """Which pairs of a stretch are looked at: the first of every cell of ``every`` seconds since
    the bag began, or all of them."""

    def __init__(self, every: float):
        self._every, self._taken = every, set[int]()

    def take(self, since: float) -> bool:
        """Whether a pair is looked at, of every pair in turn. since: seconds."""
        if self._every <= 0:
            return True
        cell = int(since // self._every)
        due = cell not in self._taken
        self._taken.add(cell)
        return due
