"""A hypothesis made exact: the correlation of features climbed, by Gauss-Newton, over all frames.

With v and t the features of both over the overlap of all frames, rho = <v, t> / (|v| |t|) is
largest where |v/|v| - t/|t||^2 is least. Thermal images are warped anew at each step, and their
features computed from what was warped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .features import Features, features
from .search import LEAST_OVERLAP, OVERLAP_POWER, gap, resized, scaled
from .stored import grid

Basis = Callable[[np.ndarray, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]
"""Of normalised pixels x and y (-1 to 1): how they move with each parameter."""
STEPS = 12
STILL = 0.02  # px at working resolution: a step that is no step


def _similarity(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    one, none = np.ones_like(x), np.zeros_like(x)
    return [(one, none), (none, one), (x, y), (-y, x)]


def _affine(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [*_similarity(x, y), (x, -y), (y, x)]


def _homography(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [*_affine(x, y), (x * x, x * y), (x * y, y * y)]


MODELS: dict[str, Basis] = {
    'similarity': _similarity,
    'affine': _affine,
    'homography': _homography,
}


@dataclass(frozen=True)
class Overlap:
    """Features of one frame where both see. visible, thermal: complex64 (2, H, W)."""

    visible: np.ndarray
    thermal: np.ndarray


class Aligner:
    """Frames of one rig at one working resolution.

    pairs: (visible, thermal), grey uint8, of the same two sizes. side: longer one of visible, px.
    blur: px, of features before they are compared: as far as a step may reach.
    """

    def __init__(
        self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], side: int, blur: float = 1.5
    ):
        self.visible_size, self.thermal_size = pairs[0][0].shape, pairs[0][1].shape
        self.size = scaled(self.visible_size, side / max(self.visible_size))
        self.blur = blur
        self.shown = [features(resized(visible, self.size)) for visible, _ in pairs]
        self.visible = [self._smooth(found.channels) for found in self.shown]
        self.thermal = [_levels(thermal) for _, thermal in pairs]
        self.to_work = grid(self.visible_size, self.size)
        height, width = self.size
        self.half = max(height, width) / 2
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        self.x = (x - (width - 1) / 2) / self.half
        self.y = (y - (height - 1) / 2) / self.half

    def _smooth(self, channels: np.ndarray) -> np.ndarray:
        if not self.blur:
            return channels
        parts = [cv2.GaussianBlur(p, (0, 0), self.blur) for c in channels for p in (c.real, c.imag)]
        return np.stack((parts[0] + 1j * parts[1], parts[2] + 1j * parts[3]))

    def warped(self, matrix: np.ndarray, frame: int) -> Features:
        """Of a thermal image on the working grid. matrix: thermal to visible pixels, 3x3."""
        place = self.to_work @ matrix
        shrink = 1 / np.sqrt(max(abs(np.linalg.det(place[:2, :2])), 1e-9))
        levels = self.thermal[frame]
        image = levels[int(np.clip(np.log2(max(shrink, 1.0)), 0, len(levels) - 1))]
        place = place @ np.linalg.inv(grid(self.thermal_size, image.shape))
        size = self.size[::-1]
        mask = cv2.warpPerspective(
            np.ones(image.shape, np.uint8), place, size, flags=cv2.INTER_NEAREST
        )
        return features(cv2.warpPerspective(image, place, size), mask)

    def overlaps(self, matrix: np.ndarray) -> tuple[list[Overlap], float]:
        """Of each frame, and which share of the smaller image overlaps."""
        found, share = [], 0.0
        for i, shown in enumerate(self.shown):
            warped = self.warped(matrix, i)
            both = shown.mask * warped.mask
            if not i:
                inside = self.to_work @ matrix
                area = abs(np.linalg.det(inside[:2, :2])) * np.prod(self.thermal_size)
                share = float(both.sum() / max(1.0, min(area, float(shown.mask.sum()))))
            found.append(Overlap(self.visible[i] * both, self._smooth(warped.channels) * both))
        return found, share

    def score(self, matrix: np.ndarray) -> float:
        overlaps, share = self.overlaps(matrix)
        return _score(overlaps, share)

    def climb(self, matrix: np.ndarray, model: str, limit: float) -> tuple[np.ndarray, float]:
        """The best matrix near one, and its score. limit: px of the visible image that it may move
        by; beyond, it stays where it was."""
        start, score = matrix, self.score(matrix)
        first = score
        for _ in range(STEPS):
            overlaps, _ = self.overlaps(matrix)
            step = self._step(overlaps, MODELS[model])
            if step is None:
                break
            for part in (1.0, 0.5, 0.25):
                tried = np.linalg.inv(self.to_work) @ self._moved(step * part, model)
                tried = tried @ self.to_work @ matrix
                value = self.score(tried)
                if value > score:
                    break
            else:
                break
            moved = gap(tried, matrix, self.thermal_size) * self.to_work[0, 0]
            matrix, score = tried / tried[2, 2], value
            if moved < STILL:
                break
        if gap(start, matrix, self.thermal_size) > limit:
            return start, first
        return matrix, score

    def _step(self, overlaps: Sequence[Overlap], basis: Basis) -> np.ndarray | None:
        """Parameters of the Gauss-Newton step, from sums over the frames."""
        ways = basis(self.x, self.y)
        count = len(ways)
        jj, jt, jv = np.zeros((count, count)), np.zeros(count), np.zeros(count)
        tt = vv = tv = 0.0
        for one in overlaps:
            known = np.abs(one.thermal[0]) > 0
            columns: list[list[np.ndarray]] = [[] for _ in range(count)]
            for channel in one.thermal:
                for part in (channel.real, channel.imag):
                    part = np.ascontiguousarray(part)
                    gx, gy = (cv2.Scharr(part, cv2.CV_32F, *way) / 32 for way in ((1, 0), (0, 1)))
                    for column, (u, v) in zip(columns, ways, strict=True):
                        column.append(-(gx * u + gy * v)[known])
            table = np.stack([np.concatenate(column) for column in columns])
            t, v = (
                np.concatenate([p[known] for c in channels for p in (c.real, c.imag)])
                for channels in (one.thermal, one.visible)
            )
            jj += table @ table.T
            jt += table @ t
            jv += table @ v
            tt, vv, tv = tt + float(t @ t), vv + float(v @ v), tv + float(t @ v)
        if tt <= 0 or vv <= 0:
            return None
        normal = (jj - np.outer(jt, jt) / tt) / tt
        right = (jv - jt * (tv / tt)) / np.sqrt(tt * vv)
        normal += np.eye(count) * (1e-3 * np.trace(normal) / count + 1e-12)
        return np.linalg.solve(normal, right)

    def _moved(self, step: np.ndarray, model: str) -> np.ndarray:
        """3x3 in working pixels of a step in normalised ones."""
        height, width = self.size
        into = np.array(
            [
                [1 / self.half, 0, -(width - 1) / 2 / self.half],
                [0, 1 / self.half, -(height - 1) / 2 / self.half],
                [0, 0, 1],
            ]
        )
        a = np.zeros(8)
        a[: len(step)] = step / self.half  # displacements were in pixels
        tx, ty, scale, turn, stretch, shear, px, py = a
        moved = np.array(
            [
                [1 + scale + stretch, -turn + shear, tx],
                [turn + shear, 1 + scale - stretch, ty],
                [-px, -py, 1],
            ]
        )
        return np.linalg.inv(into) @ moved @ into


def _score(overlaps: Sequence[Overlap], share: float) -> float:
    if share < LEAST_OVERLAP:
        return 0.0
    joint = sum(float(np.vdot(o.thermal, o.visible).real) for o in overlaps)
    powers = [
        sum(float((np.abs(channels) ** 2).sum()) for channels in group)
        for group in ([o.visible for o in overlaps], [o.thermal for o in overlaps])
    ]
    return joint / np.sqrt(powers[0] * powers[1] + 1e-6) * min(1.0, share) ** OVERLAP_POWER


def _levels(image: np.ndarray) -> list[np.ndarray]:
    """Halved again and again, while it is large enough."""
    found = [image]
    while min(found[-1].shape) >= 64:
        height, width = found[-1].shape
        found.append(resized(found[-1], (height // 2, width // 2)))
    return found
