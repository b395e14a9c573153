"""Counts to degrees Celsius, where a camera's counts say so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import BadImage
from ..io.image_files import DEGREE_OFFSET, DEGREE_SCALE, thermal_file
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


def told_by(path: Path, given: Collection[str] = ()) -> dict[str, Any]:
    """Parameters that a thermal file gives of itself: how its counts are temperatures; none of one
    that cannot be read, which is told when it is used. given: names of those that a user gave;
    where any of them says what counts are, that holds."""
    if not {'thermal.scale', 'thermal.offset', 'thermal.unit', 'thermal.planck'}.isdisjoint(given):
        return {}
    try:
        file = thermal_file(path)
    except BadImage:
        return {}
    if file.planck is not None:
        return {'thermal.planck': list(file.planck)}
    if not file.degrees:
        return {}
    return {
        'thermal.scale': DEGREE_SCALE,
        'thermal.offset': DEGREE_OFFSET,
        'thermal.unit': 'celsius',
        # As many counts as by default.
        'thermal.min_span': ThermalSettings().min_span * DEGREE_SCALE,
    }


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
