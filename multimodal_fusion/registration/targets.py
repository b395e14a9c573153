"""Points of a calibration target that both cameras see: chessboard, circle grid, ArUco markers.

A target is warm where it is dark in the visible image, or cold: each image is tried as it is and
inverted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import UserError

KINDS = 'chessboard:COLUMNSxROWS (inner corners), circles:CxR, acircles:CxR, or aruco'
ENLARGED = 640  # px: smaller images are enlarged to this for the detectors
DICTIONARIES = ('4X4_1000', '5X5_1000', '6X6_1000', '7X7_1000', 'ARUCO_ORIGINAL')
Points = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class TargetKind:
    """kind: as `KINDS` says. size: (columns, rows) of its points; none of markers."""

    kind: str
    size: tuple[int, int] | None = None

    def __call__(self, visible: np.ndarray, thermal: np.ndarray) -> Points:
        """Points of both images, uint8 (H, W): float (N, 2) each; none where one sees none."""
        if self.size is None:
            return _markers(visible, thermal)
        shown, warm = self.view(visible), self.view(thermal)
        if shown is None or warm is None:
            return np.zeros((0, 2)), np.zeros((0, 2))
        return shown, same_way_up(shown, warm, self.size)

    def view(self, image: np.ndarray) -> np.ndarray | None:
        """The points in one image, float (N, 2), in an order; None where it is not seen."""
        assert self.size is not None
        for tried, scale in _versions(image):
            done, points = _found(self.kind, self.size, tried)
            if done:
                return _back(points.reshape(-1, 2), scale)
        return None

    def board(self, square: float) -> np.ndarray:
        """The points on the target, float (N, 3), metres. square: between neighbours, m; of an
        asymmetric grid, between a row and the next. Raises UserError for markers."""
        if self.size is None:
            raise UserError(
                'markers may lie anywhere on their board, so they tell no lens: use a chessboard '
                'or a circle grid'
            )
        columns, rows = self.size
        row, column = np.divmod(np.arange(columns * rows), columns)
        if self.kind == 'acircles':
            column = 2 * column + row % 2
        return np.stack((column, row, np.zeros_like(row)), 1) * float(square)


def target(text: str) -> TargetKind:
    """text: as `KINDS` says. Raises UserError."""
    if text == 'aruco':
        return TargetKind(text)
    found = re.fullmatch(r'(chessboard|circles|acircles):(\d+)x(\d+)', text)
    if not found or min(size := (int(found[2]), int(found[3]))) < 2:
        raise UserError(f'--target is {text!r}; expected {KINDS}')
    return TargetKind(found[1], size)


def same_way_up(shown: np.ndarray, warm: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The thermal points in the order of the visible ones. A board may be read from another end, a
    square one from any side: both cameras are the same way up."""
    columns, rows = size
    grid = warm.reshape(rows, columns, 2)
    orders = [grid, grid[::-1, ::-1]]
    if rows == columns:
        orders += [np.rot90(grid, 1), np.rot90(grid, 3)]
    along = shown.reshape(rows, columns, 2)

    def agreement(order: np.ndarray) -> float:
        total = 0.0
        for axis in (0, 1):
            one, other = (np.diff(points, axis=axis).mean((0, 1)) for points in (along, order))
            total += float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-9))
        return total

    return np.ascontiguousarray(max(orders, key=agreement)).reshape(-1, 2)


def _found(kind: str, size: tuple[int, int], image: np.ndarray) -> tuple[bool, np.ndarray]:
    if kind == 'chessboard':
        return cv2.findChessboardCornersSB(image, size, flags=cv2.CALIB_CB_EXHAUSTIVE)
    shape = {'circles': cv2.CALIB_CB_SYMMETRIC_GRID}.get(kind, cv2.CALIB_CB_ASYMMETRIC_GRID)
    return cv2.findCirclesGrid(image, size, flags=shape | cv2.CALIB_CB_CLUSTERING)


def _markers(visible: np.ndarray, thermal: np.ndarray) -> Points:
    best: Points = np.zeros((0, 2)), np.zeros((0, 2))
    for name in DICTIONARIES:
        book = getattr(cv2.aruco, name if name.startswith('DICT') else f'DICT_{name}')
        shown, warm = (_of_book(book, image) for image in (visible, thermal))
        both = sorted(shown.keys() & warm.keys())
        if 4 * len(both) > len(best[0]):
            best = (
                np.concatenate([shown[number] for number in both]),
                np.concatenate([warm[number] for number in both]),
            )
    return best


def _of_book(book: int, image: np.ndarray) -> dict[int, np.ndarray]:
    """{marker: corners (4, 2)}, of the version of the image that shows most."""
    settings = cv2.aruco.DetectorParameters()
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(book), settings)
    best: dict[int, np.ndarray] = {}
    for tried, scale in _versions(image):
        corners, numbers, _ = detector.detectMarkers(tried)
        if numbers is not None and len(numbers) > len(best):
            places = [_back(c.reshape(4, 2), scale) for c in corners]
            best = dict(zip(map(int, numbers.ravel()), places, strict=True))
    return best


def _versions(image: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """The image large enough, as it is and inverted, then with its contrast raised; and by how much
    it was enlarged."""
    scale = max(1.0, ENLARGED / max(image.shape))
    large = image
    if scale > 1:
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    even = cv2.createCLAHE(3.0, (8, 8)).apply(large)
    for version in (large, even):
        yield version, scale
        yield 255 - version, scale


def _back(points: np.ndarray, scale: float) -> np.ndarray:
    """Pixels of the image as it was."""
    return (points.astype(np.float64) + 0.5) / scale - 0.5
