"""Two image streams to pairs: a frame takes a partner only if neither of the two has a nearer one.

Deterministic: decisions depend on stamps and their order of arrival alone, never on a clock, so a
bag gives the same pairs live and offline.

The rule
--------
Write r and t for the stamps of an RGB and a thermal frame, t after ``thermal_offset``. What the
cameras took together lies a *skew* s apart; the distance of two frames is |t - r - s| (of two as
far, the one with t - r above s is the nearer).

*   **Equal rates**: s is the running skew, the circular mean of t - r modulo the period P over the
    last 2.4 s, from -P/2 to P/2, and a pair needs a distance below P/2. It is measured on stamps
    and not on pairs made: no wrong pair can keep it wrong.
*   **Other rates**, or too few frames to know: s is 0, since a constant skew cannot be seen there.

r and t are a pair if each is the nearest frame of the other stream to the other one, and
|t - r| <= ``slop``. Nearest among all frames that came within the window, whether they are paired
already or not. That is decided as soon as no frame still to come can be nearer; a stream's next
frame comes no sooner after its newest than the shortest of its recent intervals.

Why it cannot slip
------------------
Let frame i of both streams be taken at iP, stamped with errors of at most e < P/4 each and a true
skew S; let |s - S| < P/2 - 2e. Then t_i - r_i - s lies within P/2 of 0, and every other t_j - r_i
is at least P - 2e - |s - S| > P/2 off. So r_i has one candidate, t_i; if t_i was lost it has none,
and its neighbours, each decided by its own stamps, do not notice. At the true |S| <= 0.4 P the mean
of the differences stays within half a period as long as its own error stays below 0.1 P: the 21
differences that 2.4 s hold at 9 Hz, of two stamps with a deviation of P/20 each, have one of
0.015 P.

Counter-examples, where nobody can know: S within a twentieth of a period of P/2 (`Rhythm.ambiguous`
says so); rates that differ, with a skew that nobody told; a camera that starts again in another
phase while the other goes on (for half of the 2.4 s the mean still tells the old skew).

When rates are equal
--------------------
Recent periods lie within a tenth of each other; and over the window the two slopes of stamp against
frame number do not differ by both more than four standard errors and as much as would move the
streams against each other by 0.15 of a period a window. 30 Hz and 29.97 Hz move by 0.3.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import UserError
from ..parameters import option
from .rhythm import INTERVALS, WINDOW, Beat, Rhythm, rhythm

STREAMS = ('rgb', 'thermal')
OTHER = {'rgb': 'thermal', 'thermal': 'rgb'}

_PACE = 500_000_000  # nanoseconds of stamps after which slopes are measured anew


@dataclass(frozen=True)
class SyncSettings:
    """How the two streams are paired: ``sync.*``."""

    slop: float = option(
        0.05,
        'Largest gap between the stamps of a pair, inclusive.',
        unit='s',
        low=0.0,
        high=10.0,
    )
    thermal_time_offset: float = option(
        0.0,
        'Added to thermal stamps; negative when the thermal clock runs ahead of the RGB one.',
        unit='s',
        low=-3600.0,
        high=3600.0,
    )
    queue_size: int = option(
        20,
        'Frames of each stream that may wait for a partner whatever their age and size.',
        unit='frames',
        low=1,
        high=1000,
    )
    max_wait: float = option(
        2.0,
        'How far, by stamps, a frame may fall behind its stream while the other one is late.',
        unit='s',
        low=0.0,
        high=600.0,
    )
    max_bytes: int = option(
        256_000_000,
        'Memory that the frames waiting for a late stream may take.',
        unit='bytes',
        low=0,
        high=100_000_000_000,
    )
    reset_after: float = option(
        1.0,
        'A stamp this far behind the newest means that the clock jumped back: start afresh.',
        unit='s',
        low=0.01,
        high=3600.0,
    )
    backend: str = option(
        'own',
        'Pairing by this package, or by ROS message_filters where it is installed.',
        choices=('own', 'message_filters'),
        read_only=True,
    )


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
    """What became of the frames. Every pushed frame ends in one of these, or is still waiting.

    waited: too long (``max_wait``, ``max_bytes``), so that it left before a partner could come.
    """

    paired: int = 0
    waited: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    unpaired: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    duplicate: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    late: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    resets: int = 0


@dataclass(frozen=True)
class _Waiting:
    """A frame that waits for a partner. size: bytes of memory."""

    stamp: int
    payload: Any
    size: int


def _stamp(frame: _Waiting) -> int:
    return frame.stamp


class _Stamps:
    """One stream's stamps of the window, its frames that wait for a partner, and its rhythm."""

    def __init__(self, window: int):
        self.window = window
        self.stamps: list[int] = []
        self.lags: list[int] = []  # by how much the other stream's newest stamp was ahead of each
        self.waiting: list[_Waiting] = []
        self.done: int | None = None  # frames up to this stamp are paired or given up
        self.beat: Beat | None = None

    @property
    def newest(self) -> int | None:
        return self.stamps[-1] if self.stamps else None

    @property
    def bytes(self) -> int:
        return sum(frame.size for frame in self.waiting)

    def add(self, frame: _Waiting, lag: int) -> bool:
        """Take a frame; returns whether the rhythm was measured anew."""
        stamp = frame.stamp
        due = len(self.stamps) <= INTERVALS or self.stamps[-1] // _PACE < stamp // _PACE
        at = bisect_left(self.stamps, stamp)
        self.stamps.insert(at, stamp)
        self.lags.insert(at, lag)
        insort(self.waiting, frame, key=_stamp)
        old = bisect_left(self.stamps, self.stamps[-1] - self.window)
        del self.stamps[:old], self.lags[:old]
        if due:
            self.beat = Beat.of(self.stamps[bisect_left(self.stamps, self.stamps[-1] - WINDOW) :])
        return due

    def nearest(self, stamp: int, upwards: bool) -> int | None:
        """The stamp nearest to a given one; of two as near the later one if ``upwards``."""
        at = bisect_left(self.stamps, stamp)
        before, after = self.stamps[at - 1 : at] if at else [], self.stamps[at : at + 1]
        if not (before and after):
            return next(iter(before or after), None)
        below, above = stamp - before[0], after[0] - stamp
        return after[0] if above < below or (upwards and above == below) else before[0]

    def holds(self, stamp: int) -> bool:
        """Whether the frame of a stamp still waits."""
        return any(frame.stamp == stamp for frame in self.waiting)


