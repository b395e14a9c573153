"""Thermal pixels to RGB pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import UserError
from ..parameters import option

MODES = ('none', 'resize', 'homography')


@dataclass(frozen=True)
class RegistrationSettings:
    """How thermal pixels come to lie on RGB pixels: ``registration.*``."""

    mode: str = option(
        'none',
        'Thermal to RGB pixels: registered already, same field of view, or by homography.',
        choices=MODES,
    )
    homography: list[float] = option(
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        'Nine numbers, row by row, that take thermal pixels to RGB pixels.',
    )


class Registration:
    """Brings a thermal image onto the visible image's pixel grid.

    mode: ``none`` (the cameras are registered already), ``resize`` (same field of view, other
    resolution), ``homography`` (one plane or far scene).
    homography: nine numbers, row by row, that take thermal pixel coordinates (x, y, 1) to visible
    ones. What the thermal camera does not see is 0, as cold as can be.
    """

    def __init__(self, mode: str = 'none', homography: Sequence[float] = ()):
        if mode not in MODES:
            raise UserError(f'registration.mode is {mode!r}; use one of {", ".join(MODES)}')
        self.mode = mode
        self.matrix: np.ndarray | None = None
        if mode == 'homography':
            if len(homography) != 9:
                raise UserError(
                    'registration.homography needs nine numbers (3x3, row by row), '
                    f'got {len(homography)}'
                )
            self.matrix = np.array(homography, np.float64).reshape(3, 3)
            if np.array_equal(self.matrix, np.eye(3)):
                raise UserError(
                    'registration.mode is homography, but registration.homography is the identity: '
                    'give the nine numbers that take thermal pixels to RGB pixels'
                )
            if not np.isfinite(self.matrix).all() or abs(np.linalg.det(self.matrix)) < 1e-12:
                raise UserError('registration.homography cannot be inverted; calibrate it again')

    def apply(self, thermal: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """thermal: uint8 (h, w). shape: (H, W) of the visible image. Returns uint8 (H, W)."""
        height, width = shape
        if self.matrix is not None:
            return cv2.warpPerspective(thermal, self.matrix, (width, height))
        if self.mode == 'resize' and thermal.shape != (height, width):
            return cv2.resize(thermal, (width, height), interpolation=cv2.INTER_LINEAR)
        return thermal
