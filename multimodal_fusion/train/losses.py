"""Loss terms. Images are float (N, 1, H, W) in [0, 1], H and W at least 7; terms are scalars."""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 7
QABF_CEILING = 0.9994 * 0.9879
FLAT = 1e-4  # a derivative of a fortieth of a grey level; below it nothing has a direction


def intensity(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """Mean absolute difference to the pixel maximum: |F - max(T, V)|."""
    return F.l1_loss(fused, torch.maximum(thermal, visible))


def gradient(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """Mean of |∂x F - ∂x S| + |∂y F - ∂y S|, S the source of the steeper gradient at each pixel.

    Signs are kept, so an edge of inverted contrast costs twice its height instead of nothing.
    """
    of_thermal, of_visible = sobel(thermal), sobel(visible)
    steeper = of_thermal.abs().sum(1, True) > of_visible.abs().sum(1, True)
    return 2 * F.l1_loss(sobel(fused), torch.where(steeper, of_thermal, of_visible))


def structure(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """1 - (SSIM(T, F) + SSIM(V, F)) / 2."""
    return 1 - (ssim(thermal, fused) + ssim(visible, fused)) / 2


def edges(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """1 - Qabf (Xydeas and Petrovic, 2000) without the border: the share of edges that is lost.

    An edge of a source counts by its strength; it is kept where F has that and its direction.
    """
    of_fused, total, kept = _edge(fused), 0.0, 0.0
    for source in (thermal, visible):
        strength, direction = _edge(source)
        ratio = torch.minimum(strength, of_fused[0]) / torch.maximum(strength, of_fused[0])
        angle = 1 - (direction - of_fused[1]).abs() * (2 / torch.pi)
        quality = torch.sigmoid(15 * (ratio - 0.5)) * torch.sigmoid(22 * (angle - 0.8))
        kept = kept + QABF_CEILING * (quality * strength).sum()
        total = total + strength.sum()
    return 1 - kept / total


def _edge(image: Tensor) -> tuple[Tensor, Tensor]:
    """Strength, never 0, and direction in [-π/2, π/2] of the Sobel derivative."""
    across, down = sobel(image).split(1, dim=1)
    upright = across.abs() < FLAT
    slope = down / torch.where(upright, FLAT * torch.where(across < 0, -1.0, 1.0), across)
    return (across**2 + down**2 + FLAT**2).sqrt(), torch.atan(slope)


def sobel(image: Tensor) -> Tensor:
    """Horizontal and vertical Sobel derivative per pixel: (N, 2, H - 2, W - 2)."""
    rows = image[..., :-2, :] + 2 * image[..., 1:-1, :] + image[..., 2:, :]
    columns = image[..., :-2] + 2 * image[..., 1:-1] + image[..., 2:]
    across = rows[..., 2:] - rows[..., :-2]
    down = columns[..., 2:, :] - columns[..., :-2, :]
    return torch.cat((across, down), dim=1) / 8


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity, range 1: 7x7 uniform window, sample covariance, no padding.

    The definition of scikit-image's default.
    """
    c1, c2 = 0.01**2, 0.03**2
    sample = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    mean_a, aa = _box_means(a, a * a)  # apart from b, so that a source costs no backward pass
    mean_b, bb, ab = _box_means(b, b * b, a * b)
    both = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    variances = sample * (aa + bb - squares)
    covariance = sample * (ab - both)
    similarity = (2 * both + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity.mean()


def _box_means(*images: Tensor) -> tuple[Tensor, ...]:
    """Means over SSIM_WINDOW squares. A depthwise convolution is several times faster on a CPU than
    avg_pool2d."""
    stack = torch.cat(images, dim=1)
    shape = (len(images), 1, SSIM_WINDOW, SSIM_WINDOW)
    box = stack.new_full(shape, 1 / SSIM_WINDOW**2)
    return F.conv2d(stack, box, groups=len(images)).split(1, dim=1)
