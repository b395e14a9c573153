"""The rhythm of streams of stamps: periods, and the skew of two streams of equal rates.

Everything is measured on the stamps of a window, so that nothing older has a say. How two rates are
called equal stands in `pairing`. Times are nanoseconds.
"""

import cmath
import math
from dataclasses import dataclass

import numpy as np

WINDOW = 10_000_000_000  # of stamps that are remembered
INTERVALS = 31  # how many recent frame intervals describe a stream's rhythm
_RUNNING = 2_400_000_000  # of thermal stamps over which the skew runs
_LEAST = 3  # intervals or differences below which nothing is said
_ALIKE = 0.1  # share by which recent periods of equal rates differ at most
_DRIFT = 0.15  # periods a window, from which on rates are told apart
_UNSURE = 0.45  # skew in periods, from which on nobody can know


@dataclass(frozen=True)
class Rhythm:
    """What the stamps of two streams of equal rates have in common. Nanoseconds.

    period: of both. skew: thermal minus RGB of frames taken together, from -period/2 to period/2.
    sure: the rates were measured well enough to know that they do not drift apart.
    """

    period: int
    skew: int
    sure: bool

    @property
    def ambiguous(self) -> bool:
        """The skew is so near to half a period that it may as well be of the other sign."""
        return self.sure and abs(self.skew) >= _UNSURE * self.period

    @property
    def notice(self) -> str:
        """What a user should know, in a sentence; else empty."""
        if not self.ambiguous:
            return ''
        return (
            'the stamps differ by half a period (thermal minus rgb is '
            f'{self.skew / 1e6:+.1f} ms of {self.period / 1e6:.1f} ms), so nobody can tell which '
            'frames belong together: set sync.thermal_time_offset ("multimodal_fusion calibrate '
            '--bag BAG --time-offset" measures it)'
        )


@dataclass(frozen=True)
class Beat:
    """What a stream's stamps tell of its frames.

    shortest: of the recent intervals, a bound on how soon the next frame can follow. period: of the
    last second or so. slope: period over the window and its standard error, where it can be told.
    """

    shortest: int
    period: float
    slope: tuple[float, float] | None

    @classmethod
    def of(cls, stamps: list[int]) -> 'Beat | None':
        """stamps: in order. None while they are too few."""
        intervals = np.diff(stamps)
        if len(intervals) < _LEAST:
            return None
        recent = np.sort(intervals[-INTERVALS:])
        # Two fifths: it holds while less than three fifths of the frames are lost.
        period = float(recent[recent <= 1.5 * recent[len(recent) * 2 // 5]].mean())
        shortest = int(intervals[-3 * INTERVALS :].min())
        return cls(shortest, period, _slope(np.array(stamps), period))


def _slope(stamps: np.ndarray, period: float) -> tuple[float, float] | None:
    """Stamps against frame numbers: the slope and its standard error, in nanoseconds a frame.

    Frames are numbered by the period of fewer of them, from the newest back: a recent period is not
    good enough for ten seconds, and numbers counted up from interval to interval would keep each
    error. After a pause the numbers begin anew, with an intercept of their own: a camera keeps its
    period when it starts again.
    """
    part = np.concatenate(([0], np.cumsum(np.diff(stamps) > INTERVALS / 2 * period)))
    last = stamps[np.flatnonzero(np.diff(part, append=part[-1] + 1))]
    since = (stamps - last[part]).astype(float)
    slope, error, count = period, 0.0, min(INTERVALS, len(stamps))
    while True:
        group = part[-count:] - part[-count]
        size = np.bincount(group)
        x, y = (
            v - (np.bincount(group, weights=v) / size)[group]
            for v in (np.rint(since[-count:] / slope), since[-count:])
        )
        spread, freedom = float(x @ x), count - len(size) - 1
        if spread == 0 or freedom < 1:
            return None
        slope = float(x @ y) / spread
        error = math.sqrt(float(np.square(y - slope * x).sum()) / freedom / spread)
        if count == len(stamps):
            return slope, error
        count = min(count * 3 // 2, len(stamps))


def rhythm(
    rgb: list[int], rgb_beat: Beat | None, thermal: list[int], thermal_beat: Beat | None
) -> Rhythm | None:
    """What two streams of equal rates have in common; None of others, or while unknown.

    rgb, thermal: stamps, in order.
    """
    if rgb_beat is None or thermal_beat is None:
        return None
    period = (rgb_beat.period + thermal_beat.period) / 2
    if abs(rgb_beat.period - thermal_beat.period) > _ALIKE * period:
        return None
    sure = False
    if rgb_beat.slope and thermal_beat.slope:
        scale = WINDOW / period**2  # from nanoseconds a frame to periods a window
        drift = scale * abs(rgb_beat.slope[0] - thermal_beat.slope[0])
        error = 4 * scale * math.hypot(rgb_beat.slope[1], thermal_beat.slope[1])
        if drift > max(_DRIFT, error):
            return None
        sure = error < _DRIFT
    r, t = np.array(rgb), np.array(thermal)
    end = min(t[-1], r[-1])
    t = t[(t > end - _RUNNING) & (t <= end)]
    gaps = t - r[np.searchsorted(r, t)]  # to the RGB frame that follows
    gaps = gaps[gaps > -1.5 * period]  # farther ones, across a pause, add up the period's error
    if len(gaps) < _LEAST:
        return None
    turn = cmath.phase(np.exp(2j * math.pi / period * gaps).sum()) / (2 * math.pi)
    return Rhythm(round(period), round(turn * period), sure)
