"""The comprehensive loss (equations 2 to 5) but for its L1 term, which is `losses.intensity`.

Images are float (N, 1, H, W) in [0, 1]; results are scalars unless said otherwise.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from . import fusion

GRADIENTS = ('paper', 'code', 'signed')


def gradient(fused: Tensor, thermal: Tensor, visible: Tensor, form: str) -> Tensor:
    """The gradient term, in one of three forms; ∇ is the Sobel derivative.

    paper: | |∇F| - max(|∇T|, |∇V|) | with |∇| = |∂x| + |∂y|.
    code: | |∇F| - |∇ max(T, V)| |, as in the authors' program.
    signed: `losses.gradient`, which an edge of inverted contrast can't satisfy.
    """
    if form == 'signed':
        return fusion.gradient(fused, thermal, visible)
    if form == 'code':
        target = steepness(torch.maximum(thermal, visible))
    elif form == 'paper':
        target = torch.maximum(steepness(thermal), steepness(visible))
    else:
        raise ValueError(f'form must be one of {", ".join(GRADIENTS)}, got {form!r}')
    return F.l1_loss(steepness(fused), target)


def steepness(image: Tensor) -> Tensor:
    """|∂x| + |∂y| of each pixel, (N, 1, H - 2, W - 2)."""
    return fusion.sobel(image).abs().sum(1, keepdim=True)


def strongest(of_thermal: list[Tensor], of_visible: list[Tensor]) -> list[Tensor]:
    """What the perception term aims at: the larger of the sources' features, one by one."""
    return [torch.maximum(a, b) for a, b in zip(of_thermal, of_visible, strict=True)]


def perception(features: list[Tensor], target: list[Tensor]) -> Tensor:
    """How far features are from their target, per image (N,): mean over the levels of
    mean |φ - φ*| / mean φ*.

    Relative, so that no level drowns the others and that weights of any scale (Caffe's features are
    some 58 times torchvision's) give the same loss.
    """
    levels = [
        (a - b).abs().mean((1, 2, 3)) / (b.mean((1, 2, 3)) + 1e-6)
        for a, b in zip(features, target, strict=True)
    ]
    return torch.stack(levels).mean(0)
