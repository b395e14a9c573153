"""What the loop minimises: a loss per step, and one per validation pair."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.vgg import CHANNELS, VGG19
from . import losses
from .comprehensive import gradient, perception, strongest
from .config import Config
from .data import Pair, to_unit
from .distil import digest, distillation
from .parallel import Place
from .patches import Batch, Patches
from .refresh import Lessons, Memory
from .store import Store
from .synthesis import Known, Synthesised

Values = dict[str, Tensor]
# What the paper has not: the metrics themselves, as far as they can be learnt from.
OURS = {
    'structure': losses.structure,
    'edges': losses.edges,
    'fidelity': losses.fidelity,
    'differences': losses.differences,
}
FEATURE_SCALE = 16  # of cached features, so that Caffe's fit into float16


class Objective(Protocol):
    """``step`` and ``judge`` return the weighted total and the unweighted terms; ``extras`` are
    further figures of the last step, for metrics.csv."""

    extras: dict[str, float]

    def step(self, network: nn.Module, step: int) -> tuple[Tensor, Values]: ...

    def judge(self, fused: Tensor, pair: Pair) -> tuple[Tensor, Values]: ...

    def resume(self, step: int) -> None: ...

    def sealed(self, step: int) -> None: ...


class SimpleObjective:
    """Terms of fused, thermal and visible on random crops."""

    def __init__(self, terms: dict[str, Callable], config: Config, crops: Callable):
        self.terms, self.config, self.crops = terms, config, crops
        self.extras: dict[str, float] = {}

    def step(self, network: nn.Module, step: int) -> tuple[Tensor, Values]:
        thermal, visible = self.crops(step)
        return self._loss(network(thermal, visible), thermal, visible)

    def judge(self, fused: Tensor, pair: Pair) -> tuple[Tensor, Values]:
        return self._loss(fused, *pair.tensors())

    def _loss(self, *images: Tensor) -> tuple[Tensor, Values]:
        values = {name: term(*images) for name, term in self.terms.items()}
        return weighted(self.config, values), values

    def resume(self, step: int) -> None:
        pass

    def sealed(self, step: int) -> None:
        pass


class KnownObjective:
    """The fused image is known: mean squared error of the image, or, where the weights name
    ``mask``, cross-entropy of the mask against the foreground.

    Validation is judged by the image in either case, so that losses compare.
    """

    def __init__(self, config: Config, batches: Synthesised):
        self.config, self.batches = config, batches
        self.extras: dict[str, float] = {}

    def step(self, network: nn.Module, step: int) -> tuple[Tensor, Values]:
        batch = self.batches(step)
        if 'mask' in self.config.weights:
            logits = network.logits(batch.first, batch.second)
            values = {'mask': F.binary_cross_entropy_with_logits(logits, batch.mask)}
        else:
            values = {'image': F.mse_loss(network(batch.first, batch.second), batch.target)}
        return weighted(self.config, values), values

    def judge(self, fused: Tensor, pair: Known) -> tuple[Tensor, Values]:
        error = F.mse_loss(fused, to_unit(pair.target[None, None]))
        return error, {'image': error}

    def resume(self, step: int) -> None:
        pass

    def sealed(self, step: int) -> None:
        pass


def weighted(config: Config, values: Values) -> Tensor:
    return sum(config.weights[name] * value for name, value in values.items())


@dataclass(frozen=True)
class Setup:
    """out: the run folder. vgg: None for no perception term. teacher: None for no distillation."""

    out: Path
    place: Place
    device: torch.device
    vgg: VGG19 | None
    teacher: nn.Module | None


class MMDRObjective:
    """Equation 13: comprehensive loss + θ distillation + λ refresh, on keyed patches.

    The weights are called as in `recipe.MMDR_TERMS`; a term of weight 0 costs nothing and is 0.
    """

    def __init__(self, config: Config, patches: Patches, setup: Setup):
        self.config, self.method, self.patches = config, config.method, patches
        self.device, self.vgg, self.teacher = setup.device, setup.vgg, setup.teacher
        self.size = config.batch // setup.place.world
        self.extras: dict[str, float] = {}
        self.judged: dict[str, list[Tensor]] = {}
        folder, rank = setup.out / 'memory', setup.place.rank
        folder.mkdir(parents=True, exist_ok=True)
        count, side = len(patches), config.patch
        self.memory = self.aims = self.lectures = None
        if config.weights['refresh']:
            self.memory = Memory(folder / f'best-{rank}.bin', count, side, self.method.decide)
        if self.method.cache and self.vgg is not None:
            shapes = [(c, side >> i, side >> i) for i, c in enumerate(CHANNELS)]
            self.aims = _cache(folder / f'features-{rank}.bin', count, shapes)
        if self.method.cache and self.teacher is not None:
            self.lectures = _cache(folder / f'teacher-{rank}.bin', count, [(side * side,)] * 2)

    def resume(self, step: int) -> None:
        if self.memory is not None:
            self.memory.store.rewind(step)

    def sealed(self, step: int) -> None:
        if self.memory is not None:
            self.memory.store.checkpoint(step)

    def step(self, network: nn.Module, step: int) -> tuple[Tensor, Values]:
        """network: returns (buffer, fused), as `Buffered` does."""
        batch = self.patches.batch(step, self.size)
        thermal, visible = (x.to(self.device) for x in (batch.thermal, batch.visible))
        batch = Batch(batch.keys, thermal, visible)
        buffer, fused = network(thermal, visible)
        zero = fused.new_zeros(())
        few = self.method.perceived
        features = target = None
        if self.vgg is not None and few:
            features = self.vgg(fused[:few])
            target = self._aim(batch, few)
        values = self._comprehensive(fused, thermal, visible, features, target)
        values |= {'distillation': zero, 'refresh': zero}
        if self.teacher is not None and self.config.weights['distillation']:
            digests = digest(buffer), digest(fused)
            taught = self._lecture(batch)
            method = self.method
            values['distillation'] = distillation(digests, taught, method.norm, method.distil)
        if self.memory is not None:
            lessons = self.memory.review(batch.keys, fused, thermal, visible)
            values['refresh'] = self._learn(fused, features, lessons)
            self.extras = lessons.statistics()
        return weighted(self.config, values), values

    def judge(self, fused: Tensor, pair: Pair) -> tuple[Tensor, Values]:
        thermal, visible = (x.to(self.device) for x in pair.tensors())
        features = target = None
        if self.vgg is not None:
            features = self.vgg(fused)
            if pair.stem not in self.judged:
                aim = strongest(self.vgg(thermal), self.vgg(visible))
                self.judged[pair.stem] = [level.half() for level in aim]
            target = [level.float() for level in self.judged[pair.stem]]
        values = self._comprehensive(fused, thermal, visible, features, target)
        return weighted(self.config, values), values

    def _comprehensive(self, fused, thermal, visible, features, target) -> Values:
        """Equations 2 to 5, and terms of our own."""
        zero, weights = fused.new_zeros(()), self.config.weights
        sources = fused, thermal, visible
        return {
            'intensity': losses.intensity(*sources),
            'gradient': gradient(*sources, self.method.gradient) if weights['gradient'] else zero,
            'perception': perception(features, target).mean() if features else zero,
            **{name: term(*sources) if weights[name] else zero for name, term in OURS.items()},
        }

    def _learn(self, fused: Tensor, features: list[Tensor] | None, lessons: Lessons) -> Tensor:
        """L_s + L_g, equations 6 to 12: means over the batch, weighted by the gaps.

        Perception is of as many patches as elsewhere, and only where memory wins.
        """
        total = (lessons.gap_ssim * (fused - lessons.ssim).abs().mean((1, 2, 3))).mean()
        edges = (losses.sobel(fused) - losses.sobel(lessons.gmsd)).abs().mean((1, 2, 3))
        total = total + (lessons.gap_gmsd * 2 * edges).mean()
        if features is None:
            return total
        few = len(features[0])
        for gap, image, of, count in (
            (lessons.gap_ssim, lessons.ssim, slice(3, 5), 5),
            (lessons.gap_gmsd, lessons.gmsd, slice(0, 3), 3),
        ):
            wins = torch.nonzero(gap[:few])[:, 0]
            if len(wins):
                with torch.no_grad():
                    best = self.vgg(image[wins], count)[of]
                unlike = perception([level[wins] for level in features[of]], best)
                total = total + (gap[wins] * unlike).sum() / few
        return total

    @torch.no_grad()
    def _aim(self, batch: Batch, few: int) -> list[Tensor]:
        """The sources' strongest features of the first few patches, from the cache if there."""

        def compute(places: np.ndarray) -> list[Tensor]:
            found = [self.vgg(image[places]) for image in (batch.thermal, batch.visible)]
            return [level / FEATURE_SCALE for level in strongest(*found)]

        found = _recall(self.aims, batch.keys[:few], compute, self.device)
        return [level * FEATURE_SCALE for level in found]

    @torch.no_grad()
    def _lecture(self, batch: Batch) -> list[Tensor]:
        """The teacher's digests of buffer and output."""

        def compute(places: np.ndarray) -> list[Tensor]:
            answer = self.teacher.buffered(batch.thermal[places], batch.visible[places])
            return [digest(x) for x in answer]

        return _recall(self.lectures, batch.keys, compute, self.device)


class Buffered(nn.Module):
    """A network whose forward is ``buffered``: DistributedDataParallel watches forward alone."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.buffered(thermal, visible)


def _cache(path: Path, count: int, shapes: list[tuple[int, ...]]) -> Store:
    parts = [(f'part{i}', '<f2', shape) for i, shape in enumerate(shapes)]
    return Store(path, count, np.dtype([('known', '?'), *parts]))


def _recall(store: Store | None, keys: np.ndarray, compute: Callable, device) -> list[Tensor]:
    """What ``compute(places)`` gives for these patches, remembered as float16.

    The first use is rounded too, so that a resumed run, which finds it, gets the same.
    """
    if store is None:
        return compute(np.arange(len(keys)))
    missing = np.flatnonzero(~store.records['known'][keys])
    if len(missing):
        records = np.zeros(len(missing), store.records.dtype)
        for i, part in enumerate(compute(missing)):
            records[f'part{i}'] = part.half().cpu().numpy()
        store[keys[missing]] = records
        store.records['known'][keys[missing]] = True  # last: a killed run leaves no half record
    records = store[keys]
    names = [name for name in records.dtype.names if name != 'known']
    parts = [torch.from_numpy(records[name].copy()) for name in names]
    return [part.to(device).float() for part in parts]
