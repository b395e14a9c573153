"""Lenses of both cameras, and how the cameras stand to each other, from views of a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from ..errors import UserError
from ..io.text_files import read_yaml
from ..io.whole_files import whole_file
from .camera import Lens, Size
from .plane import Pose

LEAST_VIEWS = 8
UNSURE = 0.03  # of the focal length: by how much it may change with the views that are left out
APART = 0.004  # of thermal's diagonal: views that agree; 3 pixels of 640x480
AGREE = 0.3  # share of the views that must
OFF = 0.0025  # of the diagonal: reprojection error, at most; 2 pixels of 640x480


@dataclass(frozen=True)
class SeenCamera:
    """lens: of straight and bent pixels. error: px, root mean square of the reprojection. unsure:
    by what share the focal length changes when a third of the views is left out."""

    lens: Lens
    error: float
    unsure: float
    views: int

    def words(self) -> str:
        return (
            f'{self.views} views, focal length {self.lens.matrix[0]:.1f} pixels +- '
            f'{self.unsure:.1%}, off by {self.error:.2f} pixels (root mean square)'
        )


def camera(name: str, views: Sequence[np.ndarray], board: np.ndarray, size: Size) -> SeenCamera:
    """views: float (N, 2) each, the board's points in pixels. board: float (N, 3), metres. size:
    (height, width). Raises UserError where the views do not tell."""
    if len(views) < LEAST_VIEWS:
        raise UserError(
            f'the target was seen by {name} in {len(views)} views, and {LEAST_VIEWS} are needed '
            'for its lens: hold it near and far, into every corner, and tilted'
        )
    points = [np.asarray(view, np.float32).reshape(-1, 1, 2) for view in views]
    height, width = size
    start = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1.0]])

    def fit(some: list[np.ndarray]) -> tuple[float, np.ndarray, np.ndarray]:
        boards = [board.astype(np.float32)] * len(some)
        flags = cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_K3
        return cv2.calibrateCamera(
            boards, some, (width, height), start.copy(), np.zeros(5), flags=flags
        )[:3]

    error, matrix, bent = fit(points)
    # Without tilt the residuals are small at any focal length, and so is its standard deviation.
    parts = [fit([p for i, p in enumerate(points) if i % 3 != left])[1][0, 0] for left in range(3)]
    unsure = float(np.abs(np.array(parts) / matrix[0, 0] - 1).max())
    lens = Lens(
        size, tuple(map(float, matrix.ravel())), 'plumb_bob', tuple(map(float, bent.ravel()))
    )
    found = SeenCamera(lens, float(error), unsure, len(views))
    if not (unsure <= UNSURE and error <= OFF * np.hypot(height, width)):
        raise UserError(
            f'the views do not tell the lens of {name} ({found.words()}): give more of them, near '
            'and far, in every corner and tilted by up to 45 degrees'
        )
    return found


@dataclass(frozen=True)
class Rig:
    """How the cameras stand to each other. error: px of the thermal image, median over the views
    that agree. distance: m, of the target from the RGB camera, median. agreeing, views: counts."""

    pose: Pose
    error: float
    distance: float
    agreeing: int
    views: int

    def words(self) -> str:
        return (
            f'thermal to RGB {", ".join(f"{x:+.3f}" for x in self.pose.translation)} m, '
            f'{self.agreeing} of {self.views} views agree, off by {self.error:.2f} pixels of '
            f'thermal in the median'
        )


def rig(
    thermal: SeenCamera,
    visible: SeenCamera,
    views: Sequence[tuple[np.ndarray, np.ndarray]],
    board: np.ndarray,
) -> Rig:
    """views: (visible, thermal) points of one moment each. A target that moved between the two
    images spoils its view: the views vote, each with the pose that it alone tells.

    Raises UserError where they do not agree, or are too few.
    """
    if len(views) < LEAST_VIEWS:
        raise UserError(
            f'both cameras saw the target in {len(views)} pairs, and {LEAST_VIEWS} are needed to '
            'tell how they stand to each other'
        )
    seen = [(_place(board, shown, visible), _place(board, warm, thermal)) for shown, warm in views]
    limit = APART * float(np.hypot(*thermal.lens.size))
    best = np.zeros(0, int)
    for shown_at, warm_at in seen:
        relative = shown_at @ np.linalg.inv(warm_at)
        off = _off(relative, seen, views, board, thermal)
        agree = np.flatnonzero(off <= limit)
        if len(agree) > len(best):
            best = agree
    if len(best) < max(LEAST_VIEWS // 2, AGREE * len(views)):
        raise UserError(
            f'only {len(best)} of {len(views)} views agree within {limit:.1f} pixels on how the '
            'cameras stand to each other: hold the target still, or let both cameras expose at one '
            'moment'
        )
    warm, shown = (
        [np.asarray(views[i][side], np.float32).reshape(-1, 1, 2) for i in best] for side in (1, 0)
    )
    boards = [board.astype(np.float32)] * len(best)
    calibrate: Any = cv2.stereoCalibrate
    turn, shift = calibrate(
        boards, warm, shown, *_numbers(thermal), *_numbers(visible), None,
        flags=cv2.CALIB_FIX_INTRINSIC,
    )[5:7]  # fmt: skip
    relative = np.eye(4)
    relative[:3, :3], relative[:3, 3] = turn, shift.ravel()
    off = _off(relative, [seen[i] for i in best], [views[i] for i in best], board, thermal)
    middle = [(seen[i][0] @ (*board.mean(0), 1.0))[2] for i in best]
    found = Pose(tuple(map(float, turn.ravel())), tuple(map(float, shift.ravel())))
    return Rig(found, float(np.median(off)), float(np.median(middle)), len(best), len(views))


def _numbers(one: SeenCamera) -> tuple[np.ndarray, np.ndarray]:
    return np.reshape(one.lens.matrix, (3, 3)), np.array(one.lens.bent)


def _place(board: np.ndarray, points: np.ndarray, one: SeenCamera) -> np.ndarray:
    """4x4, from the board's frame to the camera's."""
    _, turn, shift = cv2.solvePnP(board, np.asarray(points, float), *_numbers(one))
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = cv2.Rodrigues(turn)[0], shift.ravel()
    return found


def _off(relative, seen, views, board, thermal) -> np.ndarray:
    """How far thermal points lie from where the RGB camera and a pose put them: px, root mean
    square of each view."""
    inverse, found = np.linalg.inv(relative), []
    for (shown_at, _), (_, warm) in zip(seen, views, strict=True):
        place = inverse @ shown_at
        turn = cv2.Rodrigues(place[:3, :3])[0]
        points = cv2.projectPoints(board, turn, place[:3, 3], *_numbers(thermal))[0].reshape(-1, 2)
        found.append(np.sqrt(np.square(points - warm).sum(1).mean()))
    return np.array(found)


def write_camera(path: Path, name: str, found: SeenCamera) -> None:
    """As camera_calibration writes it, for camera_info_manager. A file that is none is left alone:
    raises UserError."""
    if path.exists():
        content = read_yaml(path, 'the camera')
        if not isinstance(content, dict) or 'camera_matrix' not in content:
            raise UserError(
                f'{path} is there and no camera, so it is left alone: give another name'
            )
    height, width = found.lens.size

    def matrix(rows: int, columns: int, data: Sequence[float]) -> dict:
        return {'rows': rows, 'cols': columns, 'data': [float(f'{x:.9g}') for x in data]}

    k = found.lens.matrix
    content = {
        'image_width': width,
        'image_height': height,
        'camera_name': name,
        'camera_matrix': matrix(3, 3, k),
        'distortion_model': found.lens.model,
        'distortion_coefficients': matrix(1, len(found.lens.bent), found.lens.bent),
        'rectification_matrix': matrix(3, 3, [*np.eye(3).flat]),
        'projection_matrix': matrix(3, 4, (*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0)),
    }
    with whole_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False))
