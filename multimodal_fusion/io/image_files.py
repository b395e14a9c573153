"""Images, pairs of images and videos on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadImage, UserError
from .image_codec import MAX_PIXELS, decode
from .orientation import orientation, upright
from .pixels import luma
from .radiometric import Radiometric, photo_of, radiometric
from .whole_files import whole_file

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.pgm', '.ppm')


def read_pixels(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An image file as it is stored, but upright: uint8 or uint16, (H, W) or (H, W, 3) BGR.

    Raises BadImage.
    """
    return _pixels(path, _content(path), max_pixels)


def read_visible(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A visible image file as uint8 (H, W, 3) BGR or (H, W) grey; of a radiometric JPEG the photo
    beside its counts, if there is one. Raises BadImage."""
    content = _content(path)
    if found := _radiometric(path, content, max_pixels):
        with _of(path):
            photo = photo_of(found, max_pixels)
        if photo is not None:
            return photo
    pixels = _pixels(path, content, max_pixels)
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def read_thermal(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A thermal image file as uint8 or uint16 (H, W) counts; of a radiometric JPEG (FLIR, DJI) its
    raw counts. Raises BadImage."""
    content = _content(path)
    if found := _radiometric(path, content, max_pixels):
        return found.counts
    pixels = _pixels(path, content, max_pixels)
    if pixels.ndim == 3 and pixels.dtype == np.uint16:
        raise BadImage(
            'encoding', f'{path} is 16-bit colour; a 16-bit thermal image has one channel'
        )
    return luma(pixels) if pixels.ndim == 3 else pixels


def _content(path: Path) -> np.ndarray:
    """uint8 (N,). Raises BadImage."""
    if path.exists() and not path.is_file():
        raise BadImage('encoding', f'{path} is no regular file; give an image')
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadImage('encoding', f'{path} cannot be read: {error.strerror}') from error


def _pixels(path: Path, content: np.ndarray, max_pixels: int) -> np.ndarray:
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


def _radiometric(path: Path, content: np.ndarray, max_pixels: int) -> Radiometric | None:
    with _of(path):
        return radiometric(content.tobytes(), max_pixels)


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """Errors within it name the file."""
    try:
        yield
    except BadImage as error:
        raise BadImage(error.reason, f'{path}: {error}') from error


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
