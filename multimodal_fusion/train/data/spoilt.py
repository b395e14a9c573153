"""Batches of spoilt pairs: what goes in, what is right, and what is wrong with it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError
from .faults import Found, drawn, present, spoil
from .pairs import ImagePair, to_unit
from .text import Vectors, read_annotations


@dataclass(frozen=True)
class Spoilt:
    """A batch: what goes in, what is right, and what is wrong with it.

    thermal, clean_thermal: float (N, 1, S, S). visible, clean_visible: (N, 3, S, S), RGB; in
    [0, 1]. faults: (N, faults) of 0 and 1. text: (N, numbers).
    """

    thermal: Tensor
    visible: Tensor
    clean_thermal: Tensor
    clean_visible: Tensor
    faults: Tensor
    text: Tensor

    def to(self, device: torch.device) -> Spoilt:
        return Spoilt(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Spoiler:
    """How pairs are spoilt and what is said of them.

    most: faults at once. weakest, strongest: of a fault, 0 to 1. vectors: of the words; None:
    nothing is said. own: {stem: float32 (faults,) of 0 and 1}, what is wrong with a pair before it
    is spoilt: it is named too, and not planted again.
    """

    most: int
    weakest: float
    strongest: float
    vectors: Vectors | None
    own: Mapping[str, np.ndarray]

    def drawn(self, random: np.random.Generator) -> list[Found]:
        return drawn(random, self.most, self.weakest, self.strongest)

    def example(self, pair: ImagePair, number: int, seed: int) -> Spoilt:
        """A pair to judge by, with the same faults each time; the first of four is as it is."""
        random = np.random.default_rng((seed, 1 << 40, number))
        found = self.drawn(random)
        return self.batch([pair], [found if number % 4 else []], random)

    def batch(
        self,
        pairs: Sequence[ImagePair],
        faults: Sequence[Sequence[Found]],
        random: np.random.Generator,
    ) -> Spoilt:
        """Pairs of RGB and thermal with these faults."""
        spoilt, known = [], []
        for pair, found in zip(pairs, faults, strict=True):
            own = self.own.get(pair.stem, present([]))
            planted = [one for one in found if not own[one.number]]
            spoilt.append(spoil(pair.visible, pair.thermal, planted, random))
            known.append(np.maximum(own, present(planted)))
        which = np.stack(known)
        text = self.vectors.of(which) if self.vectors else np.zeros((len(pairs), 0), np.float32)
        return Spoilt(
            _stacked([thermal for _, thermal in spoilt]),
            _stacked([visible for visible, _ in spoilt]),
            _stacked([pair.thermal for pair in pairs]),
            _stacked([pair.visible for pair in pairs]),
            torch.from_numpy(which),
            torch.from_numpy(text),
        )


def _stacked(images: Sequence[np.ndarray]) -> Tensor:
    together = np.stack(images)
    return to_unit(together[:, None] if together.ndim == 3 else together.transpose(0, 3, 1, 2))


def own_faults(files: Sequence[str], stems: Sequence[str]) -> dict[str, np.ndarray]:
    """What files of `data annotate` say of these pairs; of no files nothing. Raises UserError."""
    if not files:
        return {}
    known = {s: a.found for file in files for s, a in read_annotations(Path(file)).items()}
    if missing := [stem for stem in stems if stem not in known]:
        raise UserError(
            f'the annotations {", ".join(files)} lack {len(missing)} of {len(stems)} pairs '
            f'({", ".join(missing[:3])}{", …" if len(missing) > 3 else ""}); annotate each folder '
            'of the data: multimodal_fusion data annotate --data DATA/train --out train.jsonl'
        )
    return {stem: present(known[stem]) for stem in stems}


class SpoiltCrops:
    """Batches of random crops, flipped and turned, each with faults of its own.

    ``crops(step)`` depends on the seed, the process and the step alone.
    """

    def __init__(
        self,
        pairs: Sequence[ImagePair],
        side: int,
        spoiler: Spoiler,
        batch: int,
        seed: int,
        rank: int = 0,
    ):
        self.pairs, self.side, self.spoiler, self.batch = pairs, side, spoiler, batch
        self.key = (seed,) if rank == 0 else (seed, rank)

    def __call__(self, step: int) -> Spoilt:
        random = np.random.default_rng((*self.key, step))
        crops, found = [], []
        for _ in range(self.batch):
            crops.append(self._crop(self.pairs[random.integers(len(self.pairs))], random))
            found.append(self.spoiler.drawn(random))
        return self.spoiler.batch(crops, found, random)

    def _crop(self, pair: ImagePair, random: np.random.Generator) -> ImagePair:
        top, left = (random.integers(length - self.side + 1) for length in pair.thermal.shape)
        window = np.s_[top : top + self.side, left : left + self.side]
        turns, flip = random.integers(4), random.integers(2)
        images = [np.rot90(image[window], turns) for image in (pair.thermal, pair.visible)]
        images = [image[:, ::-1] if flip else image for image in images]
        return ImagePair(pair.stem, *map(np.ascontiguousarray, images))
