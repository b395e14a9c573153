"""What can be wrong with a pair, in words and in pixels: paired supervision for the text prior.

A clean pair is spoilt by known faults; the words name them, the clean images are the guidance.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...fusers.text import FAULTS as WORDS
from ...fusers.text import THERMAL, VISIBLE

Spoil = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Fault:
    """One kind. strength: from 0, hardly to be seen, to 1, severe."""

    image: str
    name: str
    spoil: Spoil

    @property
    def phrase(self) -> str:
        """What a text says of it, of `fusers.text.PHRASES`."""
        return f'{self.name} in the {self.image} image'


def _between(low: float, high: float, strength: float) -> float:
    return low + (high - low) * strength


def _low_light(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Fewer photons: darker, with the noise of what is left."""
    share = _between(0.5, 0.08, strength)
    photons = np.maximum(image * (share * _between(2.0, 0.5, strength)), 0)
    return _bytes(random.poisson(photons) / _between(2.0, 0.5, strength))


def _noise(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return _bytes(image + random.normal(0, _between(8, 50, strength), image.shape))


def _over_exposure(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return _bytes(image * _between(1.3, 3.0, strength) + _between(10, 60, strength))


def _low_contrast(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    mean = image.mean((0, 1))
    return _bytes(mean + _between(0.7, 0.2, strength) * (image - mean))


def _blur(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), _between(0.8, 3.0, strength))


def _haze(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Air light between: thicker towards the top, where it is farther."""
    rows = np.linspace(1.0, 0.5, len(image)).reshape(-1, *[1] * (image.ndim - 1))
    passed = np.exp(-_between(0.5, 2.5, strength) * rows)
    return _bytes(image * passed + 205 * (1 - passed))


def _stripes(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Columns that are off, each by its own amount: an uncooled sensor before its shutter."""
    return _bytes(image + random.normal(0, _between(3, 20, strength), (1, image.shape[1])))


def _dead_rows(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    rows = random.random(len(image)) < _between(0.01, 0.08, strength)
    image = image.copy()
    image[rows] = random.choice((0, 255), (int(rows.sum()), 1))
    return image


def _saturation(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """A range that is too narrow: cold is black and warm is white."""
    return _bytes(127.5 + _between(1.5, 4.0, strength) * (image.astype(np.float64) - 127.5))


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


_SPOIL: dict[str, Spoil] = {
    'low light': _low_light,
    'over-exposure': _over_exposure,
    'low contrast': _low_contrast,
    'haze': _haze,
    'blur': _blur,
    'noise': _noise,
    'stripes': _stripes,
    'dead rows': _dead_rows,
    'saturation': _saturation,
}
FAULTS = tuple(Fault(image, name, _SPOIL[name]) for image, name in WORDS)
# What is wrong comes before how it was measured: noise that is there before the blur would be gone.
_ORDER = ('haze', 'blur', 'low light', 'over-exposure', 'low contrast', 'saturation', 'noise',
          'stripes', 'dead rows')  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A fault of one pair and how strong it is, 0 to 1."""

    number: int
    strength: float

    @property
    def fault(self) -> Fault:
        return FAULTS[self.number]


def spoil(
    visible: np.ndarray, thermal: np.ndarray, found: Iterable[Found], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A pair with these faults. visible: uint8 (H, W, 3). thermal: uint8 (H, W)."""
    images = {VISIBLE: visible, THERMAL: thermal}
    for one in sorted(found, key=lambda f: _ORDER.index(f.fault.name)):
        images[one.fault.image] = one.fault.spoil(images[one.fault.image], one.strength, random)
    return images[VISIBLE], images[THERMAL]


def drawn(random: np.random.Generator, most: int, low: float, high: float) -> list[Found]:
    """Up to ``most`` faults, none of them twice, of strengths between; in a fifth of all draws
    none."""
    count = int(random.integers(1, most + 1)) if random.random() >= 0.2 and most else 0
    numbers = random.permutation(len(FAULTS))[:count]
    return [Found(int(n), float(random.uniform(low, high))) for n in numbers]


def present(found: Iterable[Found]) -> np.ndarray:
    """Which faults there are, float32 (faults,) of 0 and 1."""
    which = np.zeros(len(FAULTS), np.float32)
    which[[f.number for f in found]] = 1
    return which


def text_of(found: Sequence[Found]) -> str:
    """In two lines, one an image: ``Visible: low light, noise.`` and ``Thermal: clean.``"""
    lines = []
    for image in (VISIBLE, THERMAL):
        names = [f.fault.name for f in found if f.fault.image == image]
        lines.append(f'{image.capitalize()}: {", ".join(names) or "clean"}.')
    return '\n'.join(lines)
