"""Image pairs from folders, kept as grey 8-bit in memory, and random crops of them."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..images import luma

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
MIN_SIDE = 32
LAYOUT = 'train/vis, train/ir, val/vis and val/ir, with one visible and one thermal image per stem'


@dataclass(frozen=True)
class Pair:
    """A registered pair. thermal, visible: uint8 (H, W), white-hot and BT.601 luma."""

    stem: str
    thermal: np.ndarray
    visible: np.ndarray

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Thermal and visible as float (1, 1, H, W) in [0, 1]."""
        return tuple(to_unit(image[None, None]) for image in (self.thermal, self.visible))


@dataclass(frozen=True)
class PairData:
    """What a recipe trains on: ``crops(step)`` gives a batch; ``validation`` is judged whole."""

    crops: 'Crops'
    validation: list[Pair]
    description: str


class Crops:
    """Batches of random square crops, flipped and turned by quarters.

    ``crops(step)`` depends on the seed and the step alone, so that a resumed run goes on with the
    very batches it would have had. Pairs are drawn evenly, so day and night as often as they are.
    """

    def __init__(self, pairs: list[Pair], side: int, batch: int, seed: int):
        for pair in pairs:
            if min(pair.thermal.shape) < side:
                raise UserError(
                    f'{pair.stem} is {_size(pair.thermal)}, smaller than the {side}-pixel crops; '
                    'leave it out or lower "patch" in the configuration'
                )
        self.pairs, self.side, self.batch, self.seed = pairs, side, batch, seed

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Thermal and visible of one batch: float (N, 1, side, side) in [0, 1]."""
        random = np.random.default_rng((self.seed, step))
        crops = np.stack([self._crop(random) for _ in range(self.batch)])
        return to_unit(crops[:, :1]), to_unit(crops[:, 1:])

    def _crop(self, random: np.random.Generator) -> np.ndarray:
        pair = self.pairs[random.integers(len(self.pairs))]
        top, left = (random.integers(length - self.side + 1) for length in pair.thermal.shape)
        window = np.s_[top : top + self.side, left : left + self.side]
        crop = np.stack((pair.thermal[window], pair.visible[window]))
        crop = np.rot90(crop, random.integers(4), axes=(1, 2))
        return crop[:, :, ::-1] if random.integers(2) else crop


def to_unit(pixels: np.ndarray) -> Tensor:
    """uint8 pixels as float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def load_data(folder: Path, side: int, batch: int, seed: int) -> PairData:
    """The training crops and validation pairs of a folder laid out as `LAYOUT`.

    Raises UserError where the layout, the pairing or an image is not as it should be.
    """
    folder = Path(folder)
    train, validation = (load_pairs(folder / split) for split in ('train', 'val'))
    description = f'{folder.resolve().name}/train, {len(train)} pairs'
    return PairData(Crops(train, side, batch, seed), validation, description)


def load_pairs(folder: Path) -> list[Pair]:
    """All pairs of ``folder/vis`` and ``folder/ir``, sorted by stem. Raises UserError."""
    visible, thermal = (_images(folder / name) for name in ('vis', 'ir'))
    unpaired = sorted(visible.keys() ^ thermal.keys())
    if unpaired:
        some = ', '.join(unpaired[:5]) + (', …' if len(unpaired) > 5 else '')
        raise UserError(
            f'{len(unpaired)} images of {folder} have no partner of the same stem in vis and ir: '
            f'{some}'
        )
    if len(visible) < 2:
        raise UserError(
            f'{folder} holds {len(visible)} pair{"s" * (len(visible) != 1)}; '
            'training needs at least two'
        )
    return [_load(stem, visible[stem], thermal[stem]) for stem in sorted(visible)]


def _images(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f'{folder} is missing: a training folder holds {LAYOUT}')
    paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    found = {path.stem: path for path in paths}
    if len(found) < len(paths):
        twice = next(path for path in paths if found[path.stem] != path)
        raise UserError(f'{folder} holds two images of the stem {twice.stem!r}; keep one')
    return found


def _load(stem: str, visible: Path, thermal: Path) -> Pair:
    pair = Pair(stem, *(luma(_read(path)) for path in (thermal, visible)))
    sizes = [_size(image) for image in (pair.thermal, pair.visible)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f'{thermal} is {sizes[0]}, {visible} is {sizes[1]}: '
            'pairs must be registered to the same size'
        )
    if min(pair.thermal.shape) < MIN_SIDE:
        raise UserError(f'{thermal} is {sizes[0]}; both sides must be at least {MIN_SIDE} pixels')
    return pair


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    if image is None:
        raise UserError(f'{path} is not an image that can be read')
    if image.dtype != np.uint8:
        raise UserError(f'{path} is {image.dtype}; training reads 8-bit images')
    return image


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
