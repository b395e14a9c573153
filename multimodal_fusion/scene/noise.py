"""The noise of both sensors."""

import cv2
import numpy as np

from .world import WHITE

PEDESTAL = 7  # mean of the colour noise, which therefore also lifts black as sensors do


class Noise:
    """Noise for pictures of one size; a pure function of the seed and the time."""

    def __init__(self, width, height, seed, thermal_bits, rng):
        self.width, self.height, self.seed = width, height, seed
        shape = (height + 61, width + 67)
        dots = rng.standard_normal(shape + (3,), dtype=np.float32)
        dots = 0.75 * dots + 0.9 * cv2.blur(dots, (2, 2))
        self._colour = np.clip(dots * 3.2 + PEDESTAL, 0, 255).astype(np.uint8)
        kind, step = (np.uint8, 255 / WHITE) if thermal_bits == 8 else (np.uint16, 100)
        dots = 6 + 1.0 * rng.standard_normal(shape, dtype=np.float32)
        self._heat = np.clip(dots * 0.22 * step + 0.5, 0, 2.6 * step).astype(kind)
        columns = 6 + 0.65 * rng.standard_normal(width)  # the pattern stays where it is
        columns = np.clip(columns * 0.22 * step + 0.5, 0, 2.6 * step).astype(kind)
        self._stripes = np.repeat(columns[None], height, axis=0)

    def add_to_visible(self, t, frame):
        cv2.add(frame, self._grain(self._colour, t), frame)

    def add_to_thermal(self, t, frame):
        cv2.add(frame, self._grain(self._heat, t), frame)
        cv2.subtract(frame, self._stripes, frame)

    def _grain(self, bank, t):
        """A piece of a noise bank that looks unrelated from frame to frame."""
        draw = (round(t * 1e6) * 2654435761 + self.seed * 40503) >> 7
        y, x = draw % 61, draw // 61 % 67
        return bank[y : y + self.height, x : x + self.width]
