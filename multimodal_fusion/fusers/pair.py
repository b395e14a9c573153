"""What a fuser takes and gives back: a registered pair, and its colour."""

import cv2
import numpy as np

from ..errors import UserError

MIN_SIDE = 32
MOST_COLOUR = 3.0  # times the visible image's chroma


def check_pair(visible: np.ndarray, thermal: np.ndarray) -> None:
    """Refuse what `Fuser.fuse` cannot take. Raises UserError."""
    for name, image, layouts in (
        ('visible', visible, 'uint8 (H, W, 3) BGR or (H, W) grey'),
        ('thermal', thermal, 'uint8 (H, W) white-hot'),
    ):
        fits = image.ndim == 2 or (name == 'visible' and image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not fits:
            raise UserError(f'the {name} image must be {layouts}, got {image.dtype} {image.shape}')
    if visible.shape[:2] != thermal.shape:
        raise UserError(
            f'the visible image is {size_text(visible)}, the thermal image {size_text(thermal)}: '
            'they must be registered to the same size; if both see the same field of view, '
            '--registration resize (registration.mode: resize) does it, else give the node a '
            'homography (registration.mode, registration.homography)'
        )
    if min(thermal.shape) < MIN_SIDE:
        raise UserError(
            f'the images are {size_text(thermal)}; both sides must be at least {MIN_SIDE} pixels'
        )


def return_colour(visible: np.ndarray, grey: np.ndarray, fused: np.ndarray) -> np.ndarray:
    """Add the change of luma to every channel and clip: Y is replaced, Cb and Cr are kept.

    visible: uint8 (H, W, 3) or (H, W). grey: its luma. fused: fused luma, uint8 (H, W).
    Returns uint8 of visible's shape.
    """
    if visible.ndim == 2:
        return fused
    # Of the two saturated differences one is zero at every pixel, so this is exact in 8 bits.
    brighter = cv2.cvtColor(cv2.subtract(fused, grey), cv2.COLOR_GRAY2BGR)
    darker = cv2.cvtColor(cv2.subtract(grey, fused), cv2.COLOR_GRAY2BGR)
    return cv2.subtract(cv2.add(visible, brighter), darker)


def keep_colour(visible: np.ndarray, grey: np.ndarray, fused: np.ndarray) -> np.ndarray:
    """Scale chroma with luma: F + s (C - Y) of each channel C, s = F / Y.

    Hue and saturation stay where thermal adds light.

    s is at most `MOST_COLOUR`, so that the noise of black pixels does not become colour, and so
    small that no channel clips. Arguments and result as of `return_colour`.
    """
    if visible.ndim == 2:
        return fused
    parts = cv2.split(visible)
    largest = cv2.max(cv2.max(parts[0], parts[1]), parts[2])
    room, above = cv2.bitwise_not(fused), np.maximum(cv2.subtract(largest, grey), 1)
    scale = cv2.divide(fused, np.maximum(grey, 1), dtype=cv2.CV_32F)
    scale = cv2.min(scale, cv2.divide(room, above, dtype=cv2.CV_32F))
    scale = np.minimum(scale, np.float32(MOST_COLOUR))
    rest = cv2.subtract(fused, cv2.multiply(scale, grey, dtype=cv2.CV_32F), dtype=cv2.CV_32F)
    kept = [cv2.multiply(scale, part, dtype=cv2.CV_32F) for part in parts]
    return cv2.merge([cv2.add(part, rest, dtype=cv2.CV_8U) for part in kept])


def size_text(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
