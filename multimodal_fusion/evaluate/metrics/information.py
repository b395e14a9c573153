"""Metrics from histograms: entropy, mutual information, cross entropy, feature information."""

from __future__ import annotations

import math

import numpy as np

from .gradient import edge_strength
from .registry import metric
from .shared import Plane, PlanePair, Triple, histogram, once


def entropy_nats(counts: np.ndarray) -> float:
    """The Shannon entropy of a histogram in nats; 0 for a single level."""
    share = counts[counts > 0] / counts.sum()
    return max(0.0, -float(share @ np.log(share)))


def joint_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The joint histogram of two uint8 images, int64, (65536,)."""
    code = first.astype(np.uint16) * np.uint16(256) + second
    return np.bincount(code.ravel(), minlength=65536)


@once
def level_entropy(plane: Plane) -> float:
    """The entropy of the 256 grey levels, nats."""
    return entropy_nats(histogram(plane))


@once
def level_information(pair: PlanePair) -> float:
    """The mutual information of the grey levels of two planes, nats."""
    joint = entropy_nats(joint_counts(pair.first.image, pair.second.image))
    return max(0.0, level_entropy(pair.first) + level_entropy(pair.second) - joint)


@once
def gradient_levels(plane: Plane) -> np.ndarray:
    """min(255, floor(Sobel magnitude / 4)): the feature of FMI, uint8, (H, W)."""
    return np.minimum(edge_strength(plane) / 4, 255).astype(np.uint8)


@once
def gradient_entropy(plane: Plane) -> float:
    """The entropy of `gradient_levels`, nats."""
    return entropy_nats(np.bincount(gradient_levels(plane).ravel(), minlength=256))


@metric(
    'EN', 'entropy, bit', better='higher', range=(0, 8), definitions=('ours', 'cddfuse', 'vifb')
)
def entropy(images: Triple) -> float:
    """EN, the entropy of the fused image, in bits.

    EN = -sum_k p(k) log2 p(k) over the 256 levels of F.  Range 0..8, higher is better.
    A flat image gives 0.  Source: Roberts, van Aardt and Ahmed 2008, J. Appl. Remote Sens. 2(1).
    """
    return level_entropy(images.f) / float(np.log(2))


@metric(
    'MI',
    'mutual information, nat',
    better='higher',
    range=(0, 11.1),
    definitions=('ours', 'cddfuse', 'vifb'),
)
def mutual_information(images: Triple) -> float:
    """MI = MI(A,F) + MI(B,F), in nats.

    MI(X,F) = sum_xf p(x,f) ln(p(x,f) / (p(x) p(f))) on the 256x256 joint histogram.
    Range 0 .. 2 ln 256, higher is better; a copy of one source scores high.  A flat F gives 0.
    VIFB stretches each image to 0..255 first, which renames levels and changes nothing.
    Source: Qu, Zhang and Yan 2002, Electronics Letters 38(7).
    """
    return level_information(images.af) + level_information(images.bf)


@metric(
    'CE',
    'cross entropy, bit',
    better='lower',
    range=(-math.inf, math.inf),
    definitions=('ours', 'vifb'),
)
def cross_entropy(images: Triple) -> float:
    """CE, the mean over A and B of the relative entropy of the source to F, in bits.

    D(X,F) = sum_k pX(k) log2(pX(k) / pF(k)) over the levels that occur in both images.
    Lower is better.  Leaving out the other levels, as VIFB does, means that D can fall below 0
    and that images without a common level give 0.
    Source: Bulanon, Burks and Alchanatis 2009, Biosystems Engineering 103(1).
    """
    fused = histogram(images.f)
    total = 0.0
    for source in (images.a, images.b):
        counts = histogram(source)
        both = (counts > 0) & (fused > 0)
        total += float(counts[both] @ np.log2(counts[both] / fused[both]))
    return total / (2 * images.f.image.size)


@metric('FMI', 'gradient feature information', better='higher', range=(0, 1))
def feature_information(images: Triple) -> float:
    """FMI, the mutual information of gradient features, plain version.

    FMI = I(A,F) / (H(A) + H(F)) + I(B,F) / (H(B) + H(F)), I and H taken on the histograms of the
    feature min(255, floor(Sobel magnitude / 4)) over the whole image.  Range 0..1, higher is
    better.  A term whose two feature maps are flat is 0.  The toolbox of the authors slides a
    3x3 window and models the joint distribution; its values are not comparable.
    Source: Haghighat, Aghagolzadeh and Seyedarabi 2011, Computers & Electrical Engineering 37(5).
    """
    total = 0.0
    for source in (images.a, images.b):
        marginal = gradient_entropy(source) + gradient_entropy(images.f)
        joint = entropy_nats(joint_counts(gradient_levels(source), gradient_levels(images.f)))
        total += max(0.0, marginal - joint) / marginal if marginal > 0 else 0.0
    return total
