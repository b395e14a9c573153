"""Classical fusers: two uint8 luma images (H, W) in, one out. The baselines of every table."""

import cv2
import numpy as np

from ..errors import UserError


def average(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Pixel mean, rounded half up."""
    return cv2.addWeighted(thermal, 0.5, visible, 0.5, 0)


def maximum(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Pixel maximum."""
    return cv2.max(thermal, visible)


def laplacian(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Laplacian pyramid (Burt and Adelson): larger detail per level, mean of the base."""
    a: np.ndarray = thermal.astype(np.float32)
    b: np.ndarray = visible.astype(np.float32)
    sizes, details = [], []
    for _ in range(_levels(a.shape)):
        small_a, small_b = cv2.pyrDown(a), cv2.pyrDown(b)
        size = a.shape[1::-1]
        detail_a = a - cv2.pyrUp(small_a, dstsize=size)
        detail_b = b - cv2.pyrUp(small_b, dstsize=size)
        details.append(_larger(detail_a, detail_b))
        sizes.append(size)
        a, b = small_a, small_b
    fused = (a + b) / 2
    for size, detail in zip(reversed(sizes), reversed(details), strict=True):
        fused = cv2.pyrUp(fused, dstsize=size) + detail
    return _to_uint8(fused)


def guided_filter(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Guided-filter fusion (GFF; Li, Kang and Hu, 2013).

    Saliency decides per pixel; the decision is smoothed along the edges of each source, widely for
    the base layer (r=45, eps=0.3) and narrowly for the detail layer (r=7, eps=1e-6).
    """
    sources = [image.astype(np.float32) / 255 for image in (thermal, visible)]
    bases = [cv2.blur(image, (31, 31)) for image in sources]
    saliency = [
        cv2.GaussianBlur(np.abs(cv2.Laplacian(image, cv2.CV_32F)), (11, 11), 5) for image in sources
    ]
    first = (saliency[0] >= saliency[1]).astype(np.float32)
    fused = np.zeros_like(first)
    for radius, eps, layers in (
        (45, 0.3, bases),
        (7, 1e-6, [image - base for image, base in zip(sources, bases, strict=True)]),
    ):
        weights = [
            np.clip(_edge_aware(guide, mask, radius, eps), 0, 1)
            for guide, mask in zip(sources, (first, 1 - first), strict=True)
        ]
        total = weights[0] + weights[1] + 1e-9
        fused += (weights[0] * layers[0] + weights[1] * layers[1]) / total
    return _to_uint8(fused * 255)


def wavelet_max(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Wavelet fusion: db2, three levels, larger coefficient of the details, mean of the base."""
    try:
        import pywt
    except ImportError:  # not packaged for every robot; the other fusers do without
        raise UserError('wavelet_max needs PyWavelets: pip install PyWavelets') from None
    level = min(3, pywt.dwt_max_level(min(thermal.shape), 'db2'))
    a, b = (
        pywt.wavedec2(image.astype(np.float32), 'db2', mode='symmetric', level=level)
        for image in (thermal, visible)
    )
    fused = [(a[0] + b[0]) / 2]
    for bands_a, bands_b in zip(a[1:], b[1:], strict=True):
        fused.append(tuple(_larger(x, y) for x, y in zip(bands_a, bands_b, strict=True)))
    height, width = thermal.shape
    return _to_uint8(pywt.waverec2(fused, 'db2', mode='symmetric')[:height, :width])


CLASSICAL = {
    'average': average,
    'max': maximum,
    'laplacian': laplacian,
    'guided_filter': guided_filter,
    'wavelet_max': wavelet_max,
}


def _levels(shape: tuple[int, int]) -> int:
    """Pyramid levels: up to five, the coarsest at least four pixels."""
    return max(0, min(5, min(shape).bit_length() - 3))


def _larger(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Per pixel the one of larger magnitude."""
    return np.where(np.abs(a) >= np.abs(b), a, b)


def _edge_aware(guide: np.ndarray, image: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Guided filter (He, Sun and Tang, 2010), box means. float32 (H, W) each."""

    def mean(x):
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1))

    mean_guide, mean_image = mean(guide), mean(image)
    covariance = mean(guide * image) - mean_guide * mean_image
    slope = covariance / (mean(guide * guide) - mean_guide * mean_guide + eps)
    return mean(slope) * guide + mean(mean_image - slope * mean_guide)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
