"""Metrics from differences of neighbours: SF, AG, EI, Qabf, Nabf."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .registry import metric, variant
from .shared import Plane, Triple, centred, once, strips

# Xydeas and Petrovic 2000: ceiling, slope and middle of the two sigmoids.
STRENGTH_CEILING, STRENGTH_SLOPE, STRENGTH_MIDDLE = 0.9994, -15.0, 0.5
ANGLE_CEILING, ANGLE_SLOPE, ANGLE_MIDDLE = 0.9879, -22.0, 0.8


def sobel(image: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    """The horizontal and vertical 3x3 Sobel responses, int16, (H, W)."""
    return (
        cv2.Sobel(image, cv2.CV_16S, 1, 0, borderType=border),
        cv2.Sobel(image, cv2.CV_16S, 0, 1, borderType=border),
    )


@once
def edge_strength(plane: Plane) -> np.ndarray:
    """The Sobel magnitude, border pixels repeated outwards, float32, (H, W)."""
    responses = sobel(plane.image, cv2.BORDER_REPLICATE)
    horizontal, vertical = (response.astype(np.float32) for response in responses)
    return np.sqrt(horizontal * horizontal + vertical * vertical)


@once
def edges(plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Sobel magnitude and direction with zeros outside the image, float32, for Qabf.

    The direction is arctan(-vertical / horizontal) in (-pi/2, pi/2], and pi/2 where the
    horizontal response is 0: the sign is that of the published code's convolution.
    """
    responses = sobel(plane.image, cv2.BORDER_CONSTANT)
    strength = np.empty(plane.image.shape, np.float32)
    direction = np.empty_like(strength)
    for rows in strips(len(strength)):
        horizontal, vertical = (response[rows].astype(np.float32) for response in responses)
        upright = horizontal == 0
        np.sqrt(horizontal * horizontal + vertical * vertical, out=strength[rows])
        np.copyto(horizontal, 1, where=upright)
        slope = -vertical / horizontal
        np.copyto(slope, np.inf, where=upright)
        np.arctan(slope, out=direction[rows])
    return strength, direction


def edges_kept(
    strength: np.ndarray,
    direction: np.ndarray,
    fused_strength: np.ndarray,
    fused_direction: np.ndarray,
) -> np.ndarray:
    """Q^XF, how much of each edge of the source X is in F, float32, same shape.

    Q = Tg Ta / ((1 + exp(kg (G - 0.5))) (1 + exp(ka (A - 0.8)))) with G = min(gX,gF) /
    max(gX,gF), but gF where they are equal, and A = 1 - |aX - aF| / (pi/2).
    """
    low = np.minimum(strength, fused_strength)
    high = np.maximum(strength, fused_strength)
    equal = low == high
    np.copyto(high, 1, where=equal)  # then low / high is gF
    ratio = low / high
    angle = 1 - np.abs(direction - fused_direction) * (2 / math.pi)
    strength_term = 1 + np.exp(STRENGTH_SLOPE * (ratio - STRENGTH_MIDDLE))
    angle_term = 1 + np.exp(ANGLE_SLOPE * (angle - ANGLE_MIDDLE))
    return STRENGTH_CEILING * ANGLE_CEILING / (strength_term * angle_term)


@once
def edge_shares(images: Triple) -> tuple[float, float]:
    """Qabf and Nabf."""
    kept, lost, weight = 0.0, 0.0, 0.0
    planes = [edges(plane) for plane in (images.a, images.b, images.f)]
    for rows in strips(images.shape[0]):
        a, b, f = ((strength[rows], direction[rows]) for strength, direction in planes)
        kept_a, kept_b = edges_kept(*a, *f) * a[0], edges_kept(*b, *f) * b[0]
        sources = a[0] + b[0]
        both = kept_a + kept_b
        kept += total(both)
        lost += total((sources - both) * (f[0] > np.maximum(a[0], b[0])))
        weight += total(sources)
    return (kept / weight, lost / weight) if weight else (0.0, 0.0)


def total(values: np.ndarray) -> float:
    """The sum of all values, added up in float64."""
    return float(values.sum(dtype=np.float64))


