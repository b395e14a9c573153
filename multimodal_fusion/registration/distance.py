"""How far away the plane is that the cameras look at, from a range finder or a depth camera."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from .camera import Lens

NEWEST = 5  # measurements, of which the median counts: single ones may be wild
LEAST = 0.02  # share of the depth pixels looked at that must be known


class Distance:
    """The median of the newest measurements. Seconds are of any steady clock."""

    def __init__(self) -> None:
        self._newest: deque[float] = deque(maxlen=NEWEST)
        self.last: float | None = None

    def add(self, metres: float | None, now: float) -> float | None:
        """metres: None for none. Returns the distance; None while there is none."""
        if metres is not None:
            self._newest.append(metres)
            self.last = now
        return float(np.median(self._newest)) if self._newest else None


def of_range(message: Any) -> float | None:
    """message: like sensor_msgs/Range, m. None where it says that it saw nothing."""
    found = float(message.range)
    if not np.isfinite(found) or found <= 0:
        return None
    limits = float(message.min_range), float(message.max_range)
    return found if limits[1] <= limits[0] or limits[0] <= found <= limits[1] else None


def of_depth(depth: np.ndarray, camera: Lens | None, thermal: Lens | None) -> float | None:
    """depth: float32 (H, W), m, nan for unknown. camera, thermal: of the depth camera and of
    thermal, which look the same way; where both are known, only what thermal sees counts. Returns
    the median, m; None where too little is known."""
    seen = depth
    if camera is not None and thermal is not None and camera.size == depth.shape:
        matrix = np.reshape(camera.matrix, (3, 3))
        spans = []
        for axis in (0, 1):
            middle, focal = matrix[1 - axis, 2], matrix[1 - axis, 1 - axis]
            other = np.reshape(thermal.matrix, (3, 3))
            reach = focal * thermal.size[axis] / 2 / other[1 - axis, 1 - axis]
            low, high = max(0, round(middle - reach)), round(middle + reach) + 1
            spans.append(slice(low, max(low + 1, high)))
        seen = depth[tuple(spans)]
    known = seen[np.isfinite(seen)]
    return float(np.median(known)) if known.size and known.size >= LEAST * seen.size else None
