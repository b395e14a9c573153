"""Image pairs from folders, kept as grey 8-bit in memory, and random crops of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError
from ...io.datasets import PairFiles, find_pairs, usable
from ...io.image_files import read_thermal, read_visible
from ...io.pixels import luma

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

    def centre(self, side: int) -> 'Pair':
        """The middle of it, at most this many pixels wide and high."""
        height, width = self.thermal.shape
        top, left = (max(0, (length - side) // 2) for length in (height, width))
        window = np.s_[top : top + side, left : left + side]
        return Pair(self.stem, self.thermal[window], self.visible[window])


@dataclass(frozen=True)
class PairData:
    """What a recipe trains on: ``crops(step)`` gives a batch; ``validation`` is judged whole."""

    crops: object  # `Crops`, or `patches.Patches`
    validation: list[Pair]
    description: str


@dataclass(frozen=True)
class Folders:
    """All pairs of a data folder."""

    train: list[Pair]
    validation: list[Pair]
    description: str


class Crops:
    """Batches of random square crops, flipped and turned by quarters.

    ``crops(step)`` depends on the seed and the step alone, so that a resumed run goes on with the
    very batches it would have had. Pairs are drawn evenly, so day and night as often as they are.
    """

    def __init__(self, pairs: list[Pair], side: int, batch: int, seed: int):
        check_side(pairs, side)
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


def check_side(pairs: list[Pair], side: int) -> None:
    """Raise UserError where a pair is too small for crops of this side."""
    for pair in pairs:
        if min(pair.thermal.shape) < side:
            raise UserError(
                f'{pair.stem} is {_size(pair.thermal)}, smaller than the {side}-pixel crops; '
                'leave it out or lower "patch" in the configuration'
            )


def to_unit(pixels: np.ndarray) -> Tensor:
    """uint8 pixels as float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def eight_bit(fused: Tensor) -> Tensor:
    """Clip to [0, 1] and round to uint8: the pixels that leave a model file."""
    return (fused.clamp(0, 1) * 255).round().to(torch.uint8)


def load_data(folder: Path, side: int, batch: int, seed: int) -> PairData:
    """The training crops and validation pairs of a folder laid out as `LAYOUT`.

    Raises UserError where the layout, the pairing or an image is not as it should be.
    """
    data = load_folders(folder)
    return PairData(Crops(data.train, side, batch, seed), data.validation, data.description)


def load_folders(folder: Path) -> Folders:
    """The pairs of a folder laid out as `LAYOUT`. Raises UserError."""
    folder = Path(folder)
    train, validation = (load_pairs(folder / split) for split in ('train', 'val'))
    description = f'{folder.resolve().name}/train, {len(train)} pairs'
    return Folders(train, validation, description)


def spread(pairs: list[Pair], count: int) -> list[Pair]:
    """``count`` pairs (or all, if fewer), evenly over the list: the same ones at every step."""
    count = min(count, len(pairs))
    return [pairs[i * len(pairs) // count] for i in range(count)]


def load_pairs(folder: Path) -> list[Pair]:
    """All pairs of a folder in a layout of `datasets`, sorted by stem. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f'{folder} is missing: a training folder holds {LAYOUT}')
    found = find_pairs(folder)
    if found.alone:
        some = ', '.join(found.alone[:5]) + (', …' if len(found.alone) > 5 else '')
        raise UserError(
            f'{len(found.alone)} images of {folder} have no partner of the same stem: {some}'
        )
    if len(found.pairs) < 2:
        raise UserError(f'{folder} holds 1 pair; training needs at least two')
    pairs = usable(found.pairs, _load, folder)
    if len(pairs) < 2:
        raise UserError(f'{folder} holds 1 pair that can be read; training needs at least two')
    return pairs


def _load(files: PairFiles) -> Pair:
    thermal, visible = read_thermal(files.thermal), luma(read_visible(files.visible))
    if thermal.dtype != np.uint8:
        raise UserError(f'{files.thermal} is {thermal.dtype}; training reads 8-bit images')
    if thermal.shape != visible.shape:
        raise UserError(
            f'{files.thermal} is {_size(thermal)}, {files.visible} is {_size(visible)}: '
            'pairs must be registered to the same size'
        )
    if min(thermal.shape) < MIN_SIDE:
        raise UserError(
            f'{files.thermal} is {_size(thermal)}; both sides must be at least {MIN_SIDE} pixels'
        )
    return Pair(files.stem, thermal, visible)


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
