"""By how much the clocks of two cameras differ: what moves in one picture moves in the other.

What changes, and where in the picture, is a signal over time that both spectra share, whatever they
show; the offset is where the signals fit best.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WIDTH = 80  # px: of the images whose change is measured
CELLS = (3, 5)  # of a picture, down and across
BASELINE = 0.1  # s, over which change is measured, at least
NOISE = 3.0  # times the median change of a pixel: more is motion
LONGEST = 2.0  # s, of an offset
STEP = 0.005  # s, between offsets that are tried
SHORTEST = 4.0  # s, for which both must have recorded
GAIN = 0.12  # of correlation over what any offset reaches, from which one is believed
DOUBT = 0.65  # of it, which another offset may gain
EDGE = 0.05  # s, off the longest offset
ADVICE = (
    'for ten seconds, let people walk through the picture, or turn the rig, unevenly: stop and go'
)


@dataclass(frozen=True)
class Offset:
    """seconds: to be added to thermal stamps (``sync.thermal_time_offset``). fit: correlation of
    the two there. reason: why it is not to be believed, a sentence; empty if it is."""

    seconds: float
    fit: float
    reason: str


class Motion:
    """The pictures of one stream, small; frames go in one by one."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.images: list[np.ndarray] = []

    def add(self, seconds: float, image: np.ndarray) -> None:
        """seconds: of the stamp. image: uint8 or uint16 (H, W), or uint8 (H, W, 3). A frame that
        repeats the last one (a shutter) says nothing, nor does one whose stamp does not go on."""
        if image.ndim == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        height = max(1, round(image.shape[0] * WIDTH / image.shape[1]))
        now = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self.times:
            last = self.images[-1]
            if seconds <= self.times[-1] or last.shape != now.shape or np.array_equal(last, now):
                return
        self.times.append(seconds)
        self.images.append(now)

    @property
    def period(self) -> float:
        return float(np.median(np.diff(self.times)))

    def changes(self, baseline: float) -> tuple[np.ndarray, np.ndarray]:
        """(times (T,), signals (cells, T)): what changes over so many seconds in each cell of the
        picture, beyond what noise does, about its mean."""
        times, images = np.array(self.times), np.stack(self.images)
        first = int(np.searchsorted(times, times[0] + baseline))
        at = times[first:] - baseline
        later = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
        share = ((at - times[later - 1]) / (times[later] - times[later - 1]))[:, None, None]
        before = images[later - 1] * (1 - share) + images[later] * share
        apart = np.abs(images[first:] - before)
        noise = np.median(apart, axis=0)
        excess = np.maximum(apart - NOISE * noise - 1e-3, 0)
        cells = np.stack(
            [
                part.mean((1, 2))
                for band in np.array_split(excess, CELLS[0], axis=1)
                for part in np.array_split(band, CELLS[1], axis=2)
            ]
        )
        signals = np.sqrt(cells)
        return times[first:] - baseline / 2, signals - signals.mean(1, keepdims=True)


def clock_offset(rgb: Motion, thermal: Motion) -> Offset:
    """From the motion of both streams."""
    if min(len(rgb.times), len(thermal.times)) < 8:
        return Offset(0.0, 0.0, 'too few frames of both cameras: record ten seconds with motion')
    slowest = max(rgb.period, thermal.period)
    baseline = max(BASELINE, slowest)
    first, second = rgb.changes(baseline), thermal.changes(baseline)
    still = [
        name
        for name, (_, signals) in (('RGB', first), ('thermal', second))
        if not signals.size or not signals.std()
    ]
    if still:
        return Offset(0.0, 0.0, f'nothing moves in {" and ".join(still)}; {ADVICE}')
    lags = np.arange(-LONGEST, LONGEST + STEP / 2, STEP)
    fits = np.array([_fit(first, second, lag, slowest) for lag in lags])
    best = int(np.argmax(fits))
    fit = float(fits[best])
    if fit <= 0:
        return Offset(0.0, 0.0, f'the cameras did not record at the same time for long: {ADVICE}')
    seconds = float(lags[best]) + _between(fits, best) * STEP
    elsewhere = fits[np.abs(lags - lags[best]) > max(0.3, 3 * slowest)]
    anywhere = float(np.median(fits[fits > 0]))  # what any offset reaches
    gain, rival = fit - anywhere, float(elsewhere.max(initial=0.0)) - anywhere
    reason = ''
    if gain < GAIN:
        reason = f'no offset fits well: by {gain:.2f} more than any, {GAIN} is asked for; {ADVICE}'
    elif rival > DOUBT * gain:
        reason = f'the motion repeats itself, so that another offset fits as well; {ADVICE}'
    elif abs(seconds) > LONGEST - EDGE:
        reason = f'the clocks are more than {LONGEST:g} s apart: set them by the same source first'
    return Offset(seconds, fit, reason)


def _fit(
    rgb: tuple[np.ndarray, np.ndarray],
    thermal: tuple[np.ndarray, np.ndarray],
    lag: float,
    slowest: float,
) -> float:
    """How well the cells of both go together over the time that both cover: of the cells in which
    something moves, the correlation with the cell of the other that suits best, weighted by how
    much moves. lag: s, added to thermal."""
    shifted = thermal[0] + lag
    start, end = max(rgb[0][0], shifted[0]), min(rgb[0][-1], shifted[-1])
    if end - start < SHORTEST:
        return -1.0
    times = np.arange(start, end, slowest / 2)
    first, second = (
        np.stack([np.interp(times, own, line) for line in signals])
        for own, signals in ((rgb[0], rgb[1]), (shifted, thermal[1]))
    )
    first, second = (part - part.mean(1, keepdims=True) for part in (first, second))
    sizes = [np.linalg.norm(part, axis=1) for part in (first, second)]
    table = first @ second.T / (np.outer(*sizes) + 1e-9)
    rows, columns = table.max(1), table.max(0)
    return float((rows @ sizes[0] / sizes[0].sum() + columns @ sizes[1] / sizes[1].sum()) / 2)


def _between(fits: np.ndarray, best: int) -> float:
    """Steps from the best to the top of the parabola through it and its neighbours."""
    if not 0 < best < len(fits) - 1:
        return 0.0
    low, top, high = fits[best - 1 : best + 2]
    bend = low - 2 * top + high
    return float(np.clip(0.5 * (low - high) / bend, -0.5, 0.5)) if bend < 0 else 0.0
