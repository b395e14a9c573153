"""Gain as thermal cameras do it: plateau-limited histogram equalisation, with detail kept apart.

Counts that many pixels have get more grey levels than those that few have, but no more than a
plateau says, so that neither one lamp nor a large flat wall takes them all. The curve follows the
scene with memory. It is applied to a smoothed picture (the base); what was smoothed away (the
detail) is added with one gain for the whole picture, so that texture shows in every part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

COUNTS = 65536
PLATEAU = 2.5  # times the mean number of pixels that a count in use has
RADIUS = 3  # px, of the base's neighbourhoods
EDGE = 2.0  # times the typical local variance: from there on a base keeps edges
DETAIL = 1.0  # times the picture's typical gain, of what is added


@dataclass(frozen=True)
class Curve:
    """levels: float32 (65536,), the grey level of each count, 0 to 255, rising. detail: grey levels
    per count of what the base leaves out."""

    levels: np.ndarray
    detail: float

    def mixed(self, other: Curve, keep: float) -> Curve:
        """So much of this one, the rest of the other."""
        levels = keep * self.levels + (1 - keep) * other.levels
        detail = keep * self.detail + (1 - keep) * other.detail
        return Curve(levels.astype(np.float32), detail)

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """uint8 or uint16 (H, W) to uint8."""
        counts = frame.astype(np.float32)
        base = _base(counts)
        levels = self.levels[np.clip(np.rint(base), 0, COUNTS - 1).astype(np.intp)]
        return np.clip(np.rint(levels + self.detail * (counts - base)), 0, 255).astype(np.uint8)


def curve(frame: np.ndarray, least: float) -> Curve:
    """The curve of one frame. least: counts that all grey levels are spread over at least, so that
    a flat scene stays flat."""
    pixels = np.bincount(frame.ravel(), minlength=COUNTS).astype(np.float64)
    used, total = np.flatnonzero(pixels), np.cumsum(pixels)
    first, last = int(used[0]), int(used[-1])
    # Some cameras leave gaps between the counts that they use: the pixels of each fill them.
    wide = max(1, round(2 * (last - first + 1) / len(used)))
    padded = np.pad(pixels[first : last + 1], (wide // 2 + 1, wide - 1 - wide // 2), mode='edge')
    sums = np.cumsum(padded)
    part = (sums[wide:] - sums[:-wide]) / wide
    low, high = np.searchsorted(total, np.array([0.02, 0.98]) * frame.size)
    part = np.minimum(part, PLATEAU * frame.size / (high - low + 1))
    steps = np.minimum(part * (255 / part.sum()), 255 / least)
    # Grey levels that are left go to counts of few pixels: what is hottest is white.
    room = 255 / least - steps
    steps += room * min(1.0, (255 - steps.sum()) / max(room.sum(), 1e-9))
    levels = np.zeros(COUNTS)
    levels[first : last + 1] = np.cumsum(steps)
    levels[last + 1 :] = levels[last]
    levels = np.clip(levels + (255 - levels[last]) / 2, 0, 255)
    gain = (levels[high] - levels[low]) / max(float(high - low), least / 4)
    return Curve(levels.astype(np.float32), float(min(DETAIL * gain, 255 / least)))


def _base(counts: np.ndarray) -> np.ndarray:
    """A guided filter of the picture by itself (He et al., ECCV 2010): smooth, but for edges."""
    size = (2 * RADIUS + 1,) * 2
    mean = cv2.boxFilter(counts, -1, size)
    variance = np.maximum(cv2.boxFilter(counts * counts, -1, size) - mean * mean, 0)
    typical = float(np.median(variance[::4, ::4])) + 1e-3
    share = variance / (variance + EDGE * typical)
    share, rest = (cv2.boxFilter(part, -1, size) for part in (share, mean - share * mean))
    return share * counts + rest