class Pairer:
    """Pairs RGB and thermal frames by stamp; the rule is the module's.

    ``rhythm`` is what the streams have in common, if their rates are equal.

    slop: largest gap in nanoseconds, inclusive. thermal_offset: nanoseconds added to thermal
    stamps (negative when the thermal clock runs ahead). Of more than ``queue_size`` frames of a
    stream that wait, one is given up that lies more than max_wait nanoseconds behind its stream's
    newest stamp, or the oldest while those of both streams take more than max_bytes.
    reset_after: a stamp this many nanoseconds behind the newest of its stream means that the clock
    jumped back (a bag that loops), and everything older is forgotten; smaller steps back are frames
    out of order.

    ``memory``: seconds. Nothing older than that decides anything: a pairer that is started so much
    earlier makes the same pairs.
    """

    def __init__(
        self,
        slop: int = 50_000_000,
        thermal_offset: int = 0,
        queue_size: int = 20,
        reset_after: int = 1_000_000_000,
        max_wait: int = 2_000_000_000,
        max_bytes: int = 256_000_000,
    ):
        if slop < 0:
            raise UserError(f'sync.slop is {slop} ns; it must be 0 or more')
        if queue_size < 1:
            raise UserError(f'sync.queue_size is {queue_size}; it must be 1 or more')
        self.slop, self.queue_size, self.reset_after = slop, queue_size, reset_after
        self.max_wait, self.max_bytes = max_wait, max_bytes
        self.offset = {'rgb': 0, 'thermal': thermal_offset}
        self.counters = Counters()
        self.rhythm: Rhythm | None = None
        self._window = max(WINDOW, max_wait + slop)
        self._streams = {name: _Stamps(self._window) for name in STREAMS}

    @property
    def memory(self) -> float:
        return (self._window + 2 * self.slop + self.reset_after) * 1e-9

    def push(self, name: str, stamp: int, payload: Any, size: int = 0) -> list[Pair]:
        """Take a frame of stream ``rgb`` or ``thermal``; returns the pairs it completes, in order.

        stamp: nanoseconds. size: bytes that the payload takes.
        """
        stream, stamp = self._streams[name], stamp + self.offset[name]
        if stream.newest is not None and stamp < stream.newest - self.reset_after:
            self._jump_back(name, stamp)
            stream = self._streams[name]
        if stream.nearest(stamp, upwards=True) == stamp:
            self.counters.duplicate[name] += 1
            return []
        if stream.done is not None and stamp < stream.done:
            self.counters.late[name] += 1
            return []
        other = self._streams[OTHER[name]].newest
        lag = 0 if other is None else other - stamp
        if stream.add(_Waiting(stamp, payload, size), lag):
            self._measure()
        pairs = self._match()
        while len(stream.waiting) > self.queue_size and self._overdue(stream):
            self._give_up(name, stream.waiting[0].stamp, self.counters.waited)
        return pairs

    def _measure(self) -> None:
        rgb, thermal = (self._streams[name] for name in STREAMS)
        self.rhythm = rhythm(rgb.stamps, rgb.beat, thermal.stamps, thermal.beat)

    def _overdue(self, stream: _Stamps) -> bool:
        """Whether the oldest waiting frame of a stream has to go."""
        held = stream.stamps[-1] - stream.waiting[0].stamp
        return held > self.max_wait or sum(s.bytes for s in self._streams.values()) > self.max_bytes

    def finish(self) -> list[Pair]:
        """The pairs that are left once no more frames come; what else waits has no partner."""
        pairs = self._match(over=True)
        for name, stream in self._streams.items():
            if stream.waiting:
                self._give_up(name, stream.waiting[-1].stamp)
        return pairs

    def take_over(self, other: Pairer) -> list[Pair]:
        """Go on where another pairer was, with its frames; returns the pairs these make now."""
        self.counters = other.counters
        for name, stream in other._streams.items():
            moved, old = self._streams[name], stream
            shift = self.offset[name] - other.offset[name]
            for frame in old.waiting:
                moved.waiting.append(replace(frame, stamp=frame.stamp + shift))
            moved.stamps = [stamp + shift for stamp in old.stamps]
            moved.lags = old.lags if self.offset == other.offset else [0] * len(old.lags)
            moved.done = None if old.done is None else old.done + shift
            moved.beat = old.beat
        self._measure()
        return self._match()

    def waiting(self, name: str) -> int:
        """How many frames of a stream wait for a partner."""
        return len(self._streams[name].waiting)

    def _jump_back(self, name: str, stamp: int) -> None:
        """Forget the stream's past, and of the other what is not near the new time."""
        self.counters.resets += 1
        self.counters.unpaired[name] += self.waiting(name)
        self._streams[name] = _Stamps(self._window)
        other = self._streams[OTHER[name]]
        if other.newest is not None and other.newest > stamp + self.reset_after:
            fresh = self._streams[OTHER[name]] = _Stamps(self._window)
            for frame in other.waiting:
                if frame.stamp <= stamp + self.reset_after:
                    fresh.add(frame, 0)
            self.counters.unpaired[OTHER[name]] += len(other.waiting) - len(fresh.waiting)

    def _match(self, over: bool = False) -> list[Pair]:
        """The pairs that are decided. over: no more frames come."""
        rgb, thermal = (self._streams[name] for name in STREAMS)
        skew = self.rhythm.skew if self.rhythm else 0
        reach = self.rhythm.period // 2 if self.rhythm else None
        pairs = []
        while thermal.waiting:
            t = thermal.waiting[0].stamp
            r = rgb.nearest(t - skew, upwards=False)
            distance = 0 if r is None else abs(t - r - skew)
            if (
                r is not None
                and abs(t - r) <= self.slop
                and (not reach or distance < reach)
                and thermal.nearest(r + skew, upwards=True) == t
                and rgb.holds(r)
            ):
                # A later RGB frame that is as near loses, a later thermal one wins.
                decided = over or (
                    _settled(rgb, thermal, t - skew, distance, unknown=False)
                    and _settled(thermal, rgb, r + skew, distance + 1, unknown=True)
                )
                if not decided:
                    break
                pairs.append(self._take(r, t))
            elif over or (rgb.newest is not None and rgb.newest >= t - skew):
                # RGB has come by without it. While RGB is held up on its way, nothing is lost yet.
                self._give_up('thermal', t)
            else:  # whatever the rhythm was: rates change
                break
        return pairs

    def _take(self, r: int, t: int) -> Pair:
        """Pair the waiting frames of two stamps."""
        rgb, thermal = (self._give_up(name, stamp) for name, stamp in (('rgb', r), ('thermal', t)))
        for name in STREAMS:
            self.counters.unpaired[name] -= 1
        self.counters.paired += 1
        return Pair(rgb, thermal, r, t - self.offset['thermal'], t - r)

    def _give_up(self, name: str, stamp: int, count: dict[str, int] | None = None) -> Any:
        """Close a stream up to a waiting frame; what waits there stays without a partner.

        count: which counter that is; unpaired by default. Returns that frame.
        """
        stream = self._streams[name]
        closed = bisect_right(stream.waiting, stamp, key=_stamp)
        payload = stream.waiting[closed - 1].payload
        (self.counters.unpaired if count is None else count)[name] += closed
        del stream.waiting[:closed]
        stream.done = stamp
        return payload


def _settled(stream: _Stamps, other: _Stamps, ideal: int, distance: int, unknown: bool) -> bool:
    """Whether none of the frames that a stream has yet to bring can be nearer to a stamp.

    distance: of the nearest one so far, in nanoseconds. unknown: the answer while the stream has
    neither passed the stamp nor shown its rhythm.
    """
    if stream.newest is None:
        return False
    if distance == 0 or _passed(stream, other, ideal, distance):
        return True
    if stream.beat is None:
        return unknown
    return stream.newest + stream.beat.shortest - ideal >= distance


def _passed(stream: _Stamps, other: _Stamps, ideal: int, distance: int) -> bool:
    """Whether a stream has come as far as a stamp, or what is missing of it must be lost: the other
    stream is farther ahead than it ever was when a frame of this one came."""
    if stream.newest is None or other.newest is None:
        return False
    return stream.newest >= ideal or other.newest - max(stream.lags) >= ideal + distance
