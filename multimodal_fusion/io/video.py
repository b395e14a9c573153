"""Video files, frame by frame."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from .pixels import letterbox

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.m4v', '.webm')


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
        code = cv2.VideoWriter.fourcc(*'mp4v')
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
