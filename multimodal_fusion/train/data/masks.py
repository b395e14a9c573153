"""Pairs to fuse, made from any image with a foreground mask: the fused image is known.

Each pair spoils the background in one image and the foreground in the other, so that the original
is their blend by the mask:

* multi-focus: what is spoilt is blurred (Gaussian);
* multi-lighting: what is spoilt is over-saturated or darkened.

In a batch both kinds are equally many (of an odd number, focus has one more), and no thermal image
is needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from ...errors import BadImage, UserError
from ...host.progress import warn
from ...io.datasets import below, images_in
from ...io.image_files import read_pixels, read_visible
from ...io.pixels import luma
from ...io.stems import Selection
from ...io.whole_files import whole_file
from ..config import Number, Section
from .fingerprint import digest
from .pairs import ALL, ImagePair, to_unit


def _range(value: list[float]) -> list[float]:
    if value[0] > value[1]:
        raise ValueError('must go from low to high')
    return value


Range = Annotated[
    list[Annotated[Number, Field(ge=0.01)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_range),
]


class Synthesis(Section):
    """How pairs are made (`spoil`): section ``synthesis``; each a range, low to high."""

    gamma: Range
    blur: Range
    over: Range
    dark: Range


LAYOUTS = (('images', 'masks'), ('JPEGImages', 'SegmentationObject'),
           ('JPEGImages', 'SegmentationClass'), ('image', 'mask'), ('img', 'gt'))  # fmt: skip
KINDS = ('focus', 'lighting')
LEAST_SHARE = 0.005  # of pixels, of foreground and of background
HELD_OUT = 10  # of the images in order of stem, every tenth is for validation


@dataclass(frozen=True)
class MaskedImage:
    """image: luma, uint8 (H, W). mask: bool (H, W), true in the foreground."""

    stem: str
    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class MaskedSet:
    """What a folder of images and masks gave. skipped: stems by reason."""

    images: list[MaskedImage]
    skipped: dict[str, list[str]]

    @property
    def train(self) -> list[MaskedImage]:
        return [x for i, x in enumerate(self.images) if i % HELD_OUT != HELD_OUT - 1]

    @property
    def validation(self) -> list[MaskedImage]:
        return self.images[HELD_OUT - 1 :: HELD_OUT]

    @property
    def notes(self) -> str:
        """What was left out, as a phrase; empty if nothing was."""
        return ', '.join(f'{len(stems)} {why}' for why, stems in self.skipped.items() if stems)


@dataclass(frozen=True)
class Known(ImagePair):
    """A pair whose fused image is known. target: uint8 (H, W); mask: bool (H, W), where the first
    image (``thermal``) is the unspoilt one."""

    target: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class MadeBatch:
    """first, second, target, mask: float (N, 1, side, side) in [0, 1]."""

    first: Tensor
    second: Tensor
    target: Tensor
    mask: Tensor


class Synthesised:
    """Batches of pairs made from random square crops, flipped and turned by quarters.

    ``batches(step)`` depends on the seed, the process and the step alone, so that a resumed run
    goes on with the very batches it would have had.
    """

    def __init__(
        self,
        images: list[MaskedImage],
        side: int,
        batch: int,
        seed: int,
        how: Synthesis,
        rank: int = 0,
    ):
        self.images, self.side, self.batch, self.how = images, side, batch, how
        self.key = (seed,) if rank == 0 else (seed, rank)

    def __call__(self, step: int) -> MadeBatch:
        random = np.random.default_rng((*self.key, step))
        made = [spoil(self._crop(random), KINDS[i % 2], self.how, random)
                for i in range(self.batch)]  # fmt: skip
        images = [np.stack([getattr(pair, part) for pair in made])[:, None]
                  for part in ('thermal', 'visible', 'target')]  # fmt: skip
        mask = torch.from_numpy(np.stack([pair.mask for pair in made])[:, None]).float()
        return MadeBatch(*map(to_unit, images), mask)

    def _crop(self, random: np.random.Generator) -> MaskedImage:
        whole = self.images[random.integers(len(self.images))]
        top, left = (random.integers(length - self.side + 1) for length in whole.image.shape)
        window = np.s_[top : top + self.side, left : left + self.side]
        turns, flip = random.integers(4), random.integers(2)
        image, mask = (np.rot90(x[window], turns) for x in (whole.image, whole.mask))
        if flip:
            image, mask = image[:, ::-1], mask[:, ::-1]
        return MaskedImage(whole.stem, np.ascontiguousarray(image), mask)


def spoil(source: MaskedImage, kind: str, how: Synthesis, random: np.random.Generator) -> Known:
    """One pair: the background spoilt in one image, the foreground in the other, in random order.

    kind: ``focus`` or ``lighting``. The original's exposure is changed first, the same in both.
    """
    target = _curve(source.image, np.exp(random.uniform(*np.log(how.gamma))), 1.0)
    versions = []
    for _ in range(2):
        if kind == 'focus':
            versions.append(cv2.GaussianBlur(target, (0, 0), random.uniform(*how.blur)))
        else:
            span = how.over if random.integers(2) else how.dark
            versions.append(_curve(target, 1.0, random.uniform(*span)))
    mask = source.mask if random.integers(2) else ~source.mask
    first, second = np.where(mask, target, versions[0]), np.where(mask, versions[1], target)
    return Known(source.stem, first, second, target, mask)


def _curve(image: np.ndarray, gamma: float, gain: float) -> np.ndarray:
    """255 gain (x / 255)^gamma, clipped and rounded."""
    levels = 255 * gain * (np.arange(256) / 255) ** gamma
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)[image]


@dataclass(frozen=True)
class MadePairs:
    """images: to make training pairs of. validation: made pairs. fingerprint: of the content."""

    images: list[MaskedImage]
    validation: list[Known]
    description: str
    fingerprint: str


def load_made(
    folder: Path, side: int, seed: int, how: Synthesis, selection: Selection = ALL
) -> MadePairs:
    """Training images and validation pairs from a folder of images and masks. Raises UserError."""
    found = load_masked(folder, selection)
    validation = [
        spoil(x, KINDS[i % 2], how, np.random.default_rng((seed, 1 << 32, i)))
        for i, x in enumerate(found.validation)
    ]
    left_out = f' ({found.notes} left out)' if found.notes else ''
    images = [x for x in found.train if min(x.image.shape) >= side]
    if len(images) < len(found.train):
        if not images:
            raise UserError(
                f'all {len(found.train)} images are smaller than the {side}-pixel crops; lower '
                '"patch" in the configuration'
            )
        small = len(found.train) - len(images)
        warn(f'{small} of {len(found.train)} images are smaller than the {side}-pixel crops and '
             'are left out')  # fmt: skip
    description = (
        f'{Path(folder).resolve().name}, {len(images)} images with foreground masks, '
        f'{len(validation)} more for validation{left_out}'
    )
    content = digest(part for x in found.images for part in (x.stem, x.image, x.mask))
    return MadePairs(images, validation, description, content)


def load_masked(folder: Path, selection: Selection = ALL) -> MaskedSet:
    """The selected images of a folder with their masks, in order of stem.

    Images and masks lie in two folders, named as in `LAYOUTS`; a mask has its image's stem and
    size, and is black in the background alone. Images without a mask, and those whose foreground or
    background is less than `LEAST_SHARE`, are skipped and counted. Raises UserError.
    """
    images, masks = (images_in(path) for path in _folders(Path(folder)))
    skipped: dict[str, list[str]] = {
        reason: [] for reason in ('without mask', 'unreadable', 'empty masks', 'full masks')
    }
    found, grey = [], 0
    for path in selection.choose(list(images.values()), folder):
        stem = path.stem
        if stem not in masks:
            skipped['without mask'].append(stem)
            continue
        try:
            image, mask = luma(read_visible(path)), read_pixels(masks[stem])
        except BadImage:
            skipped['unreadable'].append(stem)
            continue
        mask, soft = foreground(mask)
        grey += soft
        if mask.shape != image.shape:
            raise UserError(
                f'{masks[stem]} is {mask.shape[1]}x{mask.shape[0]}, its image {path.name} is '
                f'{image.shape[1]}x{image.shape[0]}: a mask must have the size of its image'
            )
        share = mask.mean()
        if LEAST_SHARE <= share <= 1 - LEAST_SHARE:
            found.append(MaskedImage(stem, image, mask))
        else:
            skipped['empty masks' if share < 0.5 else 'full masks'].append(stem)
    if grey:
        warn(
            f'{grey} of {len(images)} masks in {folder} have grey values (soft edges, JPEG): half '
            'of the brightest is the limit'
        )
    result = MaskedSet(found, skipped)
    if len(found) < HELD_OUT:
        reasons = f' ({result.notes})' if result.notes else ''
        raise UserError(
            f'{folder} gave {len(found)} images with a usable mask{reasons}; training needs at '
            f'least {HELD_OUT}, images and masks of the same stem'
        )
    return result


def foreground(mask: np.ndarray) -> tuple[np.ndarray, bool]:
    """Where a mask is not background, bool (H, W), and whether it had grey values.

    mask: uint8 or uint16, (H, W) or (H, W, 3). Where most of it is black or near its brightest
    level, what lies between are soft edges or JPEG's noise, and half is the limit. Other levels are
    numbers of objects or classes, and all but 0 is foreground.
    """
    level = mask.max(2) if mask.ndim == 3 else mask
    top = int(level.max())
    grey = (level > 0) & (level < top)
    if not grey.any():
        return level > 0, False
    bright = (level > 0.9 * top).sum()
    middle = ((level > 0.1 * top) & (level <= 0.9 * top)).sum()
    if top > 31 and middle < 0.25 * bright:
        return level > top / 2, True
    return level > 0, False


def _folders(folder: Path) -> tuple[Path, Path]:
    if not folder.is_dir():
        raise UserError(f'the data folder {folder} does not exist or is not a folder')
    for names in LAYOUTS:
        found = [below(folder, name) for name in names]
        if all(found):
            return tuple(found)
    there = (
        ', '.join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or 'no folder'
    )
    known = ', '.join(' + '.join(names) for names in LAYOUTS)
    raise UserError(
        f'{folder} holds {there}; expected one folder of images and one of foreground masks, named '
        f'as in {known}'
    )


def write_preview(path: Path, batches: Synthesised, rows: int) -> None:
    """A sheet of generated crops, a pair a row: first | second | original | mask, as PNG."""
    lines: list[np.ndarray] = []
    step = 0
    while len(lines) < rows:
        batch = batches(step)
        parts = (batch.first, batch.second, batch.target, batch.mask)
        lines += [np.hstack([x[i, 0].numpy() for x in parts]) for i in range(len(batch.first))]
        step += 1
    with whole_file(path) as temporary:
        cv2.imwrite(str(temporary), np.rint(255 * np.vstack(lines[:rows])).astype(np.uint8))
