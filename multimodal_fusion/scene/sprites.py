"""Flat pictures with alpha: how they are drawn, and how they are placed in a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .world import grey

CLEAR = (0, 0, 0, 255)  # a pixel of a sprite that lets everything through


class Sprite:
    """A flat picture with alpha, in both modalities, premultiplied, at halving resolutions.

    size: width and height in metres. levels: pairs of uint8 (h, w, 4), colour or three times heat
    (OpenCV warps four channels faster than two), then 255 - alpha.
    """

    def __init__(self, size, bgr, celsius, alpha):
        through = 255 - 255 * alpha
        visible = np.dstack([bgr * alpha[..., None], through]).round().astype(np.uint8)
        heat = grey(celsius) * alpha
        thermal = np.dstack([heat, heat, heat, through]).round().astype(np.uint8)
        self.size, self.fill = size, float((alpha >= 0.5).mean())
        self.levels = [(visible, thermal)]
        while min(visible.shape[:2]) > 16:
            half = (visible.shape[1] // 2, visible.shape[0] // 2)
            visible, thermal = (
                cv2.resize(a, half, interpolation=cv2.INTER_AREA) for a in (visible, thermal)
            )
            self.levels.append((visible, thermal))


@dataclass
class Placed:
    """A sprite placed in one frame; items with the same owner belong to one object."""

    z: float
    owner: tuple
    label: str
    sprite: Sprite | None  # None for light alone
    quad: list  # four (x, y), clockwise from the top left of the sprite
    place: tuple  # the pixels it may touch: x0, y0, x1, y1
    lights: tuple = ()  # (x, y, z, radius in metres, kind)

    @property
    def area(self):
        (x0, y0), (x1, y1), (_, y2), (_, y3) = self.quad
        return abs(x1 - x0) * (y2 - y1 + y3 - y0) / 2

    def draw(self, modality):
        """The rows and columns touched, the ink, and 255 - alpha; None when outside the image."""
        x0, y0, x1, y1 = self.place
        if x0 >= x1 or y0 >= y1:
            return None
        levels = self.sprite.levels
        texels = levels[0][0].shape[0] * levels[0][0].shape[1]
        shrink = int(math.log2(max(texels / max(self.area, 1.0), 1.0)) / 2 + 0.3)
        source = levels[min(shrink, len(levels) - 1)][modality]
        h, w = source.shape[:2]
        # Pixel centres lie at whole coordinates for OpenCV, half a pixel from the edges.
        texel = np.array([(-0.5, -0.5), (w - 0.5, -0.5), (w - 0.5, h - 0.5), (-0.5, h - 0.5)])
        pixel = np.array(self.quad) - (x0 + 0.5, y0 + 0.5)
        matrix = cv2.getPerspectiveTransform(texel.astype(np.float32), pixel.astype(np.float32))
        pixels = cv2.warpPerspective(source, matrix, (x1 - x0, y1 - y0), borderValue=CLEAR)
        ink = (
            cv2.extractChannel(pixels, 0) if modality else cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
        )
        return np.s_[y0:y1, x0:x1], ink, cv2.extractChannel(pixels, 3)


class SpriteCanvas:
    """Draws a sprite in metres (x from the middle, y from the ground), at twice its resolution."""

    def __init__(self, width, height, ppm):
        self.scale, self.height, self.width = 2 * ppm, height, width
        shape = (round(height * self.scale), round(width * self.scale))
        self.bgr = np.zeros(shape + (3,), np.uint8)
        self.heat = np.zeros(shape, np.float32)
        self.mask = np.zeros(shape, np.float32)

    def _pixels(self, points):
        points = np.asarray(points, np.float64)
        flipped = np.stack([points[:, 0] + self.width / 2, self.height - points[:, 1]], axis=1)
        return np.round(flipped * self.scale).astype(np.int32)

    def poly(self, points, bgr, celsius):
        outline = [self._pixels(points)]
        for image, value in ((self.bgr, bgr), (self.heat, celsius), (self.mask, 1.0)):
            cv2.fillPoly(image, outline, value)

    def oval(self, x, y, rx, ry, bgr, celsius):
        angle = np.linspace(0, 2 * math.pi, 24)
        self.poly(np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1), bgr, celsius)

    def rect(self, x0, y0, x1, y1, bgr, celsius):
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], bgr, celsius)

    def limb(self, a, b, ra, rb, bgr, celsius):
        a, b = np.asarray(a, float), np.asarray(b, float)
        across = np.array([a[1] - b[1], b[0] - a[0]]) / max(float(np.hypot(*(b - a))), 1e-6)
        self.poly(
            [a + across * ra, b + across * rb, b - across * rb, a - across * ra], bgr, celsius
        )
        self.oval(a[0], a[1], ra, ra, bgr, celsius)
        self.oval(b[0], b[1], rb, rb, bgr, celsius)

    def sprite(self, soften):
        """Heat is blurred inside the outline only, so that the outline stays sharp."""
        size = (self.mask.shape[1] // 2, self.mask.shape[0] // 2)
        bgr, heat, alpha = (
            cv2.resize(a, size, interpolation=cv2.INTER_AREA)
            for a in (self.bgr, self.heat, self.mask)
        )
        opaque = np.maximum(alpha, 1e-3)
        weight = np.maximum(cv2.GaussianBlur(alpha, (0, 0), soften), 1e-3)
        heat = np.where(alpha > 0, cv2.GaussianBlur(heat, (0, 0), soften) / weight, 0)
        size = self.width, self.height
        return Sprite(size, np.minimum(bgr / opaque[..., None], 255), heat, alpha)
