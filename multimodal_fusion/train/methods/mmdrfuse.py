"""MMDRFuse: teacher, and student by distillation, comprehensive loss and dynamic refresh."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UserError
from ...networks.mmdrfuse import MMDRFuse, MMDRFuseTeacher
from ...networks.vgg import CHANNELS, VGG19
from ..config import Config
from ..data.packed import load_packed
from ..data.pairs import Pair, PairData, load_folders, spread
from ..data.patches import Batch, Patches
from ..data.store import Store
from ..distributed import Place
from ..losses import fusion
from ..losses.distil import digest, distillation
from ..losses.mmdrfuse import gradient, perception, strongest
from ..losses.refresh import Lessons, Memory
from ..run import Checkpoint, fingerprint
from .method import Setup, Values, weighted

OURS = {
    'structure': fusion.structure,
    'edges': fusion.edges,
    'fidelity': fusion.fidelity,
    'differences': fusion.differences,
}
FEATURE_SCALE = 16  # of cached features, so that Caffe's fit into float16
JUDGED = ('intensity', 'gradient', 'perception', *OURS)
MMDR_TERMS = (*JUDGED, 'distillation', 'refresh')
STATISTICS = ('wins_ssim', 'wins_gmsd', 'gap_ssim', 'gap_gmsd')


@dataclass(frozen=True)
class Helpers:
    """Files beside the data. teacher, vgg (None for no perception term): of MMDRFuse's own recipes.
    start: run or checkpoint that a fine-tuning recipe goes on from."""

    teacher: Path | None = None
    vgg: Path | None = None
    start: Path | None = None


def device_of(config: Config) -> torch.device:
    wanted = config.method.device if config.method else 'cpu'
    return torch.device('cuda' if wanted == 'auto' and torch.cuda.is_available() else 'cpu')


def prepare(
    config: Config,
    helpers: Helpers,
    data: PairData,
    network: nn.Module,
    out: Path,
    place: Place,
    device: torch.device,
) -> tuple[Setup, PairData]:
    """Load what the method needs, and note it in the description of the data.

    A student that starts from its teacher takes the last layer from it. Raises UserError.
    """
    method = config.method
    if method is None:
        return Setup(Path(out), place, device, None, None), data
    teacher = vgg = None
    notes = [data.description]
    if config.weights['distillation'] or method.start == 'teacher':
        if helpers.teacher is None:
            raise UserError(
                'this configuration learns from a teacher: give the run folder of mmdr-teacher '
                'by --teacher, or set weights.distillation to 0 and another start'
            )
        checkpoint = Checkpoint.load(helpers.teacher)
        teacher = checkpoint.network.to(device).requires_grad_(False)
        notes.append(f'teacher {fingerprint(teacher)}')
        if method.start == 'teacher':
            last, own = [list(x.children())[-1] for x in (teacher, network)]
            if last.weight.shape != own.weight.shape:
                raise UserError('start: teacher needs widths that end in 4, as the teacher has')
            own.load_state_dict(last.state_dict())
    if config.weights['perception'] and helpers.vgg is not None:
        vgg = VGG19.load(helpers.vgg).to(device)
    else:
        notes.append('no perception term')
    described = PairData(data.crops, data.validation, '; '.join(notes))
    return Setup(Path(out), place, device, vgg, teacher), described


# What the paper has not: the metrics themselves, as far as they can be learnt from.


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
            'intensity': fusion.intensity(*sources),
            'gradient': gradient(*sources, self.method.gradient) if weights['gradient'] else zero,
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


def _patches(folder: Path, config: Config, place: Place) -> PairData:
    method = config.method
    data = load_packed(folder) if Path(folder).is_file() else load_folders(folder)
    if config.batch % place.world:
        raise UserError(f'batch {config.batch} is not a multiple of {place.world} processes')
    if config.batch > method.patches // place.world * place.world:
        raise UserError(f'batch {config.batch} is more than the {method.patches} patches')
    patches = Patches(
        data.train,
        config.patch,
        method.patches,
        config.seed,
        method.augmentation,
        place.rank,
        place.world,
    )
    some = spread(data.validation, method.validation_pairs)
    validation = [pair.centre(method.validation_side) for pair in some]
    if config.weights['fidelity']:
        smallest = min(side for pair in validation for side in pair.thermal.shape)
        for name, side in (('patch', config.patch), ('the smallest validation crop', smallest)):
            if side < fusion.VIF_SIDE:
                raise UserError(
                    f'{name} is {side} pixels; the loss term fidelity needs {fusion.VIF_SIDE}: '
                    'choose larger ones, or set weights.fidelity to 0'
                )
    return PairData(patches, validation, data.description)


def _teacher(config: Config) -> nn.Module:
    network = MMDRFuseTeacher()
    maximum = config.method.start == 'maximum'
    return network.start_at_maximum(config.start_noise) if maximum else network


def _student(config: Config) -> nn.Module:
    network = MMDRFuse(config.method.output, config.method.widths)
    if config.method.start == 'maximum' and len(config.method.widths) == 1:
        return network.start_at_maximum(config.start_noise)
    return network
