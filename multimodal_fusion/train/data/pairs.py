"""8-bit image pairs from folders, grey or colour, in memory or streamed, and random crops."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import BadImage, UserError
from ...host.progress import warn
from ...io.datasets import PairFiles, find_pairs, usable
from ...io.image_codec import read_header
from ...io.image_files import read_thermal, read_visible
from ...io.pixels import luma
from ...io.stems import Selection
from ...pipeline.preparation import Preparation
from .fingerprint import digest

MIN_SIDE = 32
IN_MEMORY = 2 * 2**30  # bytes of grey pairs; larger sets are streamed from disk
HELD_OUT = 10  # of a flat folder, every tenth pair is for validation
ALL = Selection()
Pick = Callable[[list[PairFiles], Path], list[PairFiles]]
LAYOUT = 'train/vis, train/ir, val/vis and val/ir, with one visible and one thermal image per stem'


@dataclass(frozen=True)
class ImagePair:
    """A registered pair. thermal: uint8 (H, W), white-hot. visible: uint8, BT.601 luma (H, W) or
    RGB (H, W, 3)."""

    stem: str
    thermal: np.ndarray
    visible: np.ndarray

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Thermal and visible as float (1, 1 or 3, H, W) in [0, 1]."""
        return tuple(to_unit(channels(image)[None]) for image in (self.thermal, self.visible))

    def centre(self, side: int) -> 'ImagePair':
        """The middle of it, at most this many pixels wide and high."""
        height, width = self.thermal.shape
        top, left = (max(0, (length - side) // 2) for length in (height, width))
        window = np.s_[top : top + side, left : left + side]
        return ImagePair(self.stem, self.thermal[window], self.visible[window])


@dataclass(frozen=True)
class Folders:
    """All pairs of a data folder. fingerprint: of their content."""

    train: Sequence[ImagePair]
    validation: Sequence[ImagePair]
    description: str
    fingerprint: str


class Streamed(Sequence[ImagePair]):
    """Pairs that are read from disk each time somebody asks for one."""

    def __init__(self, files: Sequence[PairFiles], shapes: Sequence[tuple[int, int]], colour: bool):
        self.files, self.shapes, self.colour = files, shapes, colour

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number):
        if isinstance(number, slice):
            return self.chosen(range(len(self))[number])
        return _load(self.files[number], self.colour)

    def chosen(self, numbers: Iterable[int]) -> 'Streamed':
        """Some of them."""
        some = list(numbers)
        return Streamed([self.files[i] for i in some], [self.shapes[i] for i in some], self.colour)


class Crops:
    """Batches of random square crops, flipped and turned by quarters.

    ``crops(step)`` depends on the seed, the process and the step alone, so that a resumed run goes
    on with the very batches it would have had. Pairs are drawn evenly, so day and night as often as
    they are; those of shards in passes, of which each process of ``world`` has its share.
    """

    def __init__(
        self,
        pairs: Sequence[ImagePair],
        side: int,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        self.pairs, self.side, self.batch = pairs, side, batch
        self.key = (seed,) if rank == 0 else (seed, rank)
        self._passes = None
        if hasattr(pairs, 'shard_of'):
            from .shards import Passes

            self._passes = Passes(pairs, seed, rank, world)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Thermal and visible of one batch: float (N, 1 or 3, side, side) in [0, 1]."""
        random = np.random.default_rng((*self.key, step))
        if self._passes is None:
            pairs = (self.pairs[random.integers(len(self.pairs))] for _ in range(self.batch))
        else:
            pairs = (self.pairs[n] for n in self._passes.batch(step, self.batch))
        crops = np.stack([self._crop(pair, random) for pair in pairs])
        return to_unit(crops[:, :1]), to_unit(crops[:, 1:])

    def _crop(self, pair: ImagePair, random: np.random.Generator) -> np.ndarray:
        top, left = (random.integers(length - self.side + 1) for length in pair.thermal.shape)
        window = np.s_[top : top + self.side, left : left + self.side]
        crop = np.concatenate((pair.thermal[window][None], channels(pair.visible[window])))
        crop = np.rot90(crop, random.integers(4), axes=(1, 2))
        return crop[:, :, ::-1] if random.integers(2) else crop


def stems_of(pairs: Sequence[ImagePair]) -> list[str]:
    if hasattr(pairs, 'stems'):
        return pairs.stems()
    return [one.stem for one in (pairs.files if isinstance(pairs, Streamed) else pairs)]


def large_enough(pairs: Sequence[ImagePair], side: int) -> Sequence[ImagePair]:
    """The pairs that crops of this side fit into; the others are counted and told.

    Raises UserError if none is left.
    """
    shapes = getattr(pairs, 'shapes', None) or [p.thermal.shape for p in pairs]
    good = [i for i, shape in enumerate(shapes) if min(shape) >= side]
    if not good:
        raise UserError(
            f'all {len(pairs)} images are smaller than the {side}-pixel crops; lower "patch" in '
            'the configuration'
        )
    if len(good) == len(pairs):
        return pairs
    warn(f'{len(pairs) - len(good)} of {len(pairs)} images are smaller than the {side}-pixel crops '
         'and are left out')  # fmt: skip
    return _chosen(pairs, good)


def channels(image: np.ndarray) -> np.ndarray:
    """An image (H, W) or (H, W, 3) as (1 or 3, H, W)."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def to_unit(pixels: np.ndarray) -> Tensor:
    """uint8 pixels as float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def eight_bit(fused: Tensor) -> Tensor:
    """Clip to [0, 1] and round to uint8: the pixels that leave a model file."""
    return (fused.clamp(0, 1) * 255).round().to(torch.uint8)


def load_folders(
    folder: Path, seed: int = 0, colour: bool = False, selection: Selection = ALL
) -> Folders:
    """The pairs of a folder laid out as `LAYOUT`, or of a flat one. Raises UserError.

    A flat folder (vis and ir directly in it) is split: of its pairs in an order drawn by the seed,
    every tenth is for validation. A folder of shards has both. colour: visible as RGB, not luma.
    selection: its ``without`` is of all pairs, its ``stems`` of those that are trained on.
    """
    from .shards import is_sharded, load_shards  # which are made of these

    folder = Path(folder)
    if is_sharded(folder):
        return load_shards(folder, selection, colour)
    if any((folder / split).is_dir() for split in ('train', 'val')) or not folder.is_dir():
        parts = [
            load_pairs(folder / 'train', colour, selection.choose),
            load_pairs(folder / 'val', colour, selection.leave_out),
        ]
        train, validation = (pairs for pairs, _ in parts)
        files = [file for _, used in parts for file in used]
        description = f'{folder.resolve().name}/train, {len(train)} pairs'
        return Folders(train, validation, description, fingerprint(files))
    pairs, files = load_pairs(folder, colour, selection.choose)
    order = np.random.default_rng((seed, 3 << 32)).permutation(len(pairs))
    held = max(1, len(pairs) // HELD_OUT)
    split = [sorted(order[held:]), sorted(order[:held])]
    train, validation = (_chosen(pairs, numbers) for numbers in split)
    description = f'{folder.resolve().name}, {len(train)} pairs, {held} more drawn for validation'
    return Folders(train, validation, description, fingerprint(files))


def _chosen(pairs: Sequence[ImagePair], numbers: Sequence[int]) -> Sequence[ImagePair]:
    if hasattr(pairs, 'chosen'):
        return pairs.chosen(numbers)
    return [pairs[i] for i in numbers]


def fingerprint(files: Sequence[PairFiles]) -> str:
    """Of the content of these pairs."""
    return digest(part for f in files for part in (f.stem, f.visible, f.thermal))


def spread(pairs: Sequence[ImagePair], count: int) -> list[ImagePair]:
    """``count`` pairs (or all, if fewer), evenly over the list: the same ones at every step."""
    count = min(count, len(pairs))
    return [pairs[i * len(pairs) // count] for i in range(count)]


def load_pairs(
    folder: Path, colour: bool = False, pick: Pick = ALL.choose
) -> tuple[Sequence[ImagePair], list[PairFiles]]:
    """The picked pairs of a folder in a layout of `datasets`, sorted by stem, and their files.

    Above `IN_MEMORY` bytes they stay on disk and are read when they are asked for. Images without a
    partner are told and left out. Raises UserError.
    """
    if not folder.is_dir():
        raise UserError(f'{folder} is missing: a training folder holds {LAYOUT}')
    found = find_pairs(folder)
    if found.alone:
        some = ', '.join(found.alone[:5]) + (', …' if len(found.alone) > 5 else '')
        warn(f'{len(found.alone)} images of {folder} have no partner of the same stem ({some}) and '
             'are left out')  # fmt: skip
    files: list[PairFiles] = []
    shapes = usable(pick(found.pairs, folder), lambda pair: _noted(pair, files), folder)
    pairs: Sequence[ImagePair]
    if (4 if colour else 2) * sum(height * width for height, width in shapes) > IN_MEMORY:
        pairs = Streamed(files, shapes, colour)
    else:
        whole: list[PairFiles] = []
        pairs = usable(files, lambda pair: _kept(pair, colour, whole), folder)
        files = whole
    if len(pairs) < 2:
        raise UserError(f'{folder} holds 1 pair that can be read; training needs at least two')
    return pairs, files


def _noted(files: PairFiles, good: list[PairFiles]) -> tuple[int, int]:
    """The size of a thermal image, by its header."""
    content = np.memmap(files.thermal, np.uint8, 'r') if files.thermal.stat().st_size else b''
    height, width, _ = read_header(np.asarray(content, np.uint8))
    if min(height, width) < MIN_SIDE:
        raise BadImage('size', f'{files.thermal} is {width}x{height}, under {MIN_SIDE} pixels')
    good.append(files)
    return height, width


def _kept(files: PairFiles, colour: bool, good: list[PairFiles]) -> ImagePair:
    pair = _load(files, colour)
    good.append(files)
    return pair


def _load(files: PairFiles, colour: bool = False) -> ImagePair:
    """A pair as training sees it: thermal through the preparation of the node."""
    visible, counts = read_visible(files.visible), read_thermal(files.thermal)
    if not colour:
        visible = luma(visible)
    elif visible.ndim == 2:
        visible = np.repeat(visible[..., None], 3, axis=2)
    else:
        visible = np.ascontiguousarray(visible[..., ::-1])
    thermal = Preparation().still(counts, visible.shape[:2])
    if thermal.shape != visible.shape[:2]:
        raise UserError(
            f'{files.thermal} is {_size(thermal)}, {files.visible} is {_size(visible)}: '
            'pairs must be registered to the same size'
        )
    if min(thermal.shape) < MIN_SIDE:
        raise BadImage('size', f'{files.thermal} is {_size(thermal)}, under {MIN_SIDE} pixels')
    return ImagePair(files.stem, thermal, visible)


def _size(image: np.ndarray) -> str:
    return f'{image.shape[1]}x{image.shape[0]}'
