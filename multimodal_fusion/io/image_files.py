"""Images, pairs of images and videos on disk."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import BadImage, UserError
from .image_codec import MAX_PIXELS, decode
from .orientation import orientation, upright
from .pixels import luma
from .whole_files import whole_file

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.pgm', '.ppm')


def read_pixels(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An image file as it is stored, but upright: uint8 or uint16, (H, W) or (H, W, 3) BGR.

    Raises BadImage.
    """
    if path.exists() and not path.is_file():
        raise BadImage('encoding', f'{path} is no regular file; give an image')
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadImage('encoding', f'{path} cannot be read: {error.strerror}') from error
    try:
        return upright(decode(content, max_pixels), orientation(memoryview(content)))
    except BadImage as error:
        if error.reason == 'size':
            raise BadImage('size', f'{path}: {error}') from error
        raise BadImage(
            error.reason,
            f'{path} is not an image that can be decoded ({content.size} bytes, beginning with '
            f'{content[:8].tobytes()!r}): {error}',
        ) from error


def read_visible(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A visible image file as uint8 (H, W, 3) BGR or (H, W) grey. Raises BadImage."""
    pixels = read_pixels(path, max_pixels)
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def read_thermal(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A thermal image file as uint8 or uint16 (H, W) counts. Raises BadImage."""
    pixels = read_pixels(path, max_pixels)
    if pixels.ndim == 3 and pixels.dtype == np.uint16:
        raise BadImage(
            'encoding', f'{path} is 16-bit colour; a 16-bit thermal image has one channel'
        )
    return luma(pixels) if pixels.ndim == 3 else pixels


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write an image whole or not at all. Raises UserError."""
    with whole_file(path) as temporary:
        try:
            written = cv2.imwrite(str(temporary), pixels)
        except cv2.error:
            written = False
        if not written:
            raise UserError(
                f'{path} cannot be written as an image: give it a suffix such as .png or .jpg'
            )
