"""Pixels to pixels: luma, letterbox, side by side."""

import cv2
import numpy as np


def letterbox(frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Scale (h, w, 3) to fit (H, W), keep its proportions, pad with black around."""
    if frame.shape[:2] == shape:
        return frame
    scale = min(shape[0] / frame.shape[0], shape[1] / frame.shape[1])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (shape[0] - small.shape[0]) // 2, (shape[1] - small.shape[1]) // 2
    whole = np.zeros((*shape, 3), np.uint8)
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
    return whole


def side_by_side(images: list[np.ndarray]) -> np.ndarray:
    """uint8 images of one size, grey or BGR, as one BGR picture from left to right."""
    colour = [
        cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image for image in images
    ]
    return np.hstack(colour)


def luma(visible: np.ndarray) -> np.ndarray:
    """BT.601 luma, uint8 (H, W), of uint8 BGR (H, W, 3) or grey (H, W)."""
    return visible if visible.ndim == 2 else cv2.cvtColor(visible, cv2.COLOR_BGR2GRAY)
