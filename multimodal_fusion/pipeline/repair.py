"""Faults of a thermal sensor, taken out of the counts: dead pixels, stripes of rows and columns."""

import cv2
import numpy as np

OUTLIER = 6.0  # standard deviations of a pixel from the median of its neighbourhood
STRIPE = 9  # px across, over which a row or column is compared with its neighbours
LARGEST = 4.0  # times the typical offset: what is more is no stripe, but an edge of the scene
DESTRIPES = ('none', 'rows', 'columns', 'both')


def without_dead_pixels(frame: np.ndarray) -> np.ndarray:
    """Pixels that stick out become the median of the 3x3 about them: those beyond the second of
    their eight neighbours, so that one dead neighbour hides none, and the corner of a small warm
    thing is none. uint8 or uint16 (H, W), a new array."""
    median = cv2.medianBlur(frame, 3)
    typical = 1.4826 * float(np.median(cv2.absdiff(frame, median)[::2, ::2])) + 1.0
    allowed = round(OUTLIER * typical)
    height, width = frame.shape
    around = cv2.copyMakeBorder(frame, 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    places = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    neighbours = [around[y : y + height, x : x + width] for y, x in places]
    first, second = cv2.max(*neighbours[:2]), cv2.min(*neighbours[:2])
    last, before = second, first
    for one in neighbours[2:]:
        second = cv2.max(second, cv2.min(first, one))
        first = cv2.max(first, one)
        before = cv2.min(before, cv2.max(last, one))
        last = cv2.min(last, one)
    # Saturating: what is below an allowance of 0 is not below.
    dead = (cv2.subtract(frame, second) > allowed) | (cv2.subtract(before, frame) > allowed)
    return np.where(dead, median, frame)


def without_stripes(frame: np.ndarray, which: str) -> np.ndarray:
    """Each row's, each column's constant offset from its neighbours taken off. which: of
    `DESTRIPES`. uint8 or uint16 (H, W), a new array."""
    counts = frame.astype(np.float32)
    if which in ('columns', 'both'):
        counts -= _offsets(counts)[None]
    if which in ('rows', 'both'):
        counts -= _offsets(counts.T)[:, None]
    limits = np.iinfo(frame.dtype)
    return np.clip(np.rint(counts), limits.min, limits.max).astype(frame.dtype)


def _offsets(counts: np.ndarray) -> np.ndarray:
    """Of each column, (W,): the median over its pixels of what they are beside their row's
    neighbourhood."""
    smooth = cv2.blur(counts, (STRIPE, 1), borderType=cv2.BORDER_REFLECT_101)
    offsets = np.median(counts - smooth, axis=0)
    typical = 1.4826 * float(np.median(np.abs(offsets))) + 1e-3
    return np.clip(offsets, -LARGEST * typical, LARGEST * typical)
