"""Counts to degrees Celsius, where a camera's counts say so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .thermal import ThermalSettings

ZERO = 273.15  # kelvin
UNKNOWN = (
    'counts of this camera are not known as temperatures: set thermal.unit to kelvin or celsius, '
    'with thermal.scale and thermal.offset, or thermal.planck'
)


@dataclass(frozen=True)
class Hottest:
    """The hottest pixel: column, row, and degrees Celsius."""

    x: int
    y: int
    celsius: float


def celsius(counts: np.ndarray, settings: ThermalSettings) -> np.ndarray | None:
    """float32 (H, W), degrees Celsius; None where the settings don't tell. counts: uint8 or uint16
    (H, W).

    By ``planck`` R1, B, F, O, R2, as FLIR writes them: T = B / ln(R1 / (R2 (x + O)) + F) in kelvin,
    for an emissivity of 1 and nothing between; else ``x scale + offset`` in ``unit``.
    """
    if any(settings.planck):
        return _table(tuple(settings.planck))[counts]
    if settings.unit == 'counts':
        return None
    shift = settings.offset - (ZERO if settings.unit == 'kelvin' else 0.0)
    return counts.astype(np.float32) * np.float32(settings.scale) + np.float32(shift)


@lru_cache(maxsize=4)
def _table(planck: tuple[float, ...]) -> np.ndarray:
    """Of every count; -273.15 where the formula has no temperature."""
    r1, b, f, o, r2 = planck
    radiance = r2 * (np.arange(65536.0) + o)
    with np.errstate(all='ignore'):
        kelvin = b / np.log(r1 / radiance + f)
    good = np.isfinite(kelvin) & (kelvin > 0) & (radiance > 0)
    return np.where(good, kelvin - ZERO, -ZERO).astype(np.float32)


def hottest(degrees: np.ndarray) -> Hottest:
    """Of a picture in degrees, float32 (H, W)."""
    _, most, _, (x, y) = cv2.minMaxLoc(degrees)
    return Hottest(x, y, float(most))
