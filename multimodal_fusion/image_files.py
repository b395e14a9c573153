"""Images, pairs of images and videos on disk."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .errors import BadImage, UserError
from .files import whole_file
from .image_codec import MAX_PIXELS, decode
from .images import luma

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.pgm', '.ppm')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.m4v', '.webm')


def read_pixels(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An image file as it is stored, uint8 or uint16, (H, W) or (H, W, 3) BGR. Raises BadImage."""
    if path.exists() and not path.is_file():
        raise BadImage('encoding', f'{path} is no regular file; give an image')
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadImage('encoding', f'{path} cannot be read: {error.strerror}') from error
    try:
        return decode(content, max_pixels)
    except BadImage as error:
        if error.reason == 'size':
            raise BadImage('size', f'{path}: {error}') from error
        raise BadImage(
            error.reason,
            f'{path} is not an image that can be decoded ({content.size} bytes, beginning with '
            f'{content[:8].tobytes()!r}): {error}',
        ) from error


def read_visible(path: Path) -> np.ndarray:
    """A visible image file as uint8 (H, W, 3) BGR or (H, W) grey. Raises BadImage."""
    pixels = read_pixels(path)
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def read_thermal(path: Path) -> np.ndarray:
    """A thermal image file as uint8 or uint16 (H, W) counts. Raises BadImage."""
    pixels = read_pixels(path)
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


class Video:
    """A video file, frame by frame: uint8 (H, W, 3) BGR. Raises UserError if it cannot be read."""

    def __init__(self, path: Path):
        if not path.is_file():
            raise UserError(f'{path} is not a file')
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise UserError(f'{path} is not a video that can be decoded')
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        self.frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            good, frame = self._capture.read()
            if not good:
                return
            yield frame


class VideoSink:
    """Writes equally sized uint8 frames, (H, W, 3) BGR or (H, W), as MPEG-4."""

    def __init__(self, path: Path, rate: float, shape: tuple[int, int]):
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise UserError(f'{path.name} is no video file; use the suffix .mp4')
        self.shape = shape
        code = cv2.VideoWriter_fourcc(*'mp4v')
        self._writer = cv2.VideoWriter(str(path), code, rate, shape[::-1])
        if not self._writer.isOpened():
            raise UserError(f'{path} cannot be written as a video; use the suffix .mp4')

    def write(self, frame: np.ndarray) -> None:
        """Add a frame; one of another size is scaled to fit and padded with black."""
        if frame.ndim == 2:
            frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        self._writer.write(letterbox(frame, self.shape))

    def close(self) -> None:
        self._writer.release()


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
