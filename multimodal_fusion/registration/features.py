"""What thermal and visible images have in common: where edges are and which way they run.

Polarity is not: warm things may be dark or bright in the visible image. The unsigned orientation of
the gradient is taken as two complex channels, at twice and four times its angle, so that opposite
gradients agree and crossing ones do not.
"""

from dataclasses import dataclass

import cv2
import numpy as np

BLUR = 1.0  # px, before gradients
LOCAL = 12.0  # px, of the mean that a gradient's size is measured by
FLOOR = 0.15  # of the mean over the image, added to it: flat parts stay quiet
ERODED = 5  # px off the border of what is known, which is an edge itself: as far as filters reach


@dataclass(frozen=True)
class Features:
    """channels: complex64 (2, H, W), zero where nothing is known. mask: float32 (H, W), 0 or 1."""

    channels: np.ndarray
    mask: np.ndarray

    @property
    def energy(self) -> np.ndarray:
        """float32 (H, W)."""
        return (np.abs(self.channels) ** 2).sum(0)


def grey(image: np.ndarray) -> np.ndarray:
    """Any picture as uint8 (H, W): luma of colour; more than 8 bits between their 1st and 99th
    percentiles."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image[::2, ::2], (1, 99))
    scaled = (image.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def features(image: np.ndarray, mask: np.ndarray | None = None) -> Features:
    """Of a grey image (H, W) at working resolution. mask: uint8, where it shows something."""
    if mask is None:
        mask = np.ones(image.shape, np.uint8)
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), BLUR)
    gx, gy = (cv2.Sobel(smooth, cv2.CV_32F, *way, ksize=3) for way in ((1, 0), (0, 1)))
    known = cv2.erode(
        mask,
        np.ones((2 * ERODED + 1,) * 2, np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).astype(np.float32)
    size = cv2.magnitude(gx, gy) * known
    local = cv2.GaussianBlur(size, (0, 0), LOCAL) / (cv2.GaussianBlur(known, (0, 0), LOCAL) + 1e-3)
    typical = float(size.sum() / max(known.sum(), 1.0))
    weight = np.sqrt(size / (local + FLOOR * typical + 1e-3))
    double = (gx * gx - gy * gy) + 1j * (2 * gx * gy)
    double /= np.abs(double) + 1e-6
    return Features((np.stack((double, double * double)) * weight).astype(np.complex64), known)
