"""Metrics from moments and windows: SD, CC, SCD, MSE, RMSE, PSNR, SSIM."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .registry import metric, variant
from .shared import (
    MIDDLE,
    Plane,
    PlanePair,
    Triple,
    centred,
    gaussian,
    inside,
    once,
    pair_covariance,
    product_sum,
    strips,
    sums,
    variance,
)

BOX = 7  # side of the uniform SSIM window
GAUSSIAN_SIDE, GAUSSIAN_SIGMA = 11, 1.5  # the SSIM window of VIFB


@metric(
    'SD',
    'standard deviation',
    better='higher',
    range=(0, 127.5),
    definitions=('ours', 'cddfuse', 'vifb'),
)
def standard_deviation(images: Triple) -> float:
    """SD = sqrt(mean((F - mean F)^2)), the population standard deviation of F.

    Range 0..127.5, higher is better.  Flat: 0.  VIFB calls it Variance.
    Source: Rao 1997, Measurement Science and Technology 8(4).
    """
    return math.sqrt(variance(images.f)) / images.f.image.size


@metric('CC', 'correlation', better='higher', range=(-1, 1), definitions=('ours', 'cddfuse'))
def correlation(images: Triple) -> float:
    """CC = (r(A,F) + r(B,F)) / 2, r being Pearson's correlation.

    Range -1..1, higher is better.  A term with a flat image is 0.
    Source: the correlation coefficient as CDDFuse's evaluator averages it.
    """
    total = 0.0
    for source, pair in ((images.a, images.af), (images.b, images.bf)):
        spread = variance(source) * variance(images.f)
        total += pair_covariance(pair) / math.sqrt(spread) if spread else 0.0
    return total / 2


@metric(
    'SCD',
    'sum of correlations of differences',
    better='higher',
    range=(-2, 2),
    definitions=('ours', 'cddfuse'),
)
def difference_correlation(images: Triple) -> float:
    """SCD = r(F - B, A) + r(F - A, B), r being Pearson's correlation.

    Range -2..2, higher is better.  NaN where F - A or F - B is constant: the definition has no
    value there, leave it out of means and count it.  A flat source makes its own term 0.
    Source: Aslantas and Bendes 2015, AEU 69(12).
    """
    sources = pair_covariance(images.ab)
    total = 0.0
    for kept, own, other, across in (
        (images.a, images.af, images.b, images.bf),
        (images.b, images.bf, images.a, images.af),
    ):
        rest = variance(images.f) + variance(other) - 2 * pair_covariance(across)
        if rest == 0:
            return math.nan
        spread = rest * variance(kept)
        total += (pair_covariance(own) - sources) / math.sqrt(spread) if spread else 0.0
    return total


def squared_error(pair: PlanePair) -> int:
    """The sum of squared differences of a pair, an exact whole number."""
    return sums(pair.first)[2] + sums(pair.second)[2] - 2 * product_sum(pair)


@metric(
    'MSE', 'mean squared error', better='lower', range=(0, 65025), definitions=('ours', 'cddfuse')
)
def mean_squared_error(images: Triple) -> float:
    """MSE, the mean of MSE(A,F) and MSE(B,F).

    Range 0..65025, lower is better.
    """
    both = squared_error(images.af) + squared_error(images.bf)
    return both / (2 * images.f.image.size)


@metric('RMSE', 'root mean squared error', better='lower', range=(0, 255))
def root_mean_squared_error(images: Triple) -> float:
    """RMSE, the square root of MSE (taken after the mean over both sources).

    Range 0..255, lower is better.
    """
    return math.sqrt(mean_squared_error(images))


def decibels(error: float, peak: float, size: int) -> float:
    """10 log10(peak^2 / error).

    The least error above 0 is one grey level in one pixel of one source, 1 / (2 size).  No error
    at all counts as half of that, so that the result is finite and the best of its size.
    """
    return 10 * math.log10(peak * peak / max(error, 1 / (4 * size)))


@metric('PSNR', 'peak signal-to-noise ratio, dB', better='higher', range=(0, math.inf))
def peak_ratio(images: Triple) -> float:
    """PSNR = 10 log10(255^2 / MSE) in dB, MSE the mean over both sources.

    Range 0 dB and up, higher is better.  F = A = B gives a finite value, see `decibels`.
    Source: Jagalingam and Hegde 2015, Aquatic Procedia 4.
    """
    return decibels(mean_squared_error(images), 255, images.f.image.size)


@variant('PSNR', 'cddfuse')
def peak_ratio_cddfuse(images: Triple) -> float:
    """PSNR as CDDFuse has it: the peak is max(F) instead of 255, at least 1."""
    peak = max(1, int(images.f.image.max()))
    return decibels(mean_squared_error(images), peak, images.f.image.size)


@variant('RMSE', 'vifb')
def root_mean_squared_error_vifb(images: Triple) -> float:
    """RMSE as VIFB has it: the mean over both sources of sqrt(squared error) / (H W)."""
    both = math.sqrt(squared_error(images.af)) + math.sqrt(squared_error(images.bf))
    return both / (2 * images.f.image.size)


@variant('PSNR', 'vifb')
def peak_ratio_vifb(images: Triple) -> float:
    """PSNR as VIFB has it: 10 log10(255^2 / RMSE of VIFB), near 58 dB for any image."""
    return decibels(root_mean_squared_error_vifb(images), 255, images.f.image.size)


def box_sum(image: np.ndarray) -> np.ndarray:
    """The exact sums of all whole BOX x BOX windows, int32."""
    return inside(cv2.boxFilter(image, cv2.CV_32S, (BOX, BOX), normalize=False), BOX)


@once
def box_moments(plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """S, the window sum, and BOX^2 times the sum of squares minus S^2, exact int32."""
    window = box_sum(plane.image)
    squares = box_sum(cv2.multiply(plane.image, plane.image, dtype=cv2.CV_16U))
    return window, BOX * BOX * squares - window * window


@once
def box_products(pair: PlanePair) -> np.ndarray:
    """The sums of first * second over all whole windows, exact int32."""
    return box_sum(cv2.multiply(pair.first.image, pair.second.image, dtype=cv2.CV_16U))


def ssim_sum(parts: tuple[np.ndarray, ...], mean_constant: float, spread_constant: float) -> float:
    """The sum of (p0 + c1)(p2 + c2) / ((p1 + c1)(p3 + c2)), in float64."""
    over = (parts[0] + mean_constant) * (parts[2] + spread_constant)
    under = (parts[1] + mean_constant) * (parts[3] + spread_constant)
    return float((over / under).sum())


def constants(data_range: float) -> tuple[float, float]:
    """C1 and C2 of SSIM."""
    return (0.01 * data_range) ** 2, (0.03 * data_range) ** 2


@once
def box_ssim(pair: PlanePair) -> dict[int, float]:
    """The SSIM of a pair by data range: BOX x BOX uniform window, sample covariance."""
    size = BOX * BOX
    products = box_products(pair)
    found = {255: 0.0, 2: 0.0}
    for rows in strips(len(products)):
        first, first_variance = (part[rows] for part in box_moments(pair.first))
        second, second_variance = (part[rows] for part in box_moments(pair.second))
        cross = first * second
        # size^2 times the squared means and size (size - 1) times the covariances, exact int32.
        parts = (
            2 * cross,
            first * first + second * second,
            2 * (size * products[rows] - cross),
            first_variance + second_variance,
        )
        for data_range in found:
            mean_constant, spread_constant = constants(data_range)
            found[data_range] += ssim_sum(
                parts, size * size * mean_constant, size * (size - 1) * spread_constant
            )
    return {data_range: value / products.size for data_range, value in found.items()}


@metric(
    'SSIM',
    'structural similarity, range 255',
    better='higher',
    range=(-2, 2.1),
    smallest=GAUSSIAN_SIDE,
)
def structural_similarity(images: Triple) -> float:
    """SSIM = SSIM(A,F) + SSIM(B,F), data range 255.

    Window 7x7, uniform, sample covariance, K1 = 0.01, K2 = 0.03, mean over the windows that lie
    in the image: the defaults of scikit-image.  Range -2..2, higher is better.  11x11 and up.
    Source: Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Trans. Image Processing 13(4).
    """
    return box_ssim(images.af)[255] + box_ssim(images.bf)[255]


@metric(
    'SSIM_r2',
    'structural similarity, range 2',
    better='higher',
    range=(-2, 2.1),
    definitions=('ours', 'cddfuse'),
    smallest=GAUSSIAN_SIDE,
)
def structural_similarity_range_2(images: Triple) -> float:
    """SSIM_r2: SSIM with data range 2 on images of 0..255.

    What the papers of the CDDFuse family print as SSIM; their constants are 16256 times too
    small.  Range -2..2, higher is better.  11x11 and up.
    """
    return box_ssim(images.af)[2] + box_ssim(images.bf)[2]


def window_mean(image: np.ndarray) -> np.ndarray:
    """The Gaussian window means of VIFB's SSIM over all whole windows, float64."""
    window = gaussian(GAUSSIAN_SIDE, GAUSSIAN_SIGMA)
    return inside(cv2.sepFilter2D(image, -1, window, window), GAUSSIAN_SIDE)


@once
def gaussian_moments(plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """The means of the centred image and of its square in each Gaussian window."""
    image = centred(plane)
    return window_mean(image), window_mean(image * image)


def gaussian_ssim(pair: PlanePair) -> float:
    """The SSIM of a pair, 11x11 Gaussian window, population covariance, range 255."""
    products = window_mean(centred(pair.first) * centred(pair.second))
    total = 0.0
    for rows in strips(len(products)):
        first, first_square = (part[rows] for part in gaussian_moments(pair.first))
        second, second_square = (part[rows] for part in gaussian_moments(pair.second))
        covariance = products[rows] - first * second
        spread = first_square - first * first + second_square - second * second
        first, second = first + MIDDLE, second + MIDDLE
        parts = (2 * first * second, first * first + second * second, 2 * covariance, spread)
        total += ssim_sum(parts, *constants(255))
    return total / products.size


@variant('SSIM', 'vifb')
def structural_similarity_vifb(images: Triple) -> float:
    """SSIM as VIFB has it: SSIM(A,F) + SSIM(B,F), 11x11 Gaussian window of sigma 1.5."""
    return gaussian_ssim(images.af) + gaussian_ssim(images.bf)
