"""The losses of the text prior, a value for each sample so that its text can weigh them.

Equation numbers are those of Zhang et al.; F is the fused image, V and T the clean guidance. RGB is
float (N, 3, H, W), grey (N, 1, H, W), in [0, 1].
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .fusion import luma, similarity, sobel

TERMS = ('intensity', 'ssim', 'gradient', 'color')


def terms(fused: Tensor, visible: Tensor, thermal: Tensor, share: Tensor) -> dict[str, Tensor]:
    """Each term for each sample, (N,).

    intensity: mean |F - max(V, T)| (eq. 13). ssim: 1 - SSIM(F, V) + share (1 - SSIM(F, T))
    (eq. 14), share (N,) of thermal. gradient: mean | |grad F| - max(|grad V|, |grad T|) |
    (eq. 15), each along rows and columns. color: mean |CbCr(F) - CbCr(V)| (eq. 16). All but the
    last see luma.
    """
    grey, of_visible = luma(fused), luma(visible)
    steep = torch.maximum(sobel(of_visible).abs(), sobel(thermal).abs())
    return {
        'intensity': _mean((grey - torch.maximum(of_visible, thermal)).abs()),
        'ssim': 1 - _similarity(grey, of_visible) + share * (1 - _similarity(grey, thermal)),
        'gradient': 2 * _mean((sobel(grey).abs() - steep).abs()),
        'color': _mean((_chroma(fused) - _chroma(visible)).abs()),
    }


def features(taught: Sequence[Tensor], learnt: Sequence[Tensor]) -> Tensor:
    """Sum over levels of the mean |teacher's, reduced - student's| (eq. 17), a scalar."""
    pairs = zip(taught, learnt, strict=True)
    return sum((F.l1_loss(a, b) for a, b in pairs), learnt[0].new_zeros(()))


def _mean(image: Tensor) -> Tensor:
    return image.mean((1, 2, 3))


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    pairs = zip(a.split(1), b.split(1), strict=True)
    return torch.stack([similarity(one, other) for one, other in pairs])


def _chroma(image: Tensor) -> Tensor:
    """Cb and Cr of BT.601, (N, 2, H, W), around 0."""
    weights = image.new_tensor(((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)))
    return F.conv2d(image, weights.view(2, 3, 1, 1))
