"""The images the metrics read, and the work several metrics share.

`SourcePair` holds what depends on the thermal and the visible image only; `Triple` adds one
fused image.  Build the pair once and any number of triples from it: histograms, gradients,
window sums and the scales of VIF are worked out when first asked for and then kept.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

#: Subtracted before second moments are filtered: variances do not change, rounding shrinks.
MIDDLE = 128.0


def check_image(image, name: str) -> np.ndarray:
    """Return `image` if it is an 8-bit grey image of 2x2 or more, else raise ValueError."""
    wanted = f'{name}: expected an 8-bit grey image (numpy uint8, shape (H, W))'
    if not isinstance(image, np.ndarray):
        raise ValueError(
            f'{wanted}, got {type(image).__name__}; read it with cv2.imread(path, '
            'cv2.IMREAD_GRAYSCALE) or convert it with numpy.asarray'
        )
    if image.ndim != 2:
        raise ValueError(
            f'{wanted}, got shape {image.shape}; take the luma of a colour image first, '
            'for example cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)'
        )
    if image.dtype != np.uint8:
        raise ValueError(
            f'{wanted}, got {image.dtype}; bring it to 0..255, then '
            'numpy.clip(numpy.rint(image), 0, 255).astype(numpy.uint8)'
        )
    if min(image.shape) < 2:
        raise ValueError(
            f'{wanted}, got only {image.shape[0]}x{image.shape[1]} pixels; '
            'every metric needs at least 2x2, so pass the whole image'
        )
    return image


def check_same_shape(image: np.ndarray, name: str, other: np.ndarray, other_name: str) -> None:
    """Raise ValueError unless the two images have the same height and width."""
    if image.shape != other.shape:
        raise ValueError(
            f'{name} and {other_name}: expected the same height and width, got {image.shape} '
            f'and {other.shape}; register and resize the sources before fusing and measuring'
        )


def once(work):
    """Make `work(holder)` run once per Plane, PlanePair or Triple and remember its result."""

    @functools.wraps(work)
    def remembered(holder):
        if work not in holder.memory:
            holder.memory[work] = work(holder)
        return holder.memory[work]

    return remembered


class Plane:
    """One 8-bit grey image (H, W), copied, with the shared work done on it so far."""

    def __init__(self, image: np.ndarray, name: str) -> None:
        self.image = np.array(check_image(image, name), order='C')
        self.memory: dict = {}


class PlanePair:
    """Two planes of the same size, with the shared work done on them together so far."""

    def __init__(self, first: Plane, second: Plane) -> None:
        self.first = first
        self.second = second
        self.memory: dict = {}


class SourcePair:
    """The thermal and the visible luma image of one scene: uint8, (H, W), same size.

    Reuse one SourcePair for all fused images of the scene.  The images are copied.
    """

    def __init__(self, thermal: np.ndarray, visible: np.ndarray) -> None:
        self.a = Plane(thermal, 'thermal')
        self.b = Plane(visible, 'visible')
        check_same_shape(visible, 'visible', thermal, 'thermal')
        self.ab = PlanePair(self.a, self.b)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.a.image.shape


class Triple:
    """A source pair and one fused image: what every metric function takes.

    In the metrics' equations A is `a`, the thermal image; B is `b`, the luma (BT.601) of the
    visible image; F is `f`, the luma of the fused image; all uint8, (H, W).  `af` and `bf` are
    the pairs of each source with F, `ab` the pair of sources.
    """

    def __init__(self, sources: SourcePair, fused: np.ndarray) -> None:
        self.f = Plane(fused, 'fused')
        check_same_shape(fused, 'fused', sources.a.image, 'thermal')
        self.a, self.b, self.ab = sources.a, sources.b, sources.ab
        self.af = PlanePair(self.a, self.f)
        self.bf = PlanePair(self.b, self.f)
        self.memory: dict = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.f.image.shape


# Shared work of more than one family.


@once
def centred(plane: Plane) -> np.ndarray:
    """The image minus MIDDLE, float64."""
    return plane.image.astype(np.float64) - MIDDLE


@once
def histogram(plane: Plane) -> np.ndarray:
    """How often each of the 256 levels occurs, int64, (256,)."""
    return np.bincount(plane.image.ravel(), minlength=256)


@once
def sums(plane: Plane) -> tuple[int, int, int]:
    """The pixel count, the sum and the sum of squares, as exact whole numbers."""
    counts = histogram(plane)
    levels = np.arange(256, dtype=np.int64)
    return plane.image.size, int(counts @ levels), int(counts @ levels**2)


@once
def product_sum(pair: PlanePair) -> int:
    """The sum over pixels of first * second, an exact whole number."""
    # Every partial sum of these float64 is a whole number under 2**53: nothing is rounded.
    centred_sum = int(np.vdot(centred(pair.first), centred(pair.second)))
    middle = int(MIDDLE)
    size, first_sum, _ = sums(pair.first)
    second_sum = sums(pair.second)[1]
    return centred_sum + middle * (first_sum + second_sum) - middle * middle * size


def covariance(first: Plane, second: Plane, product: int) -> int:
    """size**2 times the population covariance, an exact whole number."""
    size, first_sum, _ = sums(first)
    return size * product - first_sum * sums(second)[1]


def variance(plane: Plane) -> int:
    """size**2 times the population variance, an exact whole number."""
    return covariance(plane, plane, sums(plane)[2])


def pair_covariance(pair: PlanePair) -> int:
    """size**2 times the population covariance of a pair, an exact whole number."""
    return covariance(pair.first, pair.second, product_sum(pair))


def gaussian(size: int, sigma: float) -> np.ndarray:
    """The one-dimensional Gaussian window, float64, sum 1, as MATLAB's fspecial."""
    offset = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offset**2) / (2 * sigma**2))
    return window / window.sum()


def strips(height: int) -> Iterator[slice]:
    """Cut the rows into slices of 32: arrays of that size stay in the cache, which is faster."""
    for top in range(0, height, 32):
        yield slice(top, min(top + 32, height))


def inside(image: np.ndarray, size: int) -> np.ndarray:
    """The part whose size x size window lies inside the image ('valid' pixels)."""
    before = size // 2
    after = size - 1 - before
    return image[before : image.shape[0] - after, before : image.shape[1] - after]
