"""Where thermal lies in the visible image, from nothing: scale, rotation and shift by correlation.

For each ratio of the fields of view and each rotation the features of both are correlated at every
shift at once (FFT), as is the energy that overlaps there: a true correlation coefficient of the
overlap. Several frames of one rig add up before they are divided.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .features import Features, features
from .stored import grid

SIDE = 160  # px, the longer side of the larger field of view
SCALES = np.geomspace(0.3, 2.0, 29)  # thermal's diagonal over the visible's
ROTATIONS = np.arange(-15.0, 15.1, 3.0)  # degrees
LEAST_OVERLAP = 0.2  # of the smaller image
OVERLAP_POWER = 0.35  # what a large overlap is worth
LEAST_ENERGY = 0.05  # of the image's, in what overlaps
PEAKS = 3  # of one scale and rotation
APART = 0.03  # of the working side, between peaks


@dataclass(frozen=True)
class Hypothesis:
    """matrix: 3x3, thermal to visible pixels. score: correlation times overlap^0.35."""

    matrix: np.ndarray
    score: float


def search(pairs: Sequence[tuple[np.ndarray, np.ndarray]], keep: int = 15) -> list[Hypothesis]:
    """The best hypotheses, best first.

    pairs: (visible, thermal), grey uint8, all of the same two sizes.
    """
    visible_size, thermal_size = pairs[0][0].shape, pairs[0][1].shape
    found: list[Hypothesis] = []
    field = _Visible(())
    for ratio in SCALES:
        factor = SIDE / max(visible_size) / max(1.0, ratio)
        size = scaled(visible_size, factor)
        if size != field.size:
            field = _Visible([features(resized(v, size)) for v, _ in pairs])
        wanted = ratio * np.hypot(*size) / np.hypot(*thermal_size)
        inner = scaled(thermal_size, wanted)
        if min(inner) < 24:
            continue
        small = [resized(thermal, inner) for _, thermal in pairs]
        for degrees in ROTATIONS:
            turn, outer = _turned(inner, degrees)
            mask = cv2.warpAffine(
                np.ones(inner, np.uint8), turn[:2], outer[::-1], flags=cv2.INTER_NEAREST
            )
            turned = [
                features(cv2.warpAffine(image, turn[:2], outer[::-1]), mask) for image in small
            ]
            place = turn @ grid(thermal_size, inner)
            for shift, score in field.peaks(turned):
                moved = np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1.0]])
                matrix = np.linalg.inv(grid(visible_size, size)) @ moved @ place
                found.append(Hypothesis(matrix, score))
    found.sort(key=lambda h: -h.score)
    return _distinct(found, thermal_size, visible_size, keep)


def _distinct(found, thermal_size, visible_size, keep: int) -> list[Hypothesis]:
    """The best that differ by more than a step of the search."""
    kept: list[Hypothesis] = []
    limit = 0.02 * np.hypot(*visible_size)
    for one in found:
        if all(gap(one.matrix, other.matrix, thermal_size) > limit for other in kept):
            kept.append(one)
        if len(kept) == keep:
            break
    return kept


def gap(a: np.ndarray, b: np.ndarray, size: tuple[int, ...]) -> float:
    """Mean distance of where two matrices put a 5x5 grid of pixels of an image, px."""
    x, y = np.meshgrid(np.linspace(0, size[1] - 1, 5), np.linspace(0, size[0] - 1, 5))
    points = np.stack((x.ravel(), y.ravel(), np.ones(25)))
    first, second = a @ points, b @ points
    apart = first[:2] / first[2] - second[:2] / second[2]
    return float(np.hypot(*apart).mean())


def scaled(size: Sequence[int], factor: float) -> tuple[int, int]:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    shrinks = size[0] < image.shape[0]
    return cv2.resize(
        image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def _turned(size: tuple[int, int], degrees: float) -> tuple[np.ndarray, tuple[int, int]]:
    """(3x3, size of the result): an image turned about its centre, nothing cut off."""
    height, width = size
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(turn[0, 0]), abs(turn[0, 1])
    outer = (
        int(np.ceil(height * cosine + width * sine)),
        int(np.ceil(width * cosine + height * sine)),
    )
    turn[:, 2] += np.array([(outer[1] - width) / 2, (outer[0] - height) / 2])
    return np.vstack((turn, (0, 0, 1))), outer


class _Visible:
    """Transforms of the visible features at one size, kept while scales share it."""

    def __init__(self, shown: Sequence[Features]):
        self.shown = list(shown)
        self.size = self.shown[0].mask.shape if shown else ()
        self._at: tuple[int, int] | None = None

    def _transforms(self, shape: tuple[int, int]) -> None:
        if shape == self._at:
            return
        self._at = shape
        self._channels = [[_dft(c, shape) for c in f.channels] for f in self.shown]
        self._energy = [_dft(f.energy, shape) for f in self.shown]
        self._mask = _dft(self.shown[0].mask, shape)

    def peaks(self, turned: Sequence[Features]) -> list[tuple[tuple[int, int], float]]:
        """((x, y), score) of the best shifts of thermal features over the visible ones."""
        mask = turned[0].mask
        height, width = (
            cv2.getOptimalDFTSize(a + b) for a, b in zip(self.size, mask.shape, strict=True)
        )
        shape = (height, width)
        self._transforms(shape)
        known = np.conj(_dft(mask, shape))
        both = np.zeros(shape, np.complex64)
        energies = np.zeros(shape, np.complex64)
        for i, found in enumerate(turned):
            for mine, theirs in zip(self._channels[i], found.channels, strict=True):
                both += np.conj(_dft(theirs, shape)) * mine
            energies += known * self._energy[i]
            energies += 1j * (np.conj(_dft(found.energy, shape)) * self._mask)
        joint = _idft(both).real
        seen = _idft(energies)
        overlap = _idft(known * self._mask).real
        share = overlap / max(1.0, min(float(mask.sum()), float(self.shown[0].mask.sum())))
        least = LEAST_ENERGY * sum(float(f.energy.sum()) for f in self.shown)
        least_thermal = LEAST_ENERGY * sum(float(f.energy.sum()) for f in turned)
        power = np.maximum(seen.real, least) * np.maximum(seen.imag, least_thermal)
        score = joint / np.sqrt(power + 1e-6) * np.clip(share, 0, 1) ** OVERLAP_POWER
        score[share < LEAST_OVERLAP] = -1
        return self._best(score)

    def _best(self, score: np.ndarray) -> list[tuple[tuple[int, int], float]]:
        radius = max(2, round(APART * SIDE))
        found = []
        for _ in range(PEAKS):
            y, x = np.unravel_index(int(score.argmax()), score.shape)
            value = float(score[y, x])
            if value <= 0:
                break
            place = (
                int(x if x < self.size[1] else x - score.shape[1]),
                int(y if y < self.size[0] else y - score.shape[0]),
            )
            found.append((place, value))
            rows = np.arange(y - radius, y + radius + 1) % score.shape[0]
            columns = np.arange(x - radius, x + radius + 1) % score.shape[1]
            score[np.ix_(rows, columns)] = -1
        return found


def _dft(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    padded = np.zeros(shape, np.complex64)
    padded[: image.shape[0], : image.shape[1]] = image
    view = padded.view(np.float32).reshape(*shape, 2)
    return cv2.dft(view, nonzeroRows=image.shape[0]).view(np.complex64)[..., 0]


def _idft(transform: np.ndarray) -> np.ndarray:
    view = np.ascontiguousarray(transform).view(np.float32).reshape(*transform.shape, 2)
    return cv2.dft(view, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE).view(np.complex64)[..., 0]