def difference_energy(image: np.ndarray) -> tuple[int, int]:
    """The sums of squared differences along rows and along columns."""
    wide = image.astype(np.int32)
    along_rows, along_columns = np.diff(wide, axis=1), np.diff(wide, axis=0)
    return tuple(
        int(np.multiply(step, step).sum(dtype=np.int64)) for step in (along_rows, along_columns)
    )


@metric('SF', 'spatial frequency', better='higher', range=(0, 361), definitions=('ours', 'cddfuse'))
def spatial_frequency(images: Triple) -> float:
    """SF = sqrt(RF^2 + CF^2).

    RF^2 and CF^2 are the means of the squared differences of neighbours in a row of F and in a
    column of F.  Range 0 .. 255 sqrt(2), higher is better (noise scores as well).  Flat: 0.
    Source: Eskicioglu and Fisher 1995, IEEE Trans. Communications 43(12), as CDDFuse has it.
    """
    height, width = images.shape
    rows, columns = difference_energy(images.f.image)
    return math.sqrt(rows / (height * (width - 1)) + columns / ((height - 1) * width))


@variant('SF', 'vifb')
def spatial_frequency_vifb(images: Triple) -> float:
    """SF as VIFB has it: both sums of squared differences divided by H W."""
    return math.sqrt(sum(difference_energy(images.f.image)) / images.f.image.size)


@metric('AG', 'average gradient', better='higher', range=(0, 255), definitions=('ours', 'cddfuse'))
def average_gradient(images: Triple) -> float:
    """AG, the mean over all pixels of sqrt((dx^2 + dy^2) / 2).

    dx, dy: central differences of F, one-sided at the border (numpy.gradient).
    Range 0..255, higher is better (noise scores as well).  Flat: 0.
    Source: Cui et al. 2015, Optics Communications 341.
    """
    down, right = np.gradient(centred(images.f))
    return math.sqrt(0.5) * total(np.sqrt(down * down + right * right)) / down.size


@variant('AG', 'vifb')
def average_gradient_vifb(images: Triple) -> float:
    """AG as VIFB has it: the same sum divided by (H-1)(W-1)."""
    height, width = images.shape
    return average_gradient(images) * (height * width) / ((height - 1) * (width - 1))


@metric('EI', 'edge intensity', better='higher', range=(0, 1443), definitions=('ours', 'vifb'))
def edge_intensity(images: Triple) -> float:
    """EI, the mean Sobel magnitude of F, border pixels repeated outwards.

    Range 0 .. 1141, higher is better (noise scores as well).  Flat: 0.
    Source: Rajalingam and Priya 2018, as VIFB has it.
    """
    return total(edge_strength(images.f)) / images.f.image.size


@metric(
    'Qabf',
    'edge preservation',
    better='higher',
    range=(0, 1),
    definitions=('ours', 'cddfuse', 'vifb'),
)
def edge_preservation(images: Triple) -> float:
    """Qabf, how much of the sources' edges is found in F.

    Qabf = sum(Q^AF gA + Q^BF gB) / sum(gA + gB), Q from `edges_kept`, g the Sobel magnitude with
    zeros outside the image.  Range 0..1, higher is better; a perfect copy does not reach 1.
    Two black sources give 0.  Source: Xydeas and Petrovic 2000, Electronics Letters 36(4).
    """
    return edge_shares(images)[0]


@metric('Nabf', 'edge artefacts', better='lower', range=(0, 1))
def edge_artefacts(images: Triple) -> float:
    """Nabf, the share of edges that F adds and no source has.

    Nabf = sum over pixels with gF > gA and gF > gB of (1 - Q^AF) gA + (1 - Q^BF) gB, divided by
    sum(gA + gB); Q and g as in Qabf.  Range 0..1, lower is better.  Two black sources give 0.
    Source: Petrovic and Xydeas 2005 in the form of Shreyamsha Kumar 2013, SIViP; with the
    constants of Qabf, where his program has others, so his values differ.
    """
    return edge_shares(images)[1]
