"""Video files, frame by frame, with the time of each."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError, quoted
from .pixels import letterbox

WRITTEN = ('.mp4', '.avi', '.mkv', '.mov', '.m4v')
VIDEO_SUFFIXES = (*WRITTEN, '.webm', '.ts', '.mts', '.m2ts', '.mpg', '.mpeg', '.wmv', '.flv')


class Video:
    """A video file, frame by frame. Raises UserError if it cannot be read.

    rate: frames a second. frames: how many there should be. read: how many there were.
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise UserError(f'{path} is not a file')
        self.path, self.read = path, 0
        # From the root: "a:b.mp4" would be a protocol.
        self._capture = cv2.VideoCapture(str(path.absolute()))
        if not self._capture.isOpened():
            raise UserError(f'{path} is not a video that can be decoded')
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        self.frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        layout = int(self._capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(4, 'little')
        self._deep = layout[:2] == b'Y1' and layout[2:] != b'\x00\x08'  # grey of more than 8 bits
        if self._deep:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """(nanoseconds, pixels): uint8 (H, W, 3) BGR, or uint16 (H, W). Raises UserError."""
        last = -1
        while True:
            good, frame = self._capture.read()
            if not good:
                return
            if self._deep and frame.dtype != np.uint16:
                raise UserError(
                    f'{self.path} has grey levels of more than 8 bits in a form that cannot be '
                    'read here: convert it to 16-bit FFV1 (pixel format gray16le)'
                )
            time = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            if time <= last:  # a container without times
                time = last + round(1e9 / self.rate)
            last, self.read = time, self.read + 1
            yield time, frame

    @property
    def cut(self) -> str:
        """A sentence if it ended before its header says; else empty."""
        if self.read >= self.frames - 1:  # headers are off by one where frames are reordered
            return ''
        return f'{self.path} ends after {self.read} of {self.frames} frames: it is cut off'


class VideoSink:
    """Writes uint8 frames, (H, W, 3) BGR or (H, W), as MPEG-4.

    name: for messages. Odd sides get one more row or column, which the format needs.
    """

    def __init__(self, path: Path, rate: float, shape: tuple[int, int], name: Path | None = None):
        name = name or path
        if path.suffix.lower() not in WRITTEN:
            raise UserError(
                f'{name} is no name for a video; end it in one of {", ".join(WRITTEN)}, not '
                f'{quoted(path.suffix)}'
            )
        self.shape = (shape[0] + shape[0] % 2, shape[1] + shape[1] % 2)
        code = cv2.VideoWriter.fourcc(*'mp4v')
        self._writer = cv2.VideoWriter(str(path.absolute()), code, rate, self.shape[::-1])
        if not self._writer.isOpened():
            raise UserError(f'{name} cannot be written as a video; use the suffix .mp4')

    def write(self, frame: np.ndarray) -> None:
        """Add a frame; one of another size is scaled to fit and padded with black."""
        if frame.ndim == 2:
            frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        down, right = (wanted - side for wanted, side in zip(self.shape, frame.shape, strict=False))
        if 0 <= down <= 1 and 0 <= right <= 1:
            frame = cv2.copyMakeBorder(frame, 0, down, 0, right, cv2.BORDER_REPLICATE)
        self._writer.write(letterbox(frame, self.shape))

    def close(self) -> None:
        self._writer.release()
