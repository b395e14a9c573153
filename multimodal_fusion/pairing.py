"""Two image streams to pairs: the slower stream drives, the nearest frame of the other answers.

Deterministic: decisions depend on stamps and their order of arrival alone, never on a clock, so a
bag gives the same pairs live and offline.
"""

import statistics
from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .errors import UserError

STREAMS = ('rgb', 'thermal')
OTHER = {'rgb': 'thermal', 'thermal': 'rgb'}

_INTERVALS = 31  # how many recent frame intervals describe a stream's rate
_SLOWER, _NO_LONGER_SLOWER = 1.25, 1.1  # hysteresis of the choice of the driving stream


@dataclass(frozen=True)
class Pair:
    """Two frames that belong together.

    rgb, thermal: what was pushed. rgb_stamp, thermal_stamp: nanoseconds, as pushed.
    gap: thermal minus RGB stamp in nanoseconds, after the offset.
    """

    rgb: Any
    thermal: Any
    rgb_stamp: int
    thermal_stamp: int
    gap: int


@dataclass
class Counters:
    """What became of the frames. Every pushed frame ends in one of these, or is still waiting."""

    paired: int = 0
    unpaired: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    duplicate: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    late: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    resets: int = 0


class _Stream:
    """The waiting frames of one stream, by stamp, and what is known of its rhythm."""

    def __init__(self):
        self.waiting: list[tuple[int, Any]] = []
        self.newest: int | None = None
        self.done: int | None = None  # frames up to this stamp are paired or given up
        self.intervals: deque[int] = deque(maxlen=_INTERVALS)

    def period(self) -> float | None:
        return statistics.median(self.intervals) if len(self.intervals) >= 3 else None

    def shortest(self) -> int:
        """A bound on how soon the next frame can follow the newest; 0 while unknown."""
        return min(self.intervals) if len(self.intervals) >= 3 else 0

    def nearest(self, stamp: int) -> int | None:
        """Index of the waiting frame nearest to a stamp; the earlier one of two as near."""
        if not self.waiting:
            return None
        return min(range(len(self.waiting)), key=lambda i: abs(self.waiting[i][0] - stamp))


class Pairer:
    """Pairs RGB and thermal frames by stamp.

    slop: largest gap in nanoseconds, inclusive. thermal_offset: nanoseconds added to thermal
    stamps (negative when the thermal clock runs ahead). queue_size: frames kept waiting per stream;
    an older one is given up. reset_after: a stamp this many nanoseconds behind the newest of its
    stream means that the clock jumped back (a bag that loops), and everything older is forgotten;
    smaller steps back are frames out of order.

    A driving frame is decided as soon as no frame still to come can be nearer: when one with a
    later stamp is there, or when the gap is at most half the shortest recent frame interval.
    """

    def __init__(
        self,
        slop: int = 50_000_000,
        thermal_offset: int = 0,
        queue_size: int = 20,
        reset_after: int = 1_000_000_000,
    ):
        if slop < 0:
            raise UserError(f'sync.slop is {slop} ns; it must be 0 or more')
        if queue_size < 1:
            raise UserError(f'sync.queue_size is {queue_size}; it must be 1 or more')
        self.slop, self.queue_size, self.reset_after = slop, queue_size, reset_after
        self.offset = {'rgb': 0, 'thermal': thermal_offset}
        self.counters = Counters()
        self.driver = 'thermal'
        self._streams = {name: _Stream() for name in STREAMS}

    def push(self, name: str, stamp: int, payload: Any) -> list[Pair]:
        """Take a frame of stream ``rgb`` or ``thermal``; returns the pairs it completes, in order.

        stamp: nanoseconds.
        """
        stream, stamp = self._streams[name], stamp + self.offset[name]
        if stream.newest is not None and stamp < stream.newest - self.reset_after:
            self._jump_back(name, stamp)
            stream = self._streams[name]
        if any(waiting == stamp for waiting, _ in stream.waiting) or stamp == stream.done:
            self.counters.duplicate[name] += 1
            return []
        if stream.done is not None and stamp < stream.done:
            self.counters.late[name] += 1
            return []
        if stream.newest is None or stamp > stream.newest:
            if stream.newest is not None:
                stream.intervals.append(stamp - stream.newest)
            stream.newest = stamp
        insort(stream.waiting, (stamp, payload), key=lambda frame: frame[0])
        if len(stream.waiting) > self.queue_size:
            self._give_up(name, stream.waiting[0][0])
        self._choose_driver()
        return self._match()

    def waiting(self, name: str) -> int:
        """How many frames of a stream wait for a partner."""
        return len(self._streams[name].waiting)

    def _jump_back(self, name: str, stamp: int) -> None:
        """Forget the stream's past, and of the other what is not near the new time."""
        self.counters.resets += 1
        self.counters.unpaired[name] += self.waiting(name)
        self._streams[name] = _Stream()
        other = self._streams[OTHER[name]]
        near = [frame for frame in other.waiting if frame[0] <= stamp + self.reset_after]
        self.counters.unpaired[OTHER[name]] += len(other.waiting) - len(near)
        if other.newest is None or other.newest > stamp + self.reset_after:
            self._streams[OTHER[name]] = other = _Stream()
            other.newest = near[-1][0] if near else None
        other.waiting = near

    def _choose_driver(self) -> None:
        rgb, thermal = (self._streams[name].period() for name in STREAMS)
        if rgb and thermal:
            bound = _NO_LONGER_SLOWER if self.driver == 'rgb' else _SLOWER
            self.driver = 'rgb' if rgb > bound * thermal else 'thermal'

    def _match(self) -> list[Pair]:
        driver, follower = self._streams[self.driver], self._streams[OTHER[self.driver]]
        pairs = []
        while driver.waiting:
            stamp = driver.waiting[0][0]
            at = follower.nearest(stamp)
            gap = None if at is None else abs(follower.waiting[at][0] - stamp)
            fits = gap is not None and gap <= self.slop
            bracketed = follower.newest is not None and follower.newest >= stamp
            # Frames to come may be nearer, unless the follower's rhythm rules it out.
            if not bracketed and not (fits and 2 * gap <= follower.shortest()):
                break
            if not fits:
                self._give_up(self.driver, stamp)
                continue
            pairs.append(self._take(at))
        return pairs

    def _take(self, at: int) -> Pair:
        """Pair the first waiting frame of the driver with the follower's frame at an index."""
        follower = OTHER[self.driver]
        frames = {
            self.driver: self._streams[self.driver].waiting.pop(0),
            follower: self._streams[follower].waiting.pop(at),
        }
        for name, (stamp, _) in frames.items():
            self._give_up(name, stamp)
        self.counters.paired += 1
        return Pair(
            rgb=frames['rgb'][1],
            thermal=frames['thermal'][1],
            rgb_stamp=frames['rgb'][0],
            thermal_stamp=frames['thermal'][0] - self.offset['thermal'],
            gap=frames['thermal'][0] - frames['rgb'][0],
        )

    def _give_up(self, name: str, stamp: int) -> None:
        """Close a stream up to a stamp; what still waits there stays without a partner."""
        stream = self._streams[name]
        kept = [frame for frame in stream.waiting if frame[0] > stamp]
        self.counters.unpaired[name] += len(stream.waiting) - len(kept)
        stream.waiting, stream.done = kept, stamp
