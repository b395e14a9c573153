"""The search space of CAF (Liu et al., IJCAI 2024, figure 1): seventeen terms of fusion losses.

Terms are called as ``term(fused, thermal, visible)`` on luma, float (N, 1, H, W) in [0, 1], and
give scalars. F is the fused image, T thermal, V visible.
"""

import weakref
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ...networks.vgg import VGG19
from .fusion import similarity, sobel

Term = Callable[[Tensor, Tensor, Tensor], Tensor]
_KEPT = 3  # images whose features are kept: of both sources and of one fused
FIXED = {'mse_salient_ir': 0.5, 'mse_salient_vis': 0.5}  # stand beside what is searched


def _thermal(thermal: Tensor, visible: Tensor) -> Tensor:
    return thermal


def _visible(thermal: Tensor, visible: Tensor) -> Tensor:
    return visible


SOURCES = {'ir': _thermal, 'vis': _visible, 'max': torch.maximum}


_seen: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}  # images and their saliency


def saliency(image: Tensor) -> Tensor:
    """Histogram contrast (Zhai and Shah, 2006): the mean distance of a pixel's grey level to all of
    its image, over the largest of it, in [0, 1]; 0 of a flat image. Kept while the image is, as
    several terms of several steps ask for it."""
    known, found = _seen.get(id(image), (None, None))
    if known is not None and known() is image and found is not None:
        return found
    levels = (image.detach().clamp(0, 1) * 255).round().long()
    grid = torch.arange(256, device=image.device, dtype=torch.float32)
    apart = (grid[:, None] - grid[None]).abs()
    parts = []
    for one in levels:
        counts = torch.bincount(one.flatten(), minlength=256).float()
        contrast = apart @ counts
        most = contrast[counts > 0].max().clamp(min=1e-6)
        parts.append((contrast / most)[one])
    key, found = id(image), torch.stack(parts)
    _seen[key] = weakref.ref(image, lambda _: _seen.pop(key, None)), found
    return found


def _distance(measure: Callable[[Tensor, Tensor], Tensor], source: str) -> Term:
    return lambda fused, thermal, visible: measure(fused, SOURCES[source](thermal, visible))


def _salient(measure: Callable[[Tensor, Tensor], Tensor], source: str) -> Term:
    """Between F and S where S is salient: both times the saliency of S."""

    def term(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
        image = SOURCES[source](thermal, visible)
        mask = saliency(image)
        return measure(mask * fused, mask * image)

    return term


def _unlike(fused: Tensor, image: Tensor) -> Tensor:
    return 1 - similarity(fused, image)


def _steep(source: str) -> Term:
    """Mean | |grad F| - |grad S| |, along rows and columns; of max the steeper of the two."""

    def term(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
        wanted = SOURCES[source](sobel(thermal).abs(), sobel(visible).abs())
        return F.l1_loss(sobel(fused).abs(), wanted)

    return term


PLAIN: dict[str, Term] = {
    **{f'l1_{s}': _distance(F.l1_loss, s) for s in SOURCES},
    **{f'l1_salient_{s}': _salient(F.l1_loss, s) for s in ('ir', 'vis')},
    **{f'mse_{s}': _distance(F.mse_loss, s) for s in SOURCES},
    **{f'mse_salient_{s}': _salient(F.mse_loss, s) for s in ('ir', 'vis')},
    **{f'ssim_{s}': _distance(_unlike, s) for s in ('ir', 'vis')},
    **{f'gradient_{s}': _steep(s) for s in SOURCES},
}
"""The fifteen that need no network of features."""
PERCEPTUAL = ('perceptual_ir', 'perceptual_vis')
NAMES = (*PLAIN, *PERCEPTUAL)


def perceptual(vgg: VGG19, few: int = 0) -> dict[str, Term]:
    """L1 distance of features after the first convolution of each block of VGG-19 (the 1st, 3rd,
    5th, 9th and 13th), relative to the mean of the source's, so that weights of any scale do; mean
    over the five. Gradients reach F.

    few: images of a batch that are compared; 0 for all.
    """
    known: dict[int, tuple[Tensor, list[Tensor]]] = {}  # what both terms and every step ask for

    def features(image: Tensor) -> list[Tensor]:
        if id(image) not in known or known[id(image)][0] is not image:
            if len(known) >= _KEPT:
                del known[next(iter(known))]
            known[id(image)] = image, vgg.first_layers(image[:few] if few else image)
        return known[id(image)][1]

    def of(source: str) -> Term:
        def term(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
            pairs = zip(features(fused), features(SOURCES[source](thermal, visible)), strict=True)
            return torch.stack([F.l1_loss(a, b) / (b.mean() + 1e-6) for a, b in pairs]).mean()

        return term

    return dict(zip(PERCEPTUAL, map(of, ('ir', 'vis')), strict=True))
