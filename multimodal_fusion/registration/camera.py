"""A camera by its camera_info: how large its images are, and how its lens bends them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..errors import UserError

Size = tuple[int, int]
"""(height, width)"""
MODELS = {'plumb_bob': 5, 'rational_polynomial': 8, 'equidistant': 4}
"""Distortion models of ROS, and how many numbers they have."""


def image_size(info: Any) -> Size:
    """(height, width) of the images that a CameraInfo goes with: width and height are of the whole
    sensor, of which a region of interest may be sent, binned (REP 104)."""
    roi = getattr(info, 'roi', None)
    height, width = (
        (roi.height or info.height, roi.width or info.width) if roi else (info.height, info.width)
    )
    return (
        height // max(1, getattr(info, 'binning_y', 0)),
        width // max(1, getattr(info, 'binning_x', 0)),
    )


@dataclass(frozen=True)
class Lens:
    """size: (height, width) of the images. matrix: nine numbers of the pinhole, for these images.
    model: of `MODELS`. bent: its numbers."""

    size: Size
    matrix: tuple[float, ...]
    model: str
    bent: tuple[float, ...]

    @classmethod
    def of(cls, info: Any) -> Lens:
        """info: like sensor_msgs/CameraInfo. Raises UserError where it can't be used."""
        k, d = np.array(info.k, float).reshape(3, 3), tuple(map(float, info.d))
        model = info.distortion_model or 'plumb_bob'
        if model not in MODELS:
            raise UserError(
                f'camera_info has the distortion model {model!r}; known are {", ".join(MODELS)}'
            )
        if k[0, 0] <= 0 or k[1, 1] <= 0 or not np.isfinite(k).all():
            raise UserError('camera_info has no focal length (k): the camera is not calibrated')
        if len(d) not in (0, MODELS[model]) or not np.isfinite(d).all():
            raise UserError(
                f'camera_info has {len(d)} numbers of distortion; {model} has {MODELS[model]}'
            )
        roi = getattr(info, 'roi', None)
        bins = np.array([max(1, getattr(info, f'binning_{axis}', 0)) for axis in 'xy'], float)
        corner = np.array([roi.x_offset, roi.y_offset] if roi else [0, 0], float)
        k[:2, 2] -= corner
        # The middle of a binned pixel is the middle of those that it is made of.
        k[:2, 2] = (k[:2, 2] + 0.5) / bins - 0.5
        k[:2, :2] /= bins[:, None]
        return cls(image_size(info), tuple(k.ravel()), model, d)

    @property
    def straight(self) -> bool:
        return not any(self.bent)

    def check(self, image: np.ndarray) -> None:
        """Raises UserError for an image of another size than the lens's."""
        if image.shape[:2] != self.size:
            raise UserError(
                f'camera_info is for {self.size[1]}x{self.size[0]} images, this one is '
                f'{image.shape[1]}x{image.shape[0]}: it cannot be straightened'
            )

    def straighten(self, image: np.ndarray) -> np.ndarray:
        """The image as a pinhole of the same matrix would see it; what it does not know is 0.
        Raises UserError for one of another size."""
        self.check(image)
        return image if self.straight else self.onto(image, np.eye(3), self.size)

    def onto(self, image: np.ndarray, matrix: np.ndarray, size: Size) -> np.ndarray:
        """The image straightened and then warped, in one step. matrix: 3x3, from its straight
        pixels to those of an image of this size."""
        return cv2.remap(image, *_maps(self, matrix.tobytes(), size), cv2.INTER_LINEAR)


@lru_cache(maxsize=8)
def _maps(lens: Lens, place: bytes, size: Size) -> tuple[np.ndarray, np.ndarray]:
    matrix, bent = np.reshape(lens.matrix, (3, 3)), np.array(lens.bent)
    make: Any = cv2.initUndistortRectifyMap
    if lens.model == 'equidistant':
        make = cv2.fisheye.initUndistortRectifyMap
    into = np.frombuffer(place).reshape(3, 3) @ matrix
    maps = make(matrix, bent, np.eye(3), into, size[::-1], cv2.CV_32FC1)
    return maps[0], maps[1]
