"""Kept contrast: KC, its two halves, and what amplifying costs: amplified, saturated."""

from __future__ import annotations

import math

import numpy as np

from .registry import metric
from .shared import PlanePair, Triple, once, strips
from .structural import BOX, box_moments, box_products

LEAST = 16  # variance that counts as contrast: a standard deviation of 4 grey levels
GAIN = 1.1  # the fused deviation over the larger of the sources' from which it is amplified

# box_moments holds BOX^4 times the variance, so that all comparisons are of whole numbers.
_LEAST = LEAST * BOX**4


@once
def kept(pair: PlanePair) -> float:
    """The mean over the source's windows with contrast of clip(c / v, 0, 1); NaN without any.

    pair: a source and F.
    """
    size, total, count = BOX * BOX, 0.0, 0
    products = box_products(pair)
    for rows in strips(len(products)):
        first, spread = (part[rows] for part in box_moments(pair.first))
        second = box_moments(pair.second)[0][rows]
        some = spread > _LEAST
        shared = (size * products[rows] - first * second)[some]
        total += float(np.clip(shared / spread[some], 0, 1).sum())
        count += int(some.sum())
    return total / count if count else math.nan


@metric('KC', 'kept contrast', better='higher', range=(0, 1), smallest=BOX)
def kept_contrast(images: Triple) -> float:
    """KC = min(KC_thermal, KC_visible), the contrast kept of the source that lost more.

    One source without contrast: the other's.  Range 0..1, higher is better.  NaN where neither
    source has contrast.  Copying one source does not win it; amplifying does, see amplified and
    saturated.  7x7 and up.  The definition is this package's own.
    """
    halves = [half for half in (kept(images.af), kept(images.bf)) if not math.isnan(half)]
    return min(halves, default=math.nan)


@metric('KC_thermal', 'kept thermal contrast', better='higher', range=(0, 1), smallest=BOX,
        ranked=False)  # fmt: skip
def kept_thermal(images: Triple) -> float:
    """KC_thermal: mean of clip(c / v, 0, 1) over the windows of A with v > 16.

    v is the population variance of A and c the population covariance of A and F in a uniform 7x7
    window inside of the image.  Range 0..1, higher is better.  NaN without such a window.
    """
    return kept(images.af)


@metric('KC_visible', 'kept visible contrast', better='higher', range=(0, 1), smallest=BOX,
        ranked=False)  # fmt: skip
def kept_visible(images: Triple) -> float:
    """KC_visible: mean of clip(c / v, 0, 1) over the windows of B with v > 16, as KC_thermal.

    Range 0..1, higher is better.  NaN without such a window.
    """
    return kept(images.bf)


@metric('amplified', 'share of amplified windows', better='lower', range=(0, 1), smallest=BOX,
        ranked=False)  # fmt: skip
def amplified(images: Triple) -> float:
    """The share of windows whose deviation in F is over 1.1 times the larger of A's and B's.

    Of the uniform 7x7 windows with a variance over 16 in A or B.  Range 0..1, lower is better.
    NaN without such a window.
    """
    spreads = [box_moments(plane)[1] for plane in (images.a, images.b, images.f)]
    over = count = 0
    for rows in strips(len(spreads[0])):
        larger = np.maximum(spreads[0][rows], spreads[1][rows])
        some = larger > _LEAST
        over += int((spreads[2][rows][some] > GAIN**2 * larger[some]).sum())
        count += int(some.sum())
    return over / count if count else math.nan


@metric('saturated', 'saturated pixels beyond those of max', better='lower', range=(-1, 1),
        ranked=False)  # fmt: skip
def saturated(images: Triple) -> float:
    """The share of pixels of F that are 0 or 255, minus that of max(A, B).

    Range -1..1, lower is better; below 0: fewer than the maximum has.
    """
    brightest = np.maximum(images.a.image, images.b.image)
    ends = [int(((image == 0) | (image == 255)).sum()) for image in (images.f.image, brightest)]
    return (ends[0] - ends[1]) / brightest.size
