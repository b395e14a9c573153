"""One image stream: what is remembered of it, and the figures that `advice` speaks of."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

_WINDOW = 5.0  # seconds over which rates are taken
_STILL = 5  # frames of one stamp from which on stamps stand still


@dataclass(frozen=True)
class StreamFigures:
    """One stream at a moment. Seconds.

    age: since its last frame. usual: between frames. delay: from stamp to arrival by the receiver's
    clock. None: not known. still: how many of the newest frames have the same stamp. missing: share
    of frames that the stamps leave gaps for. hint: what the ROS graph tells of a silent topic.
    """

    name: str
    topic: str
    rate: float = 0.0
    age: float | None = None
    usual: float | None = None
    delay: float | None = None
    stamp: int = 0
    still: int = 0
    missing: float = 0.0
    dropped: int = 0
    hint: str = ''

    def __str__(self) -> str:
        if self.age is None:
            return f'{self.topic}: no frame yet'
        return f'{self.topic}: {self.rate:.1f} Hz, last frame {self.age:.1f} s ago'

    @property
    def stands_still(self) -> bool:
        return self.still >= _STILL

    @property
    def lateness(self) -> str:
        return (
            f'{self.name} does not come: last frame {self.age:.1f} s ago, usually one every '
            f'{self.usual:.2f} s'
        )

    @property
    def overdue(self) -> bool:
        """Whether it is older than a few periods."""
        return self.age is not None and self.usual is not None and overdue(self.age, self.usual)


@dataclass
class StreamWatch:
    """What is remembered of one stream."""

    topic: str
    still: int = 0  # newest frames of one stamp
    dropped: int = 0  # by the middleware
    clock: float | None = None  # of the last arrival, by the node's clock
    hint: str = ''
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=1024))
    stamps: deque[int] = field(default_factory=lambda: deque(maxlen=256))
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=31))

    def rate(self, now: float) -> float:
        """Frames a second over the last seconds."""
        return rate(self.arrivals, now)

    def missing(self) -> float:
        """The share of frames that are missing between those that came, by their stamps."""
        stamps = np.unique(np.array(self.stamps, np.int64)[-64:])
        steps = np.diff(stamps)
        if len(steps) < 8:
            return 0.0
        period = float(np.sort(steps)[len(steps) // 5])
        period = float(steps[np.abs(steps - period) < period / 4].mean())
        numbers = steps / period
        if (np.abs(numbers - np.rint(numbers)) > 0.3).mean() > 0.2:
            return 0.0  # no steady rhythm: a rate that follows the light, a trigger
        return float(1 - len(steps) / np.maximum(1, np.rint(numbers)).sum())

    def usual(self) -> float | None:
        """Seconds between frames; None while unknown."""
        if len(self.arrivals) <= 3:
            return None
        return float(np.median(np.diff(list(self.arrivals)[-32:])))

    def overdue(self, now: float) -> bool:
        usual = self.usual()
        return usual is not None and overdue(now - self.arrivals[-1], usual)

    @property
    def stands_still(self) -> bool:
        return self.still >= _STILL

    def facts(self, name: str, now: float, hint: str) -> StreamFigures:
        return StreamFigures(
            name,
            self.topic,
            self.rate(now),
            now - self.arrivals[-1] if self.arrivals else None,
            self.usual(),
            float(np.median(self.delays)) if self.delays else None,
            self.stamps[-1] if self.stamps else 0,
            self.still,
            self.missing(),
            self.dropped,
            hint,
        )

    def arrived(self, stamp: int, now: float, stamped: bool, clock: float | None) -> None:
        """A frame came in; as `health.Health.arrived`."""
        repeated = stamped and bool(self.stamps) and self.stamps[-1] == stamp
        self.still = self.still + 1 if repeated else 1
        self.arrivals.append(now)
        self.stamps.append(stamp)
        if clock is not None and stamped:
            self.delays.append(clock - stamp * 1e-9)
        self.clock = now if clock is None else clock


def overdue(age: float, usual: float) -> bool:
    """Whether the next frame should have been here. Seconds."""
    return age > max(0.25, 4 * usual)


def rate(times: deque[float], now: float) -> float:
    """Events a second over the last seconds."""
    recent = [t for t in times if t > now - _WINDOW]
    if len(recent) < 2:
        return len(recent) / _WINDOW
    return (len(recent) - 1) / max(recent[-1] - recent[0], now - recent[-1], 1e-6)
