"""Where two calibrated cameras see the points of a plane at a known distance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..errors import UserError
from .camera import Lens

STEP = 1.02
"""Distances count as the same within this ratio: what is made for one is not made anew for noise.
Two cameras 10 cm apart, 600 pixels of focal length, a wall at 2 m: 0.3 pixels."""


@dataclass(frozen=True)
class Pose:
    """From the thermal camera's optical frame to that of the RGB camera: X_rgb = R X_thermal + t.

    rotation: nine numbers, row by row. translation: three, metres. Raises UserError for what is no
    rotation or not finite.
    """

    rotation: tuple[float, ...]
    translation: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.rotation) != 9 or len(self.translation) != 3:
            raise UserError('a pose has nine numbers of rotation and three of translation')
        turn = np.reshape(self.rotation, (3, 3)).astype(float)
        off = np.abs(turn @ turn.T - np.eye(3)).max() if np.isfinite(turn).all() else math.inf
        if off > 1e-3 or np.linalg.det(turn) < 0 or not np.isfinite(self.translation).all():
            raise UserError(
                'the pose is none: its nine numbers, row by row, must be a rotation, and its '
                'translation three finite numbers in metres'
            )

    @classmethod
    def of_quaternion(cls, quaternion: tuple[float, ...], translation: tuple[float, ...]) -> Pose:
        """quaternion: x, y, z, w, as ROS has it. Raises UserError."""
        q = np.array(quaternion, float)
        length = np.linalg.norm(q)
        if not np.isfinite(length) or length < 1e-6:
            raise UserError('the quaternion of the transform is zero or not finite')
        x, y, z, w = q / length
        turn = (
            *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
            *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
            *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
        )
        return cls(turn, translation)


@dataclass
class KnownRig:
    """What is learnt while images come: lenses of ``rgb`` and ``thermal``, the pose of tf, and the
    distance (m) that was measured last; None while unknown."""

    lenses: dict[str, Lens] = field(default_factory=dict)
    pose: Pose | None = None
    distance: float | None = None


def through_plane(thermal: Lens, visible: Lens, pose: Pose, distance: float) -> np.ndarray:
    """3x3, thermal to RGB pixels of straightened images, for a plane at a distance (m), parallel to
    the RGB image: H^-1 = K_t R^T (I - t n^T / d) K_v^-1 with n = (0, 0, 1).

    Raises UserError where the plane lies behind the thermal camera.
    """
    turn = np.reshape(pose.rotation, (3, 3)).T
    shift = np.outer(pose.translation, (0.0, 0.0, 1.0 / rounded(distance)))
    into = np.reshape(thermal.matrix, (3, 3)) @ turn @ (np.eye(3) - shift)
    found = into @ np.linalg.inv(np.reshape(visible.matrix, (3, 3)))
    middle = found @ ((visible.size[1] - 1) / 2, (visible.size[0] - 1) / 2, 1.0)
    if middle[2] <= 0 or abs(np.linalg.det(found)) < 1e-12:
        raise UserError(
            f'a plane {distance:g} m before the RGB camera is not before the thermal camera: look '
            'at the pose of the two (thermal to RGB, metres) and at the distance'
        )
    return np.linalg.inv(found)


def rounded(distance: float) -> float:
    """The nearest power of `STEP`."""
    return STEP ** round(math.log(distance) / math.log(STEP))
