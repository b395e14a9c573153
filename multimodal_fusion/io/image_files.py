"""Images, pairs of images and videos on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadImage, UserError
from .image_codec import MAX_PIXELS, decode
from .orientation import orientation, upright
from .pixels import luma
from .places import reaching, remote
from .radiometric import Radiometric, photo_of, radiometric
from .whole_files import whole_file

DEGREE_SCALE, DEGREE_OFFSET = 0.04, -273.15
"""Degrees Celsius of a count of a file that holds degrees: finer than thermal cameras see, and
up to 2348 degrees."""
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


@dataclass(frozen=True)
class ThermalFile:
    """counts: uint8 or uint16 (H, W). degrees: they are temperatures, by `DEGREE_SCALE` and
    `DEGREE_OFFSET`. planck: as of `Radiometric`."""

    counts: np.ndarray
    degrees: bool = False
    planck: tuple[float, float, float, float, float] | None = None


def read_thermal(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The counts of `thermal_file`, uint8 or uint16 (H, W). Raises BadImage."""
    return thermal_file(path, max_pixels).counts


def thermal_file(path: Path, max_pixels: int = MAX_PIXELS) -> ThermalFile:
    """A thermal image file: of a radiometric JPEG (FLIR, DJI) its raw counts; of a float32 TIFF,
    which holds degrees Celsius, counts of 0.04 kelvin (0 where it is no number). Raises BadImage.
    """
    content = _content(path)
    if found := _radiometric(path, content, max_pixels):
        return ThermalFile(found.counts, planck=found.planck)
    pixels = _pixels(path, content, max_pixels, floats=True)
    if pixels.dtype == np.float32:
        kelvins = np.nan_to_num(pixels - DEGREE_OFFSET, nan=0.0, posinf=0.0, neginf=0.0)
        steps = np.rint(kelvins / DEGREE_SCALE).clip(0, 65535)
        return ThermalFile(steps.astype(np.uint16), degrees=True)
    return ThermalFile(_counts(path, pixels))


def _counts(path: Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 3 and pixels.dtype == np.uint16:
        raise BadImage(
            'encoding', f'{path} is 16-bit colour; a 16-bit thermal image has one channel'
        )
    return luma(pixels) if pixels.ndim == 3 else pixels


def _content(path: Path) -> np.ndarray:
    """uint8 (N,). Raises BadImage, and Unreachable for a remote one."""
    if remote(path):
        with reaching(path):
            return np.frombuffer(path.read_bytes(), np.uint8)
    if path.exists() and not path.is_file():
        raise BadImage('encoding', f'{path} is no regular file; give an image')
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadImage('encoding', f'{path} cannot be read: {error.strerror}') from error


def _pixels(path: Path, content: np.ndarray, max_pixels: int, floats: bool = False) -> np.ndarray:
    try:
        return upright(decode(content, max_pixels, floats), orientation(memoryview(content)))
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
