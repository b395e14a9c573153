"""Raw 8, 14 or 16-bit thermal to 8-bit white-hot, steady over time.

Contrast is decided here and nowhere else. The range that maps to 0..255 is found per thermal frame
with a memory (`ThermalRange`), and applied by a pure function (`to_white_hot`). A frame that was
dropped later has still moved the range, so that live and offline runs agree on every pixel.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import UserError
from ..parameters import option
from .plateau import Curve, curve
from .repair import DESTRIPES, without_dead_pixels, without_stripes

RANGES = ('auto', 'fixed', 'percentile', 'minmax', 'plateau')
POLARITIES = ('white_hot', 'black_hot')

# Percentiles are taken on about this many pixels: on 16 times more they move by under a count.
_SAMPLES = 20_000
_JUMP_BACK = 1.0  # seconds: a larger step back of the stamps is a new start


@dataclass(frozen=True)
class ThermalSettings:
    """How counts become grey levels.

    range: ``fixed`` (fixed_min..fixed_max), ``percentile``, ``minmax``, ``plateau`` (see
        `plateau`), or ``auto``: 8-bit images stay as the camera made them, more bits go by
        percentile.
    fixed_min, fixed_max: limits in units, where ``unit = counts * scale + offset``
        (scale 0.04 and offset -273.15 turn many radiometric 14-bit cameras into degrees Celsius).
    unit, planck: see `temperature`.
    low, high: percentiles, 0..100.
    memory: seconds after which a change of the scene has moved the range by 63%; 0 forgets at once.
    min_span: smallest range, in units, for 16-bit data; min_span_8bit, in grey levels, for 8-bit.
        A flat warm scene stays flat instead of showing stretched noise.
    polarity: ``black_hot`` cameras (hot is dark) are inverted.
    clahe: contrast limit of local equalisation after the range; 0 is off.
    dead_pixels, destripe: see `repair`; before everything else.
    """

    range: str = option(
        'auto',
        'What maps to black and white; auto: 8-bit images stay, more bits go by percentile; '
        'plateau: equalised, detail kept, so that one lamp does not leave the rest black.',
        choices=RANGES,
    )
    fixed_min: float = option(
        0.0,
        'Black of the fixed range.',
        unit='counts x scale + offset',
        low=-1000000.0,
        high=1000000.0,
    )
    fixed_max: float = option(
        16383.0,
        'White of the fixed range.',
        unit='counts x scale + offset',
        low=-1000000.0,
        high=1000000.0,
    )
    scale: float = option(
        1.0,
        'Units per count: 0.04 for many radiometric 14-bit cameras (then in kelvin).',
        low=1e-06,
        high=1000000.0,
    )
    offset: float = option(
        0.0,
        'Added after scale: -273.15 turns kelvin into degrees Celsius.',
        low=-1000000.0,
        high=1000000.0,
    )
    unit: str = option(
        'counts',
        'What counts x scale + offset are; kelvin and celsius make thermal/temperature.',
        choices=('counts', 'kelvin', 'celsius'),
    )
    planck: list[float] = option(
        [0.0, 0.0, 0.0, 0.0, 0.0],
        'R1, B, F, O and R2 of a radiometric FLIR camera, which make temperatures of raw counts in '
        'place of the line; zeros: not known.',
    )
    low: float = option(1.0, 'Percentile that maps to black.', unit='%', low=0.0, high=100.0)
    high: float = option(99.5, 'Percentile that maps to white.', unit='%', low=0.0, high=100.0)
    memory: float = option(
        2.0,
        'Time constant with which percentile, minmax and plateau follow the scene; 0: at once.',
        unit='s',
        low=0.0,
        high=600.0,
    )
    min_span: float = option(
        200.0,
        'Smallest range of more-than-8-bit data: keeps a flat scene flat.',
        unit='counts x scale',
        low=0.0,
        high=65535.0,
    )
    min_span_8bit: float = option(
        64.0,
        'Smallest range of 8-bit data, where it is stretched at all.',
        unit='grey levels',
        low=0.0,
        high=255.0,
    )
    polarity: str = option(
        'white_hot',
        'Whether hot is white or black in the images that come in.',
        choices=POLARITIES,
    )
    clahe: float = option(
        0.0,
        'Contrast limit of local equalisation (CLAHE) after the range; 0 is off.',
        low=0.0,
        high=40.0,
    )

    dead_pixels: bool = option(
        False,
        'Replace pixels that stick out of their neighbourhood by its median. Single hot pixels of '
        'the scene go with them.',
    )
    destripe: str = option(
        'none',
        'Take the constant offsets of rows or columns out, as uncooled cameras have them.',
        choices=DESTRIPES,
    )

    def __post_init__(self):
        if self.range not in RANGES:
            raise UserError(f'thermal.range is {self.range!r}; use one of {", ".join(RANGES)}')
        if self.polarity not in POLARITIES:
            raise UserError(
                f'thermal.polarity is {self.polarity!r}; use one of {", ".join(POLARITIES)}'
            )
        if self.range == 'fixed' and not self.fixed_min < self.fixed_max:
            raise UserError(
                f'thermal.fixed_min ({self.fixed_min}) must be below '
                f'thermal.fixed_max ({self.fixed_max})'
            )
        if not 0 <= self.low < self.high <= 100:
            raise UserError(
                f'thermal.low ({self.low}) must be below thermal.high ({self.high}), '
                'both between 0 and 100'
            )
        if len(self.planck) != 5 or (any(self.planck) and min(self.planck[:2]) <= 0):
            raise UserError(
                f'thermal.planck is {self.planck}; it must be R1, B, F, O and R2, with R1 and B '
                'above 0, or five zeros'
            )
        if self.scale <= 0:
            raise UserError(f'thermal.scale is {self.scale}; it must be above 0')


Limits = tuple[float, float] | Curve | None


def repaired(frame: np.ndarray, settings: ThermalSettings) -> np.ndarray:
    """Counts without the faults of the sensor that the settings name; the frame itself if none."""
    if settings.dead_pixels:
        frame = without_dead_pixels(frame)
    if settings.destripe != 'none':
        frame = without_stripes(frame, settings.destripe)
    return frame


class ThermalRange:
    """The range of counts that maps to 0..255, followed from frame to frame."""

    def __init__(self, settings: ThermalSettings):
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next frame sets the range at once."""
        self._low = self._high = 0.0
        self._curve: Curve | None = None
        self._stamp: int | None = None

    def update(self, frame: np.ndarray, stamp: int) -> Limits:
        """The range (low, high), in counts, for this frame, or the curve of a plateau; None leaves
        8-bit data as it is.

        frame: uint8 or uint16 (H, W). stamp: nanoseconds; a step back forgets the past.
        """
        s = self.settings
        wide = frame.dtype == np.uint16
        if s.range == 'auto' and not wide:
            return None
        if s.range == 'fixed':
            return (s.fixed_min - s.offset) / s.scale, (s.fixed_max - s.offset) / s.scale
        span, keep = (s.min_span / s.scale if wide else s.min_span_8bit), self._kept(stamp)
        if s.range == 'plateau':
            found = curve(frame, max(span, 1.0))
            self._curve = self._curve.mixed(found, keep) if keep and self._curve else found
            return self._curve
        low, high = self._limits(frame)
        low += keep * (self._low - low)
        high += keep * (self._high - high)
        self._low, self._high = low, high
        missing = span - (high - low)
        if missing > 0:
            low, high = low - missing / 2, high + missing / 2
        return low, high

    def _kept(self, stamp: int) -> float:
        """How much of what was stays, 0 to 1: a first-order low-pass in stamp time, the same
        whatever the frame rate. A frame out of order changes nothing; a clock that jumped back
        starts afresh."""
        since = math.inf if self._stamp is None else (stamp - self._stamp) * 1e-9
        self._stamp = stamp
        if not -_JUMP_BACK <= since < math.inf or self.settings.memory <= 0:
            return 0.0
        return math.exp(-max(since, 0.0) / self.settings.memory)

    def _limits(self, frame: np.ndarray) -> tuple[float, float]:
        if self.settings.range == 'minmax':
            low, high, _, _ = cv2.minMaxLoc(frame)
            return low, high
        stride = max(1, math.isqrt(frame.size // _SAMPLES))
        sample = frame[::stride, ::stride]
        low, high = np.percentile(sample, (self.settings.low, self.settings.high))
        return float(low), float(high)


def to_white_hot(
    frame: np.ndarray,
    limits: Limits,
    polarity: str = 'white_hot',
    clahe: float = 0.0,
) -> np.ndarray:
    """Map counts to 8 bits: ``255 (x - low) / (high - low)``, rounded and clipped.

    frame: uint8 or uint16 (H, W). limits: (low, high) in counts, a curve, which decides by itself,
    or None to leave uint8 as it is.
    Returns uint8 (H, W), white-hot; the frame itself where there is nothing to do.
    """
    if limits is None:
        if frame.dtype != np.uint8:
            raise UserError(f'{frame.dtype} thermal data needs a range; only uint8 goes as it is')
        grey = frame
    elif isinstance(limits, Curve):
        grey = limits.apply(frame)
    else:
        grey = _scale(frame, *limits)
    if polarity == 'black_hot':
        grey = cv2.bitwise_not(grey)
    if clahe > 0:
        grey = cv2.createCLAHE(clahe, (8, 8)).apply(grey)
    return grey


def _scale(frame: np.ndarray, low: float, high: float) -> np.ndarray:
    """255 (x - low) / (high - low), rounded and clipped."""
    alpha = 255.0 / max(high - low, 1e-9)
    whole = max(0, round(low))
    if low < 0 or abs(low - whole) * alpha < 0.49:
        # The quickest way. convertScaleAbs would fold what is below the limit back up, so that is
        # cut off first, at a whole number of counts: what remains of the limit rounds to black.
        return cv2.convertScaleAbs(
            cv2.subtract(frame, whole) if whole else frame,  # type: ignore[call-overload]
            alpha=alpha,
            beta=(whole - low) * alpha,
        )
    # A part of a count may be a grey level here. This one call saturates at both ends by itself.
    return cv2.addWeighted(frame, alpha, frame, 0.0, -low * alpha, dtype=cv2.CV_8U)
