"""Thermal pixels to RGB pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..errors import UserError
from ..parameters import option
from .camera import Lens
from .stored import Size, Stored, check_matrix, grid

MODES = ('none', 'resize', 'homography')
_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


@dataclass(frozen=True)
class RegistrationSettings:
    """How thermal pixels come to lie on RGB pixels: ``registration.*``."""

    mode: str = option(
        'none',
        'Thermal to RGB pixels: registered already, same field of view, or by homography.',
        choices=MODES,
    )
    homography: list[float] = option(
        _IDENTITY,
        'Nine numbers, row by row, that take thermal pixels to RGB pixels; unless there is a file.',
    )
    file: str = option(
        '',
        'Of mode homography: a file of "multimodal_fusion calibrate", for images of any size that '
        'show the same. ~/save_registration writes it.',
    )
    dx: float = option(
        0.0,
        'Nudge, on top of any mode: to the right.',
        unit='RGB pixels',
        low=-2000.0,
        high=2000.0,
    )
    dy: float = option(0.0, 'Nudge: down.', unit='RGB pixels', low=-2000.0, high=2000.0)
    scale: float = option(1.0, 'Nudge: larger, about the middle of the image.', low=0.2, high=5.0)
    rotation: float = option(
        0.0,
        'Nudge: clockwise, about the middle of the image.',
        unit='degrees',
        low=-180.0,
        high=180.0,
    )
    feather: int = option(
        12,
        'Width of the edge over which thermal fades in where it does not cover the RGB image.',
        unit='pixels',
        low=0,
        high=500,
    )
    undistort: bool = option(
        False,
        'Straighten both images by the camera_info of their cameras, before all else.',
    )

    @property
    def nudged(self) -> bool:
        return (self.dx, self.dy, self.scale, self.rotation) != (0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Registration:
    """Brings a thermal image onto the visible image's pixel grid.

    Matrices and masks are made once for each two sizes. lenses: of the cameras ``rgb`` and
    ``thermal``, as far as they are known; see `look`. Make one with `of`.
    """

    settings: RegistrationSettings = field(default_factory=RegistrationSettings)
    stored: Stored | None = None
    lenses: dict[str, Lens] = field(default_factory=dict, compare=False)

    @classmethod
    def of(
        cls, settings: RegistrationSettings, lenses: dict[str, Lens] | None = None
    ) -> Registration:
        """lenses: those of a registration before. Raises UserError."""
        lenses = {} if lenses is None else lenses
        if settings.mode != 'homography':
            return cls(settings, None, lenses)
        if settings.file:
            return cls(settings, Stored.read(settings.file), lenses)
        if len(settings.homography) != 9:
            raise UserError(
                'registration.homography needs nine numbers (3x3, row by row), '
                f'got {len(settings.homography)}'
            )
        if list(settings.homography) == _IDENTITY and not settings.nudged:
            raise UserError(
                'registration.mode is homography, but registration.homography is the identity: '
                'give the nine numbers that take thermal pixels to RGB pixels, or '
                'registration.file (see "multimodal_fusion calibrate")'
            )
        matrix = np.array(settings.homography, np.float64).reshape(3, 3)
        check_matrix(matrix, 'registration.homography')
        return cls(settings, None, lenses)

    def look(self, name: str, info: Any) -> None:
        """Take note of a camera_info of ``rgb`` or ``thermal``. Raises UserError where images are
        to be straightened by it and it can't be used."""
        if self.settings.undistort:
            found = Lens.of(info)
            if self.lenses.get(name) != found:
                self.lenses[name] = found

    def straight(self, name: str, image: np.ndarray) -> np.ndarray:
        """The image of a camera as a lens that bends nothing would make it; as it is where its lens
        is not known. Raises UserError for one of another size."""
        lens = self.lenses.get(name) if self.settings.undistort else None
        return image if lens is None else lens.straighten(image)

    def matrix(self, thermal: Size, visible: Size) -> np.ndarray | None:
        """3x3, thermal to visible pixels, for images of these (height, width); None where nothing
        is warped: the sizes are equal and nothing is moved, or the fuser has to refuse them."""
        settings = self.settings
        if settings.mode == 'homography':
            if self.stored is not None:
                base = self.stored.at(thermal, visible)
            else:
                base = np.array(settings.homography, np.float64).reshape(3, 3)
        elif settings.mode == 'resize':
            base = grid(thermal, visible)
        elif thermal != visible or not settings.nudged:
            return None
        else:
            base = np.eye(3)
        if not settings.nudged:
            return base
        height, width = visible
        middle = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
        turn = np.deg2rad(settings.rotation)
        cosine, sine = settings.scale * np.cos(turn), settings.scale * np.sin(turn)
        nudge = np.array([[cosine, -sine, settings.dx], [sine, cosine, settings.dy], [0, 0, 1]])
        return middle @ nudge @ np.linalg.inv(middle) @ base

    def apply(self, thermal: np.ndarray, shape: Size) -> np.ndarray:
        """thermal: uint8 (h, w). shape: (H, W) of the visible image. Returns uint8 (H, W); what the
        thermal camera does not see is 0, as cold as can be. Raises UserError."""
        thermal = self.straight('thermal', thermal)
        if self.settings.mode == 'resize' and not self.settings.nudged:
            if thermal.shape == shape:
                return thermal
            return cv2.resize(thermal, shape[::-1], interpolation=cv2.INTER_LINEAR)
        matrix = self.matrix(_size(thermal), shape)
        if matrix is None:
            return thermal
        return cv2.warpPerspective(thermal, matrix, shape[::-1])

    def weights(self, thermal: Size, visible: Size) -> np.ndarray | None:
        """Where thermal is seen: float32 (H, W), 1 inside, 0 outside, rising over the feather; None
        where it covers the whole image."""
        matrix = self.matrix(thermal, visible)
        if matrix is None or (self.settings.mode == 'resize' and not self.settings.nudged):
            return None
        return _weights(matrix.tobytes(), thermal, visible, self.settings.feather)


def _size(image: np.ndarray) -> Size:
    return image.shape[0], image.shape[1]


@lru_cache(maxsize=8)
def _weights(matrix: bytes, thermal: Size, visible: Size, feather: int) -> np.ndarray | None:
    place = np.frombuffer(matrix).reshape(3, 3)
    inside = cv2.warpPerspective(
        np.ones(thermal, np.uint8), place, visible[::-1], flags=cv2.INTER_NEAREST
    )
    if inside.all():
        return None
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    found = np.clip(distance / (feather + 1), 0, 1)
    found.flags.writeable = False
    return found


def blend(fused: np.ndarray, visible: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The fused image where thermal is seen, the visible one elsewhere; uint8, of one shape."""
    return cv2.blendLinear(fused, visible, weights, 1 - weights)
