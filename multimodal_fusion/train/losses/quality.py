"""SSIM and GMSD per image: what the dynamic refresh judges by.

Images are float (N, 1, H, W) in [0, 1]; results are (N,), and can be differentiated.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
GMSD_C = 170.0  # for gradients of 0..255


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity (Wang et al., 2004), 1 for equal images.

    11x11 Gaussian window of sigma 1.5, range 1, no padding: H and W at least 11.
    """
    count = len(a)
    means = _gauss(torch.cat((a, b, a * a, b * b, a * b))).split(count)
    mean_a, mean_b, aa, bb, ab = means
    both = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    similarity = (2 * both + C1) * (2 * (ab - both) + C2)
    similarity = similarity / ((squares + C1) * (aa + bb - squares + C2))
    return similarity.mean((1, 2, 3))


def gmsd(a: Tensor, b: Tensor) -> Tensor:
    """Gradient magnitude similarity deviation (Xue et al., 2014), 0 for equal images.

    2x2 mean, stride 2; Prewitt/3 without padding; population deviation: H and W at least 8.
    """
    steep_a, steep_b = (_prewitt(F.avg_pool2d(255 * image, 2)) for image in (a, b))
    similarity = (2 * steep_a * steep_b + GMSD_C) / (steep_a**2 + steep_b**2 + GMSD_C)
    return similarity.flatten(1).std(1, correction=0)


def _gauss(images: Tensor) -> Tensor:
    """Separable and valid: 22 taps instead of 121."""
    distance = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    taps = torch.exp(-(distance**2) / (2 * SIGMA**2))
    taps = (taps / taps.sum()).view(1, 1, 1, WINDOW)
    return F.conv2d(F.conv2d(images, taps), taps.transpose(2, 3))


def _prewitt(image: Tensor) -> Tensor:
    rows = image[..., :-2, :] + image[..., 1:-1, :] + image[..., 2:, :]
    columns = image[..., :-2] + image[..., 1:-1] + image[..., 2:]
    across = (rows[..., 2:] - rows[..., :-2]) / 3
    down = (columns[..., 2:, :] - columns[..., :-2, :]) / 3
    return (across**2 + down**2 + 1e-12).sqrt()  # so that flat places have a derivative
