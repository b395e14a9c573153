"""The camera pair on its drive: where the street, and what stands on it, appears in a picture."""

import math

import cv2
import numpy as np

from .sprites import Placed
from .world import (
    CAMERA,
    COLS,
    EYE,
    GROUND_PPM,
    GROUND_W,
    LAP,
    LEFT,
    LEVELS,
    LOOP,
    RIGHT,
    ROWS,
    WALL_PPM,
    WALL_W,
    Z_PPM,
)

SURGE = 5.7  # how far the camera gets ahead of and behind its mean speed, to yield at the crossing


def travelled(t):
    """Metres driven: slow around multiples of LAP, where people cross, and fast between."""
    return LOOP / LAP * t - SURGE * math.sin(2 * math.pi * t / LAP)


class Camera:
    """Both cameras, as they are registered: one position, one direction, one focal length."""

    def __init__(self, width, height, rng):
        self.width, self.height = width, height
        self.focal, self.horizon = 1.2 * height, 0.47 * height  # pixels
        self._margin = max(1, width // 32)  # extra columns on both sides, for panning
        self._map_street(rng)

    def backdrop(self, t, bands):
        """The street without objects."""
        start, columns = int(travelled(t) % LOOP * Z_PPM), self._columns(t)
        window = slice(start, start + ROWS + 2)
        frame = np.empty((self.height, self.width) + bands[0].shape[2:], bands[0].dtype)
        for band, (rows, at, between) in zip(
            (bands[0][:, window], bands[1][window]), self._maps, strict=True
        ):
            cv2.remap(band, at[:, columns], between[:, columns], cv2.INTER_LINEAR, frame[rows])
        return frame

    def light(self, t, frame):
        """Add to a colour backdrop the headlights of the car that carries the camera, and mist."""
        columns = self._columns(t)
        cv2.multiply(frame, self._gain[:, columns], frame, 1 / 64)
        cv2.add(frame, self._haze[:, columns], frame)

    def project(self, t, x, y, z):
        """Where in the picture a point of the world is seen."""
        return (
            self.width / 2 + self._pan(t) + self.focal * x / z,
            self.horizon + self.focal * (CAMERA - y) / z,
        )

    def board(self, t, owner, label, sprite, x, z, scale=1.0, mirror=False, depth=0.0, lights=()):
        """A sprite standing on the ground at (x, z), facing the camera, or, with a depth, along the
        road: from z (its right edge) to z + depth (its left edge)."""
        if sprite is None:
            return Placed(z, owner, label, None, [], (0, 0, 0, 0), lights)
        width, height = scale * sprite.size[0], scale * sprite.size[1]
        side = 0.0 if depth else (-width if mirror else width) / 2
        corners = [
            self.project(t, x + dx, y, z + dz)
            for dx, dz, y in (
                (-side, depth, height),
                (side, 0.0, height),
                (side, 0.0, 0.0),
                (-side, depth, 0.0),
            )
        ]
        xs, ys = zip(*corners, strict=True)
        walls = (round(self.project(t, wall, 0, z)[0]) for wall in (LEFT, RIGHT))
        place = (
            max(0, next(walls), math.floor(min(xs))),
            max(0, math.floor(min(ys))),
            min(self.width, next(walls), math.ceil(max(xs))),
            min(self.height, math.ceil(max(ys))),
        )
        return Placed(z, owner, label, sprite, corners, place, lights)

    def _pan(self, t):
        return round(self._margin * math.sin(2 * math.pi * t / 37.0))

    def _columns(self, t):
        """The columns that a frame takes of the picture with a margin."""
        left = self._margin - self._pan(t)
        return slice(left, left + self.width)

    def _map_street(self, rng):
        """Where each pixel of a picture with a margin for panning lies on the unrolled street."""
        columns = np.arange(self.width + 2 * self._margin) + 0.5 - self.width / 2 - self._margin
        x = np.broadcast_to(columns / self.focal, (self.height, len(columns)))
        y = ((np.arange(self.height) + 0.5 - self.horizon) / self.focal)[:, None]
        with np.errstate(divide='ignore'):
            sides = np.where(x < 0, LEFT, RIGHT) / x
            ground = np.where(y > 0, CAMERA / y, np.inf) + 0 * x
        z = np.minimum(np.minimum(sides, ground), 2000.0)
        on_ground, up = ground <= sides, (CAMERA - y * z) * WALL_PPM
        walls = np.where(x < 0, WALL_W - up, WALL_W + GROUND_W + up)
        u = np.where(on_ground, WALL_W + (x * z - LEFT) * GROUND_PPM, np.clip(walls, 8, COLS - 8))
        stretch = z * z / self.focal / np.where(on_ground, CAMERA, np.abs(x * z)) * Z_PPM
        dither = rng.uniform(-0.1, 0.1, z.shape)  # hides the seams between levels
        level = np.clip(np.log2(np.maximum(stretch, 1)) / 2 + 0.2 + dither, 0, 4).astype(int)
        sky = int((y < 0).sum())
        high, low, along = np.s_[:sky], np.s_[sky:], np.float32(z % LOOP * Z_PPM)
        above = self._texels(np.where(x < 0, u + EYE, u + EYE - COLS)[high], level[high], 2 * EYE)
        below = self._texels(u[low] - EYE, level[low], COLS - 2 * EYE)
        self._maps = [
            (high, *cv2.convertMaps(along[high], above, cv2.CV_16SC2)),
            (low, *cv2.convertMaps(below, along[low], cv2.CV_16SC2)),
        ]
        beam = (
            np.exp(-((x * z / (1.2 + 0.16 * z)) ** 2)) * np.exp(-(((z - 6) / 9) ** 2)) * on_ground
        )
        fade = (0.25 + 0.75 * np.exp(-z / 90)) * (1 - 0.35 * (x * x + y * y))
        tint = np.array([1.0, 0.96, 0.9])
        gain = 64 * fade[..., None] * (1 + 1.1 * beam[..., None] * tint)
        self._gain = np.clip(gain, 0, 255).astype(np.uint8)
        mist = (1 - np.exp(-z / 110)) * np.exp(-np.abs(y) / 0.16)
        self._haze = (mist[..., None] * (30, 38, 52)).astype(np.uint8)

    @staticmethod
    def _texels(u, level, cols):
        """Where texel u of a street ``cols`` wide is found in the given mip levels."""
        shrink = np.array([shrink for _, shrink in LEVELS])
        starts = np.cumsum(cols // shrink) - cols // shrink
        return np.float32(
            starts[level] + np.clip(u / shrink[level] - 0.5, 0, cols // shrink[level] - 1)
        )
