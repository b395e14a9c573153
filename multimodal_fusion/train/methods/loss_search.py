"""CAF (Liu et al., IJCAI 2024): the weights of a fusion loss, searched by a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
import yaml
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from ...errors import UserError
from ...host.plugins import named
from ...io.whole_files import whole_file
from ...networks.registry import NETWORKS
from ...networks.vgg import find_vgg
from ..bilevel import hypergradient
from ..config import Count, OptimiserSettings, Positive, Section, Share
from ..curves import write_weights
from ..data.fingerprint import digest
from ..engine import Engine, bare
from ..losses.fusion import luma
from ..losses.search_space import FIXED, PLAIN, Term, perceptual
from ..tasks.registry import make_task
from ..tasks.task import TaskBatch, TaskCrops, TaskItem, TaskSettings, coloured, large, split
from ..tasks.trained import begin_trained
from .fusion import LIMITS, FusionMethod, Side, begin_from, fits

TOGETHER = 4  # validation crops


class Weights(nn.Module):
    """The logits of the weights of the terms that are searched."""

    def __init__(self, count: int, initial: str):
        super().__init__()
        start = torch.randn(count) if initial == 'random' else torch.zeros(count)
        self.logits = nn.Parameter(start)

    def forward(self, slopes: Tensor) -> Tensor:
        """A scalar whose gradient is that of a loss with these slopes of the weights."""
        return (self.logits.softmax(0) * slopes).sum()


class LossSearch(FusionMethod):
    """Algorithm 1: the task learns on fused images, the fusion network under the present weights,
    and the weights on the upper part, through one step of the fusion network (eq. 3).

    The weights are a softmax over the searched terms; `FIXED` terms stand beside it, unless
    ``fixed`` is false. What ships is the fusion network at the end, and searched_loss.yaml, which
    the method ``fusion`` takes as its loss.
    """

    name = 'loss_search'
    ships = 'last'
    about: ClassVar[str] = 'a fusion network, trained under a loss that a task has searched'

    class Settings(Section):
        task: str
        network: str
        patch: Side
        upper: Annotated[Share, Field(gt=0, lt=1)]
        validation_crops: Count
        unroll_rate: Positive
        initial: Literal['uniform', 'random']
        fixed: bool
        terms: list[str]
        vgg: str
        perceived: Annotated[int, Field(ge=0)]
        options: TaskSettings
        trained: str
        task_optimiser: OptimiserSettings
        weights_optimiser: OptimiserSettings

    def __init__(self, settings: Settings, engine: Engine, data: Path):
        self.engine, self.settings = engine, settings
        self.terms = self._terms(data)
        self.fixed = {n: w for n, w in FIXED.items() if settings.fixed and n in self.terms}
        self.searched = [name for name in self.terms if name not in self.fixed]
        self.columns = ('loss', 'task', 'fusion', *(f'weight {name}' for name in self.searched))
        self.task = make_task(settings.task, data, settings.options, engine.config.selection)
        lower, upper = (
            large(part, settings.patch) for part in split(self.task.items, settings.upper)
        )
        self.data = f'{settings.task} on {len(lower)} images, weighed by {len(upper)} more'
        self.fingerprint = digest(
            part for i in (*lower, *upper) for part in (i.stem, i.thermal, i.visible)
        )
        torch.manual_seed(engine.config.seed)  # whatever the task drew
        network = self.made(settings)
        self.data += begin_from(engine.config.start, network, self.code(settings))
        fits(network, settings.network)
        self.data += begin_trained(settings.trained, self.task.network)
        self.network = engine.network(network)
        self.task_network = engine.network(self.task.network)
        self.logits = engine.network(Weights(len(self.searched), settings.initial))
        self.optimiser = engine.optimiser(self.network.parameters())
        self.task_optimiser = engine.optimiser(
            self.task_network.parameters(), settings.task_optimiser
        )
        self.weights_optimiser = engine.optimiser(
            self.logits.parameters(), settings.weights_optimiser
        )

        def crops(items: Sequence[TaskItem], number: int, rank: int, batch: int) -> TaskCrops:
            key = (engine.config.seed, number, rank)
            return TaskCrops(self.task, items, settings.patch, batch, key)

        self.lower = engine.batches(crops(lower, 1, engine.rank, engine.batch))
        self.upper = engine.batches(crops(upper, 2, engine.rank, engine.batch))
        self.judged = crops(upper, 3, 0, TOGETHER)
        self.history: list[list[float]] = []
        self._reaches_images()

    def _terms(self, data: Path) -> dict[str, Term]:
        """Those that can be had, by name. Raises UserError."""
        settings, terms = self.settings, dict(PLAIN)
        if settings.vgg != 'none':
            vgg = find_vgg(settings.vgg, data, 'leave the perceptual terms out by vgg=none')
            terms |= perceptual(vgg.to(self.engine.device), settings.perceived)
        return terms | {name: named(name, {}, 'term') for name in settings.terms}

    @classmethod
    def made(cls, settings: Settings) -> nn.Module:
        return named(settings.network, NETWORKS, 'network')()

    @classmethod
    def code(cls, settings: Settings) -> list[str]:
        return [settings.network] if ':' in settings.network else []

    @classmethod
    def describe(cls, settings: Settings) -> tuple[str, str]:
        return (
            f'{settings.network}, trained under a loss that {settings.task} has searched',
            LIMITS.get(settings.network, ''),
        )

    def _reaches_images(self) -> None:
        """Raises UserError for a task that could not tell a fusion network anything."""
        batch = self._crops(self.judged, 0)
        images = batch.visible.clone().requires_grad_()
        self.task.network = bare(self.task_network)
        loss = self.task.loss(images, batch.targets)
        found = None
        if loss.requires_grad:
            found = torch.autograd.grad(loss, images, allow_unused=True)[0]
        if found is None or not found.any():
            raise UserError(
                f'the loss of the task {self.settings.task} has no gradient to the image, so it '
                'can say nothing of fusion: compute it from the images that loss() is given, '
                'without detach()'
            )

    def step(self, number: int) -> dict[str, float]:
        lower, upper = self._crops(self.lower, number), self._crops(self.upper, number)
        self.task.network = self.task_network
        with torch.no_grad():
            images = coloured(bare(self.network)(lower.thermal, lower.grey), lower.visible)
        of_task = self.task.loss(images, lower.targets)
        self.task_optimiser.minimise(of_task)

        weights = self.weighting()
        fused = self.network(lower.thermal, lower.grey)
        of_fusion = (weights * self._values(fused, lower)).sum()
        self.optimiser.minimise(of_fusion)

        slopes, loss = self._slopes(lower, upper, weights)
        self.weights_optimiser.minimise(self.logits(slopes[: len(self.searched)]))
        self.history.append(weights[: len(self.searched)].tolist())
        shown = {f'weight {n}': w for n, w in zip(self.searched, self.history[-1], strict=True)}
        return {'loss': loss, 'task': of_task.item(), 'fusion': of_fusion.item(), **shown}

    def weighting(self) -> Tensor:
        """beta: the softmax of the searched terms, then the fixed weights; no gradient."""
        with torch.no_grad():
            searched = bare(self.logits).logits.softmax(0)
            return torch.cat((searched, searched.new_tensor(list(self.fixed.values()))))

    def _values(self, fused: Tensor, batch: TaskBatch) -> Tensor:
        """Every term, the searched ones first, (terms,)."""
        images = luma(fused), batch.thermal, batch.grey
        return torch.stack([self.terms[name](*images) for name in (*self.searched, *self.fixed)])

    def _slopes(self, lower: TaskBatch, upper: TaskBatch, weights: Tensor) -> tuple[Tensor, float]:
        """How the task's loss on the upper part depends on the weights, and that loss."""
        network, self.task.network = bare(self.network), bare(self.task_network)

        def fuse(parameters: Mapping[str, Tensor], batch: TaskBatch) -> Tensor:
            # Buffers are copies: running means move in the real steps alone.
            state = {name: value.clone() for name, value in network.named_buffers()} | parameters
            return functional_call(network, state, (batch.thermal, batch.grey))

        def task_loss(parameters: Mapping[str, Tensor]) -> Tensor:
            images = coloured(fuse(parameters, upper), upper.visible)
            return self.task.loss(images, upper.targets)

        with unmoved(self.task.network):
            return hypergradient(
                dict(network.named_parameters()),
                lambda parameters: self._values(fuse(parameters, lower), lower),
                weights,
                task_loss,
                self.settings.unroll_rate,
            )

    def _crops(self, source: Callable[[int], TaskBatch], number: int) -> TaskBatch:
        return source(number).to(self.engine.device)

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        """On the same crops of the upper part each time."""
        network = self.engine.averaged(self.network)
        self.task.network = self.engine.averaged(self.task_network)
        count = -(-self.settings.validation_crops // TOGETHER)
        numbers = self.engine.share(range(count))
        sums: dict[str, float] = {}
        weights = self.weighting()
        for number in numbers:
            batch = self._crops(self.judged, number)
            fused = network(batch.thermal, batch.grey)
            images = coloured(fused, batch.visible)
            values = {
                'loss': self.task.loss(images, batch.targets).item(),
                'fusion': float((weights * self._values(fused, batch)).sum()),
                **self.task.metrics(images, batch.targets),
            }
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
        return {name: value / len(numbers) for name, value in sums.items()}

    def state(self) -> dict[str, Any]:
        return {'history': self.history}

    def restore(self, state: dict[str, Any]) -> None:
        self.history = state['history']

    def sealed(self, step: int) -> None:
        """The loss as it stands, and the way there, beside the checkpoint."""
        if not self.engine.first or not self.history:
            return
        found = zip((*self.searched, *self.fixed), self.weighting().tolist(), strict=True)
        with whole_file(self.engine.folder / 'searched_loss.yaml') as temporary:
            temporary.write_text(
                f'# Searched by {self.settings.task} for {self.settings.network}, {step} steps.\n'
                + yaml.safe_dump({'weights': dict(found)}, sort_keys=False)
            )
        write_weights(self.engine.folder / 'weights.png', self.searched, self.history)

    @torch.no_grad()
    def sample(self) -> np.ndarray:
        """Thermal, visible and fused crops of the upper part, one row a crop, BGR."""
        network, batch = self.engine.averaged(self.network), self._crops(self.judged, 0)
        images = coloured(network(batch.thermal, batch.grey), batch.visible)
        rows = torch.cat((batch.thermal.expand(-1, 3, -1, -1), batch.visible, images), 3)
        picture = (rows * 255).round().byte().permute(0, 2, 3, 1).flatten(0, 1)
        return np.ascontiguousarray(picture.cpu().numpy()[..., ::-1])


@contextmanager
def unmoved(network: nn.Module) -> Iterator[None]:
    """Within it batch norm goes by its batch, as in training, but its running means stay."""
    before = {name: value.clone() for name, value in network.named_buffers()}
    yield
    for name, value in network.named_buffers():
        value.copy_(before[name])
