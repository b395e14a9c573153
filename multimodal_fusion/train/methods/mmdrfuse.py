"""MMDRFuse: teacher, and student by distillation, comprehensive loss and dynamic refresh."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ...errors import UserError
from ...networks.mmdrfuse import MMDRFuse, MMDRFuseTeacher
from ...networks.vgg import CHANNELS, VGG19, find_vgg
from ..config import Count, Section, Weights
from ..data.packed import load_packed
from ..data.pairs import ImagePair, large_enough, load_folders, spread
from ..data.patches import Augmentation, Batch, Patches
from ..data.store import Store
from ..engine import Engine
from ..losses import fusion
from ..losses.chosen import Values, read_weights, terms_by_name, weighted
from ..losses.distil import digest, distillation
from ..losses.mmdrfuse import gradient, perception, strongest
from ..losses.refresh import Lessons, Memory
from ..run import Checkpoint, fingerprint
from .fusion import SMALL, PairMethod, Side, begin_from

OURS = {name: fusion.TERMS[name] for name in ('ssim', 'qabf', 'vif', 'scd')}
"""What the paper has not: the metrics themselves, as far as they can be learnt from."""
FEATURE_SCALE = 16  # of cached features, so that Caffe's fit into float16
JUDGED = ('intensity', 'gradient', 'perception', *OURS)
MMDR_TERMS = (*JUDGED, 'distillation', 'refresh')
STATISTICS = ('wins_ssim', 'wins_gmsd', 'gap_ssim', 'gap_gmsd')


class MMDRFuseMethod(PairMethod):
    """Equation 13: comprehensive loss + θ distillation + λ refresh, on keyed patches.

    A term of weight 0 costs nothing and is 0. ``loss``, a file of a loss search, stands for the
    comprehensive loss.
    """

    name = 'mmdrfuse'

    class Settings(Section):
        network: Literal['student', 'teacher']
        teacher: str
        vgg: str
        patch: Side
        patches: Count
        perceived: Annotated[int, Field(ge=0)]
        validation_pairs: Count
        validation_side: Side
        initial: Literal['maximum', 'random', 'teacher']
        initial_noise: Annotated[float, Field(ge=0)]
        output: Literal['tanh', 'linear']
        gradient: Literal['paper', 'code', 'signed']
        decide: Literal['patch', 'batch']
        norm: Literal['sample', 'batch']
        distil: Literal['both', 'output']
        cache: bool
        widths: Annotated[list[Count], Field(min_length=1)]
        augmentation: Augmentation
        weights: Weights
        loss: str = ''  # it came later

    def __init__(self, settings: Settings, engine: Engine, data: Path):
        self.engine, self.settings, self.device = engine, settings, engine.device
        if settings.weights.keys() != set(MMDR_TERMS):
            raise UserError(
                f'mmdrfuse.weights must name exactly the loss terms {", ".join(MMDR_TERMS)}; got '
                f'{", ".join(settings.weights) or "none"}'
            )
        self.columns = ('loss', *MMDR_TERMS, *['searched'] * bool(settings.loss), *STATISTICS)
        self.judged: dict[str, list[Tensor]] = {}
        self._load(data)
        network = self.made(settings)
        notes = begin_from(engine.config.start, network)
        self.teacher = self._teacher(network)
        self.vgg = self._vgg(data)
        self.searched = self._searched(data)
        if self.teacher is not None:
            notes += f'; teacher {fingerprint(self.teacher)}'
        if self.vgg is None:
            notes += '; no perception term'
        self.data += notes
        self.network = engine.network(network, forward=('buffered',))
        self.optimiser = engine.optimiser(self.network.parameters())
        self._remember()

    def _load(self, data: Path) -> None:
        config, settings = self.engine.config, self.settings
        if data.is_file():
            pairs = load_packed(data, config.selection)
        else:
            pairs = load_folders(data, config.seed, selection=config.selection)
        self.data, self.fingerprint = pairs.description, pairs.fingerprint
        if config.batch > settings.patches // self.engine.world * self.engine.world:
            raise UserError(f'batch {config.batch} is more than the {settings.patches} patches')
        self.patches = Patches(
            large_enough(pairs.train, settings.patch),
            settings.patch,
            settings.patches,
            config.seed,
            settings.augmentation,
            self.engine.rank,
            self.engine.world,
        )
        self.batches = self.engine.batches(PatchBatches(self.patches, self.engine.batch))
        some = spread(pairs.validation, settings.validation_pairs)
        self.validation = [pair.centre(settings.validation_side) for pair in some]
        if settings.weights['vif']:
            smallest = min(side for pair in self.validation for side in pair.thermal.shape)
            for name, side in (
                ('patch', settings.patch),
                ('the smallest validation crop', smallest),
            ):
                if side < fusion.VIF_SIDE:
                    raise UserError(
                        f'{name} is {side} pixels; the loss term vif needs {fusion.VIF_SIDE}: '
                        'choose larger ones, or set weights.vif to 0'
                    )

    def _teacher(self, network: nn.Module) -> nn.Module | None:
        """The teacher; where the student begins as it does, its last layer. Raises UserError."""
        settings = self.settings
        if not settings.weights['distillation'] and settings.initial != 'teacher':
            return None
        if not settings.teacher:
            raise UserError(
                'this configuration learns from a teacher: give the run folder of mmdrfuse-teacher '
                'by --teacher, or set weights.distillation to 0 and another "initial"'
            )
        teacher = Checkpoint.load(Path(settings.teacher)).network
        if not isinstance(teacher, MMDRFuseTeacher):
            raise UserError(f'{settings.teacher} is no run of mmdrfuse-teacher')
        if settings.initial == 'teacher':
            last, own = [list(x.children())[-1] for x in (teacher, network)]
            if last.weight.shape != own.weight.shape:
                raise UserError('initial: teacher needs widths that end in 4, as the teacher has')
            own.load_state_dict(last.state_dict())
        return teacher.to(self.device).requires_grad_(False)

    def _vgg(self, data: Path) -> VGG19 | None:
        given = self.settings.vgg
        if self.settings.loss or not self.settings.weights['perception'] or given == 'none':
            return None
        otherwise = 'leave the term out by --no-perception'
        return find_vgg(given, data, otherwise).to(self.device)

    def _searched(self, data: Path) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
        settings = self.settings
        if not settings.loss:
            return None
        weights = read_weights(Path(settings.loss))
        vgg = partial(find_vgg, settings.vgg, data, 'use a loss without perceptual terms')
        terms = terms_by_name(weights, vgg, settings.perceived, 'mmdrfuse.loss')
        return lambda *images: weighted(weights, {n: term(*images) for n, term in terms.items()})

    def _remember(self) -> None:
        """The refresh memory, and what is cached of VGG and the teacher, in the run folder."""
        settings, rank = self.settings, self.engine.rank
        folder = self.engine.folder / 'memory'
        count, side = len(self.patches), settings.patch
        self.memory = self.aims = self.lectures = None
        if settings.weights['refresh']:
            self.memory = Memory(folder / f'best-{rank}.bin', count, side, settings.decide)
        if settings.cache and self.vgg is not None:
            shapes = [(c, side >> i, side >> i) for i, c in enumerate(CHANNELS)]
            self.aims = _cache(folder / f'features-{rank}.bin', count, shapes)
        if settings.cache and self.teacher is not None:
            self.lectures = _cache(folder / f'teacher-{rank}.bin', count, [(side * side,)] * 2)

    @classmethod
    def made(cls, settings: Settings) -> nn.Module:
        maximum, noise = settings.initial == 'maximum', settings.initial_noise
        if settings.network == 'teacher':
            teacher = MMDRFuseTeacher()
            return teacher.start_at_maximum(noise) if maximum else teacher
        student = MMDRFuse(settings.output, tuple(settings.widths))
        if maximum and len(settings.widths) == 1:
            return student.start_at_maximum(noise)
        return student

    @classmethod
    def describe(cls, settings: Settings) -> tuple[str, str]:
        return f"MMDRFuse's {settings.network}, by the paper's method", SMALL

    def restored(self, step: int) -> None:
        if self.memory is not None:
            self.memory.store.rewind(step)

    def sealed(self, step: int) -> None:
        if self.memory is not None:
            self.memory.store.checkpoint(step)

    def step(self, number: int) -> dict[str, float]:
        batch = self.batches(number)
        thermal, visible = (x.to(self.device) for x in (batch.thermal, batch.visible))
        batch = Batch(batch.keys, thermal, visible)
        buffer, fused = self.network.buffered(thermal, visible)
        zero = fused.new_zeros(())
        few = self.settings.perceived
        features = target = None
        if self.vgg is not None and few:
            features = self.vgg(fused[:few])
            target = self._aim(batch, few)
        values = self._comprehensive(fused, thermal, visible, features, target)
        values |= {'distillation': zero, 'refresh': zero}
        if self.teacher is not None and self.settings.weights['distillation']:
            digests = digest(buffer), digest(fused)
            taught = self._lecture(batch)
            norm, what = self.settings.norm, self.settings.distil
            values['distillation'] = distillation(digests, taught, norm, what)
        extras: dict[str, float] = {}
        if self.memory is not None:
            lessons = self.memory.review(batch.keys, fused, thermal, visible)
            values['refresh'] = self._learn(fused, features, lessons)
            extras = lessons.statistics()
        loss = weighted(self._weights, values)
        self.optimiser.minimise(loss)
        found = {name: value.item() for name, value in values.items()}
        return {'loss': loss.item(), **found, **extras}

    @property
    def _weights(self) -> dict[str, float]:
        return {**self.settings.weights, 'searched': 1.0}

    def cost(self, fused: Tensor, pair: ImagePair) -> tuple[Tensor, Values]:
        thermal, visible = (x.to(self.device) for x in pair.tensors())
        features = target = None
        if self.vgg is not None:
            features = self.vgg(fused)
            if pair.stem not in self.judged:
                found = strongest(self.vgg(thermal), self.vgg(visible))
                self.judged[pair.stem] = [level.half() for level in found]
            target = [level.float() for level in self.judged[pair.stem]]
        values = self._comprehensive(fused, thermal, visible, features, target)
        return weighted(self._weights, values), values

    def _comprehensive(self, fused, thermal, visible, features, target) -> Values:
        """Equations 2 to 5, and terms of our own."""
        zero, weights = fused.new_zeros(()), self._weights
        sources = fused, thermal, visible
        if self.searched is not None:
            return {**dict.fromkeys(JUDGED, zero), 'searched': self.searched(*sources)}
        return {
            'intensity': fusion.intensity(*sources),
            'gradient': gradient(*sources, self.settings.gradient) if weights['gradient'] else zero,
            'perception': perception(features, target).mean() if features else zero,
            **{name: term(*sources) if weights[name] else zero for name, term in OURS.items()},
        }

    def _learn(self, fused: Tensor, features: list[Tensor] | None, lessons: Lessons) -> Tensor:
        """L_s + L_g, equations 6 to 12: means over the batch, weighted by the gaps.

        Perception is of as many patches as elsewhere, and only where memory wins.
        """
        total = (lessons.gap_ssim * (fused - lessons.ssim).abs().mean((1, 2, 3))).mean()
        edges = (fusion.sobel(fused) - fusion.sobel(lessons.gmsd)).abs().mean((1, 2, 3))
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


class PatchBatches:
    """``batches(step)`` of so many patches."""

    def __init__(self, patches: Patches, size: int):
        self.patches, self.size = patches, size

    def __call__(self, step: int) -> Batch:
        return self.patches.batch(step, self.size)


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
