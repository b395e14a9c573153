"""A fixed set of training patches, each with a key, so that things can be remembered of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..config import Positive, Section, Share
from .pairs import ImagePair, to_unit
from .shards import Shards, in_passes


class Augmentation(Section):
    """How a patch is changed; all 0 for not at all. Meanings: config/train/mmdrfuse.yaml."""

    gain: Positive
    gamma: Positive
    noise: Positive
    polarity: Share
    balance: Positive


NIGHT = 60  # mean visible grey level, below which a pair counts as night


@dataclass(frozen=True)
class Batch:
    """keys: int (N,), places in the stores of this process. thermal, visible: float (N, 1, H, W)
    in [0, 1]."""

    keys: np.ndarray
    thermal: Tensor
    visible: Tensor


class Patches:
    """``batch(step)``: shuffled passes over the patches that this process owns.

    Everything follows from seed, key and step, so that a resumed run goes on with the very batches
    it would have had, and a patch looks the same whenever it comes: place, pose and augmentation.
    Of ``world`` processes, ``rank`` owns every world-th patch.
    """

    def __init__(
        self,
        pairs: Sequence[ImagePair],
        side: int,
        count: int,
        seed: int,
        augmentation: Augmentation,
        rank: int = 0,
        world: int = 1,
    ):
        self.pairs, self.side, self.seed, self.rank = pairs, side, seed, rank
        self.augmentation = augmentation
        self.order = _balanced(pairs, count, seed) if augmentation.balance else None
        self.own = np.arange(rank, count, world)
        self._pass: tuple[int, np.ndarray] | None = None  # the newest

    def __len__(self) -> int:
        return len(self.own)

    def batch(self, step: int, size: int) -> Batch:
        """The patches of a step; what is left at the end of a pass comes in the next one."""
        passes, place = divmod(step, len(self) // size)
        if self._pass is None or self._pass[0] != passes:
            self._pass = passes, self._shuffled(passes)
        keys = self._pass[1][place * size : (place + 1) * size]
        pixels = np.stack([self.pixels(self.own[key]) for key in keys])
        return Batch(keys, to_unit(pixels[:, :1]), to_unit(pixels[:, 1:]))

    def _shuffled(self, passes: int) -> np.ndarray:
        """The order of a pass; of shards it goes by them."""
        random = np.random.default_rng((self.seed, self.rank, passes))
        if not isinstance(self.pairs, Shards):
            return random.permutation(len(self))
        places = [self._place(number) for number in self.own]
        return in_passes(self.pairs.shard_of(np.array(places)), random)

    def _place(self, number: int) -> int:
        """The pair that a patch is of."""
        return number % len(self.pairs) if self.order is None else self.order[number]

    def pixels(self, number: int) -> np.ndarray:
        """Thermal and visible of one patch of the whole set: uint8 (2, side, side)."""
        random = np.random.default_rng((self.seed, 1 << 32, number))
        pair = self.pairs[self._place(number)]
        top, left = (random.integers(length - self.side + 1) for length in pair.thermal.shape)
        window = np.s_[top : top + self.side, left : left + self.side]
        crop = np.stack((pair.thermal[window], pair.visible[window]))
        crop = np.rot90(crop, random.integers(4), axes=(1, 2))
        crop = crop[:, :, ::-1] if random.integers(2) else crop
        return augment(crop, self.augmentation, random)


def augment(crop: np.ndarray, how: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Change thermal and visible, each on its own: uint8 (2, H, W) to the same."""
    gain, gamma = (np.exp(random.uniform(-x, x, (2, 1, 1))) for x in (how.gain, how.gamma))
    noise = random.normal(0, 1, crop.shape) * how.noise
    inverted = random.random() < how.polarity
    if not (how.gain or how.gamma or how.noise or how.polarity):
        return crop
    values = 255 * (crop / 255.0) ** gamma * gain + noise
    if inverted:
        values[0] = 255 - values[0]
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _balanced(pairs: Sequence[ImagePair], count: int, seed: int) -> np.ndarray:
    """A pair for each patch, as often of day as of night."""
    night = np.array([pair.visible.mean() < NIGHT for pair in pairs])
    random = np.random.default_rng((seed, 2 << 32))
    groups = [group for group in (np.flatnonzero(night), np.flatnonzero(~night)) if len(group)]
    return np.array([random.choice(groups[i % len(groups)]) for i in range(count)])
