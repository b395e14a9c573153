"""Loss terms. Images are float (N, 1, H, W) in [0, 1], H and W at least 7; terms are scalars."""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 7
QABF_CEILING = 0.9994 * 0.9879
VIF_WINDOWS = (17, 9, 5, 3)
VIF_SIDE = 41  # what the four scales need
VIF_NOISE, VIF_LEAST = 2.0, 1e-6  # variances, of 0..255
VIF_NOTHING = 1e-3  # information: a flat source loses none
SCD_LEAST = 1e-6  # variance, of a quarter of a grey level: below it no gradient grows
CONTRAST = 16 / 255**2  # variance from which a window counts, as in KC
AMPLIFIED = 1.05  # of the stronger source's deviation: a little under what evaluate counts from
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


def ssim(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """1 - (SSIM(T, F) + SSIM(V, F)) / 2."""
    return 1 - (similarity(thermal, fused) + similarity(visible, fused)) / 2


def qabf(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
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


def vif(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """1 - half of VIF (Sheikh and Bovik, 2006): the share of the sources' information that is lost.

    The pixel form of four scales, as ``evaluate`` has it; below 0 where contrast was added. H and W
    at least `VIF_SIDE`.
    """
    # About their means, for the sake of precision: variances are differences of large numbers.
    images = [255 * (x - x.mean((1, 2, 3), keepdim=True)) for x in (fused, thermal, visible)]
    kept, total = [VIF_NOTHING, VIF_NOTHING], [VIF_NOTHING, VIF_NOTHING]
    for size in VIF_WINDOWS:
        if size < VIF_WINDOWS[0]:
            images = [_blur(x, size)[..., ::2, ::2] for x in images]
        fused, *sources = images
        mean_fused = _blur(fused, size)
        spread = (_blur(fused * fused, size) - mean_fused * mean_fused).clamp(min=0)
        for i, source in enumerate(sources):
            mean = _blur(source, size)
            variance = (_blur(source * source, size) - mean * mean).clamp(min=0)
            common = (_blur(source * fused, size) - mean * mean_fused).clamp(min=0)
            gain = common / (variance + VIF_LEAST)
            rest = (spread - gain * common).clamp(min=0)
            passed = torch.log1p(gain * gain * variance / (rest + VIF_NOISE))
            kept[i] = kept[i] + passed.sum((1, 2, 3))
            total[i] = total[i] + torch.log1p(variance / VIF_NOISE).sum((1, 2, 3))
    return 1 - ((kept[0] / total[0] + kept[1] / total[1]) / 2).mean()


def scd(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """1 - half of SCD (Aslantas and Bendes, 2015): what is left of the fused image without one
    source should vary as the other one does."""
    found = _correlation(fused - visible, thermal) + _correlation(fused - thermal, visible)
    return 1 - found.mean() / 2


def kc(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """1 - (KC_thermal + KC_visible) / 2, the share of the sources' contrast that is lost.

    As ``evaluate`` has it, but an inverted contrast counts below 0, so that it has a gradient.
    """
    mean_fused, _ = _box_means(fused, fused)
    kept: Tensor | float = 0.0
    for source in (thermal, visible):
        mean, square, product = _box_means(source, source * source, source * fused)
        variance, common = square - mean * mean, product - mean * mean_fused
        some = (variance > CONTRAST).to(fused.dtype)
        shares = some * (common / variance.clamp(min=CONTRAST)).clamp(-1, 1)
        kept = kept + (shares.sum((1, 2, 3)) / some.sum((1, 2, 3)).clamp(min=1)).mean()
    return 1 - kept / 2


def amplified(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """By how much windows exceed `AMPLIFIED` times the deviation of the stronger source: the mean
    of max(0, ratio - 1.05) over the windows with contrast."""
    spreads = []
    for image in (fused, thermal, visible):
        mean, square = _box_means(image, image * image)
        spreads.append(square - mean * mean)
    larger = torch.maximum(*spreads[1:])
    some = (larger > CONTRAST).to(fused.dtype)
    ratio = (spreads[0].clamp(min=SCD_LEAST) / larger.clamp(min=CONTRAST)).sqrt()
    return ((ratio - AMPLIFIED).relu() * some).sum() / some.sum().clamp(min=1)


def outside(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """Mean distance to [0, 1], which clipping would lose."""
    return ((fused - 1).relu() + (-fused).relu()).mean()


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Of each image with its counterpart: (N,); 0 for flat ones."""
    a, b = (x - x.mean((1, 2, 3), keepdim=True) for x in (a, b))
    both, aa, bb = (x.mean((1, 2, 3)) for x in (a * b, a * a, b * b))
    return both / ((aa + SCD_LEAST) * (bb + SCD_LEAST)).sqrt()


def _blur(image: Tensor, size: int) -> Tensor:
    """Gaussian means of standard deviation size / 5 over size x size pixels, without padding."""
    distance = torch.arange(size, dtype=image.dtype, device=image.device) - size // 2
    taps = torch.exp(-(distance**2) / (2 * (size / 5) ** 2))
    taps = (taps / taps.sum()).view(1, 1, 1, size)
    return F.conv2d(F.conv2d(image, taps), taps.transpose(2, 3))


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


def similarity(a: Tensor, b: Tensor) -> Tensor:
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


def luma(image: Tensor) -> Tensor:
    """BT.601 luma of RGB (N, 3, H, W), or what is grey already: (N, 1, H, W)."""
    if image.shape[1] == 1:
        return image
    return (image * image.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, keepdim=True)


def chroma(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """Mean absolute difference of the fused image's colour, RGB less luma, to the visible one's; 0
    of grey images."""
    return F.l1_loss(fused - luma(fused), visible - luma(visible))


TERMS = {
    'intensity': intensity,
    'gradient': gradient,
    'ssim': ssim,
    'qabf': qabf,
    'vif': vif,
    'scd': scd,
    'kc': kc,
    'amplified': amplified,
    'outside': outside,
    'chroma': chroma,
}
"""By the names that configurations have for them: a loss is called as its metric. All are of luma,
but chroma, which is of RGB (N, 3, H, W)."""
