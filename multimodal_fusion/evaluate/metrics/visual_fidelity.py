"""Visual information fidelity in the pixel domain: VIF."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .registry import metric
from .shared import Plane, PlanePair, Triple, centred, gaussian, inside, once, strips

WINDOWS = (17, 9, 5, 3)  # side per scale; sigma is a fifth of it
NOISE = 2.0  # variance of the visual noise, for levels of 0..255
TINY = 1e-10  # a variance below this is none
SMALLEST = 41  # least side at which all four scales hold a window


def smooth(image: np.ndarray, side: int) -> np.ndarray:
    """The Gaussian window means over all whole windows, float64."""
    window = gaussian(side, side / 5)
    return inside(cv2.sepFilter2D(image, -1, window, window), side)


def log_sum(values: np.ndarray) -> float:
    """sum(ln(values)) for a strip of at most 32 rows of values in 1 .. 1 + 127.5^2 / 2.

    Takes one logarithm per column: the product of 32 values stays below 1e126.
    """
    return float(np.log(np.multiply.reduce(values, axis=0)).sum())


@once
def scales(plane: Plane) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, window means and window means of the square at each of the four scales."""
    image = centred(plane)
    found = []
    for side in WINDOWS:
        if found:
            image = np.ascontiguousarray(smooth(image, side)[::2, ::2])
        found.append((image, smooth(image, side), smooth(image * image, side)))
    return found


def spread(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """The variance, 0 where it is below TINY."""
    variance = square - mean * mean
    np.copyto(variance, 0, where=variance < TINY)
    return variance


@once
def own_information(plane: Plane) -> float:
    """Sum ln(1 + variance / NOISE) over all scales: what the image itself tells."""
    return sum(
        log_sum(1 + spread(mean[rows], square[rows]) / NOISE)
        for _, mean, square in scales(plane)
        for rows in strips(len(mean))
    )


def passed_information(pair: PlanePair) -> float:
    """Sum ln(1 + g^2 variance / (rest + NOISE)): what the second plane tells of it."""
    information = 0.0
    for side, first, second in zip(WINDOWS, scales(pair.first), scales(pair.second), strict=True):
        products = smooth(first[0] * second[0], side)
        for rows in strips(len(products)):
            mean, other_mean = first[1][rows], second[1][rows]
            variance = spread(mean, first[2][rows])
            other = spread(other_mean, second[2][rows])
            covariance = products[rows] - mean * other_mean
            # No gain below 0, and none from or to a window without variance.
            useful = (covariance > 0) & (variance > 0) & (other > 0)
            gain = useful * covariance / (variance + TINY)
            rest = np.maximum(other - gain * covariance, TINY)
            information += log_sum(1 + gain * gain * variance / (rest + NOISE))
    return information


def fidelity(pair: PlanePair) -> float:
    """VIFp(first, second); 1 if the first image is flat and has nothing to tell."""
    own = own_information(pair.first)
    return passed_information(pair) / own if own else 1.0


@metric(
    'VIF',
    'visual information fidelity',
    better='higher',
    range=(0, math.inf),
    definitions=('ours', 'cddfuse'),
    smallest=SMALLEST,
)
def visual_information_fidelity(images: Triple) -> float:
    """VIF = VIFp(A,F) + VIFp(B,F), levels 0..255, pixel domain, four scales.

    VIFp(X,F) = sum ln(1 + g^2 vX / (v + 2)) / sum ln(1 + vX / 2) over all scales and windows,
    with g = cov(X,F) / vX and v = vF - g cov(X,F).  Gaussian windows of 17, 9, 5 and 3 pixels,
    sigma a fifth.  Range 0 .. about 2 (more where F raises contrast), higher is better.  A flat
    source makes its own term 1, as in CDDFuse.  Needs 41x41 pixels.
    Source: Sheikh and Bovik 2006, IEEE Trans. Image Processing 15(2); sum as in CDDFuse.
    """
    return fidelity(images.af) + fidelity(images.bf)
