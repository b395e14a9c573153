"""The pictures of the road, and the boxes of what is visible in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Camera
from .figures import cast
from .noise import Noise
from .street import kinds, street
from .traffic import Traffic
from .world import DECODE

CLASSES = ('road', 'building', 'sky', 'person', 'car')
IGNORE = 255  # of a mask: what is none of them


@dataclass(frozen=True)
class Box:
    """What is visible of one object: 0 <= x0 < x1 <= width, 0 <= y0 < y1 <= height, in pixels.

    label is 'person' or 'car'. x1 and y1 are exclusive, so ``image[int(y0):int(y1), ...]`` is the
    object.
    """

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


def _number(name, value, low, high, whole):
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = 'an integer' if whole else 'a number'
        raise ValueError(f'{name} must be {kind} from {low:g} to {high:g}, got {value!r}')
    return value


class Scene:
    """A night road in motion; every method is a pure function of the arguments and of ``t``.

    t is the time in seconds, any number >= 0. The same pixel of both pictures sees the same point.

    width, height: size of both pictures in pixels, 64 to 4096.
    seed: integer >= 0; another seed gives other buildings, people and noise.
    thermal_bits: 8 gives grey levels; 14 and 16 give counts linear in temperature.
    freeze_every, freeze_for: the thermal shutter closes for the last freeze_for seconds of every
        freeze_every seconds, during which the thermal picture repeats; freeze_for 0 disables it.
    noise: add the noise of both sensors (and the black level that comes with it in colour).
    """

    def __init__(
        self,
        width=640,
        height=480,
        seed=0,
        thermal_bits=8,
        freeze_every=8.0,
        freeze_for=0.7,
        noise=True,
    ):
        self.width = _number('width', width, 64, 4096, True)
        self.height = _number('height', height, 64, 4096, True)
        self.seed = _number('seed', seed, 0, 2**63, True)
        self.freeze_every = _number('freeze_every', freeze_every, 0.001, 1e9, False)
        self.freeze_for = _number('freeze_for', freeze_for, 0, 1e9, False)
        if thermal_bits not in (8, 14, 16):
            raise ValueError(f'thermal_bits must be 8, 14 or 16, got {thermal_bits!r}')
        if freeze_for >= freeze_every:
            raise ValueError(
                'freeze_for must be shorter than freeze_every, got '
                f'{freeze_for!r} s of {freeze_every!r} s'
            )
        self.thermal_bits, self.noise = thermal_bits, bool(noise)
        rng = np.random.default_rng((self.seed, 1))
        self._colour, self._heat = street(self.seed)
        self._camera = Camera(width, height, rng)
        self._noise = Noise(width, height, int(self.seed), thermal_bits, rng)
        self._traffic = Traffic(self._camera, rng)
        self._glows = cast().glows

    def visible(self, t: float) -> np.ndarray:
        """The colour picture: uint8 (height, width, 3), BGR."""
        t = self._time(t)
        frame = self._camera.backdrop(t, self._colour)
        self._camera.light(t, frame)
        for item in self._traffic.items(t):
            drawn = item.draw(0)
            if drawn:
                place, ink = frame[drawn[0]], drawn[1]
                if item.label in ('person', 'animal'):  # unlit, so as bright as what is around it
                    around = tuple(min(level, 60.0) for level in cv2.mean(place))
                    ink = cv2.multiply(ink, around, scale=1 / 128)
                through = cv2.cvtColor(drawn[2], cv2.COLOR_GRAY2BGR)
                cv2.add(cv2.multiply(place, through, place, 1 / 255), ink, place)
            for light in item.lights:
                self._shine(frame, t, *light)
        if self.noise:
            self._noise.add_to_visible(t, frame)
        return frame

    def thermal(self, t: float) -> np.ndarray:
        """The thermal picture: (height, width), white-hot; while frozen, that of the freeze start.

        thermal_bits 8: uint8, 0 degrees Celsius or less is 0, ``WHITE`` or more is 255.
        14 and 16: uint16, kelvin = counts * 0.04 for 14 bits, counts * 0.01 for 16, drawn in steps
        of 0.15 K before noise.
        """
        t = self._freeze_start(t) if self.frozen(t) else self._time(t)
        frame = self._camera.backdrop(t, self._heat)
        for item in self._traffic.items(t):
            drawn = item.draw(1)
            if drawn:
                place, ink, through = frame[drawn[0]], drawn[1], drawn[2]
                cv2.add(cv2.multiply(place, through, place, 1 / 255), ink, place)
        if self.thermal_bits != 8:
            frame = cv2.LUT(frame, DECODE)
        if self.noise:
            self._noise.add_to_thermal(t, frame)
        return (frame + 2) >> 2 if self.thermal_bits == 14 else frame

    def boxes(self, t: float) -> list[Box]:
        """The visible extents of people and cars, nearest last, never those of a frozen picture.

        An object is left out when less than a quarter of it can be seen.
        """
        owners = np.zeros((self.height, self.width), np.uint8)
        found = {}
        for item in self._traffic.items(self._time(t)):
            drawn = item.draw(1)
            if not drawn:
                continue
            number = 0  # a lamp post or an animal only hides what is behind it
            if item.label in ('person', 'car'):
                number, label, whole = found.get(item.owner, (len(found) + 1, item.label, 0.0))
                found[item.owner] = (number, label, whole + item.sprite.fill * item.area)
            owners[drawn[0]][drawn[2] < 128] = number
        result = []
        for number, label, whole in found.values():
            rows, cols = np.nonzero(owners == number)
            if len(rows) and len(rows) >= 0.25 * whole:
                edges = cols.min(), rows.min(), cols.max() + 1, rows.max() + 1
                result.append(Box(label, *(float(edge) for edge in edges)))
        return result

    def mask(self, t: float) -> np.ndarray:
        """What each pixel shows: uint8 (height, width), a number of `CLASSES`; lamp posts, animals
        and the edges of everything that stands on the road are `IGNORE`."""
        t = self._time(t)
        kind = self._camera.backdrop(t, kinds(self.seed))
        mask = np.select([kind > 191, kind > 64], [0, 1], 2).astype(np.uint8)
        for item in self._traffic.items(t):
            drawn = item.draw(1)
            if drawn:
                place, through = mask[drawn[0]], drawn[2]
                number = CLASSES.index(item.label) if item.label in CLASSES else IGNORE
                place[through < 64] = number
                place[(through >= 64) & (through < 192)] = IGNORE
        return mask

    def frozen(self, t: float) -> bool:
        """Whether the thermal shutter is closed, so that the thermal picture repeats."""
        return self.freeze_for > 0 and self._time(t) >= self._freeze_start(t)

    def _freeze_start(self, t):
        return (math.floor(t / self.freeze_every) + 1) * self.freeze_every - self.freeze_for

    @staticmethod
    def _time(t):
        return float(_number('t', t, 0, 1e12, False))

    def _shine(self, frame, t, x, y, z, size, kind):
        """Add the bloom of a lamp and its long, faint reflection on the damp road."""
        radius = min(max(self._camera.focal * size / z, 0.008 * self.height), 0.4 * self.height)
        for height, tall, glow in zip((y, -0.9 * y), (1.0, 2.6), self._glows[kind], strict=False):
            cx, cy = self._camera.project(t, x, height, z)
            left, right = max(0, math.floor(cx - radius)), min(self.width, math.ceil(cx + radius))
            top = max(0, math.floor(cy - radius * tall))
            bottom = min(self.height, math.ceil(cy + radius * tall))
            if left < right and top < bottom:
                sx, sy, middle = radius / 64, radius * tall / 64, 64.0
                matrix = np.float64(
                    [(sx, 0, cx - left - 0.5 - middle * sx), (0, sy, cy - top - 0.5 - middle * sy)]
                )
                place = frame[top:bottom, left:right]
                cv2.add(place, cv2.warpAffine(glow, matrix, place.shape[1::-1]), place)
