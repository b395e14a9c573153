"""Thermal pixels to RGB pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..errors import UserError
from ..parameters import option
from .camera import Lens, Size
from .plane import KnownRig, through_plane
from .stored import Stored, check_matrix, grid

MODES = ('none', 'resize', 'homography', 'calibrated')
DISTANCES = ('parameter', 'range', 'depth')
_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


@dataclass(frozen=True)
class RegistrationSettings:
    """How thermal pixels come to lie on RGB pixels: ``registration.*``."""

    mode: str = option(
        'none',
        'Thermal to RGB pixels: registered already, same field of view, by homography, or by both '
        'camera_info, the pose of the cameras and the distance of what they look at.',
        choices=MODES,
    )
    homography: list[float] = option(
        _IDENTITY,
        'Nine numbers, row by row, that take thermal pixels to RGB pixels; unless there is a file.',
    )
    file: str = option(
        '',
        'Of mode homography: a file of "multimodal_fusion calibrate", for images of any size that '
        'show the same; ~/save_registration writes it. Of mode calibrated: how the cameras stand '
        'to each other; without it tf tells.',
    )
    distance: float = option(
        10.0,
        'Of mode calibrated: of the plane that the cameras look at, before the RGB camera.',
        unit='m',
        low=0.05,
        high=100000.0,
    )
    distance_from: str = option(
        'parameter',
        'Of mode calibrated: the parameter, or as measured on the topic range or depth/image_raw '
        '(median of what thermal sees).',
        choices=DISTANCES,
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
        'Straighten both images by the camera_info of their cameras, before all else; mode '
        'calibrated always does.',
    )

    @property
    def nudged(self) -> bool:
        return (self.dx, self.dy, self.scale, self.rotation) != (0.0, 0.0, 1.0, 0.0)

    @property
    def straightens(self) -> bool:
        return self.undistort or self.mode == 'calibrated'


@dataclass(frozen=True)
class Registration:
    """Brings a thermal image onto the visible image's pixel grid.

    Matrices and masks are made once for each two sizes. known: what was learnt of the cameras so
    far; see `look`. Make one with `of`.
    """

    settings: RegistrationSettings = field(default_factory=RegistrationSettings)
    stored: Stored | None = None
    known: KnownRig = field(default_factory=KnownRig, compare=False)

    @classmethod
    def of(cls, settings: RegistrationSettings, known: KnownRig | None = None) -> Registration:
        """known: of a registration before. Raises UserError."""
        known = known or KnownRig()
        if settings.mode == 'calibrated' and settings.file:
            stored = Stored.read(settings.file)
            if stored.pose is None:
                raise UserError(
                    f'{settings.file} has no rotation and translation, which mode calibrated '
                    'needs: make it with "multimodal_fusion calibrate --target KIND --square '
                    'METRES --intrinsics", or use mode homography'
                )
            return cls(settings, stored, known)
        if settings.mode != 'homography':
            return cls(settings, None, known)
        if settings.file:
            return cls(settings, Stored.read(settings.file), known)
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
        return cls(settings, None, known)

    def look(self, name: str, info: Any) -> None:
        """Take note of a camera_info of ``rgb`` or ``thermal``. Raises UserError where images are
        to be straightened by it and it can't be used."""
        if self.settings.straightens:
            found = Lens.of(info)
            if self.known.lenses.get(name) != found:
                self.known.lenses[name] = found

    def straight(self, name: str, image: np.ndarray) -> np.ndarray:
        """The image of a camera as a lens that bends nothing would make it; as it is where its lens
        is not known. Raises UserError for one of another size."""
        lens = self.known.lenses.get(name) if self.settings.straightens else None
        return image if lens is None else lens.straighten(image)

    def distance(self) -> float:
        """Of the plane, m, as it is in force."""
        measured = self.known.distance if self.settings.distance_from != 'parameter' else None
        return self.settings.distance if measured is None else measured

    def missing(self) -> str:
        """What mode calibrated lacks, a sentence; empty if nothing."""
        if self.settings.mode != 'calibrated':
            return ''
        lenses = [n for n in ('rgb', 'thermal') if n not in self.known.lenses]
        lacks = [f'camera_info of {" and ".join(lenses)}'] if lenses else []
        if self.stored is None and self.known.pose is None:
            lacks.append('the transform between the cameras (tf, or registration.file)')
        if not lacks:
            return ''
        return (
            f'registration.mode calibrated lacks {" and ".join(lacks)}: publish it (for files, '
            'which have none, use mode homography)'
        )

    def _calibrated(self) -> np.ndarray:
        if sentence := self.missing():
            raise UserError(sentence)
        pose = self.stored.pose if self.stored is not None else self.known.pose
        assert pose is not None
        lenses = self.known.lenses
        return through_plane(lenses['thermal'], lenses['rgb'], pose, self.distance())

    def matrix(self, thermal: Size, visible: Size) -> np.ndarray | None:
        """3x3, thermal to visible pixels, for images of these (height, width); None where nothing
        is warped: the sizes are equal and nothing is moved, or the fuser has to refuse them. Raises
        UserError while what it takes is not known."""
        settings = self.settings
        if settings.mode == 'homography':
            if self.stored is not None:
                base = self.stored.at(thermal, visible)
            else:
                base = np.array(settings.homography, np.float64).reshape(3, 3)
        elif settings.mode == 'calibrated':
            base = self._calibrated()
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
        lens = self.known.lenses.get('thermal') if self.settings.straightens else None
        if lens is not None:
            lens.check(thermal)
        bent = lens is not None and not lens.straight
        if self.settings.mode == 'resize' and not self.settings.nudged and not bent:
            if thermal.shape == shape:
                return thermal
            return cv2.resize(thermal, shape[::-1], interpolation=cv2.INTER_LINEAR)
        matrix = self.matrix(_size(thermal), shape)
        if matrix is None:
            return self.straight('thermal', thermal)
        if lens is not None and bent:
            return lens.onto(thermal, matrix, shape)
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
