"""Blending by a mask that was computed at a smaller size than the images."""

import cv2
import numpy as np

SMALLEST = 32  # pixels a side of the reduced images: what a model file takes


def reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """An image at this share of its sides (at least `SMALLEST` pixels), averaged."""
    height, width = (max(SMALLEST, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def enlarge(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask uint8 (h, w) at (H, W), bilinear."""
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR)


def blend(thermal: np.ndarray, visible: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """thermal × M + visible × (1 - M), rounded; M = mask / 255.

    thermal, mask: uint8 (H, W). visible: uint8 (H, W) or (H, W, 3), into which thermal goes as
    grey. Returns uint8 of visible's shape; 0 and 255 in the mask give the sources exactly.
    """
    if visible.ndim == 3:
        thermal, mask = (cv2.cvtColor(x, cv2.COLOR_GRAY2BGR) for x in (thermal, mask))
    change = cv2.subtract(thermal, visible, dtype=cv2.CV_16S)
    change = cv2.multiply(change, mask, scale=1 / 255, dtype=cv2.CV_16S)
    return cv2.add(visible, change, dtype=cv2.CV_8U)
