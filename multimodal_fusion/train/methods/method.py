"""What the loop minimises: a loss per step, and one per validation pair."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...networks.vgg import VGG19
from ..config import Config
from ..data.pairs import Pair, PairData
from ..distributed import Place

Values = dict[str, Tensor]


class Objective(Protocol):
    """``step`` and ``judge`` return the weighted total and the unweighted terms; ``extras`` are
    further figures of the last step, for metrics.csv."""

    extras: dict[str, float]

    def step(self, network: nn.Module, step: int) -> tuple[Tensor, Values]: ...

    def judge(self, fused: Tensor, pair: Pair) -> tuple[Tensor, Values]: ...

    def resume(self, step: int) -> None: ...

    def sealed(self, step: int) -> None: ...


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


@dataclass(frozen=True)
class Recipe:
    """name, description: for the model file and its card.

    network(config): a fresh network, drawn from torch's global generator.
    terms: names of the loss terms; the total is their sum weighted by ``config.weights``.
    judged: those of them that validation has too.
    extras: further figures of the training steps.
    data(folder, config, place): batches and validation pairs.
    objective(config, batches, setup): the loss.
    limits: what the card warns of.
    starts_from: of a fine-tuning recipe, the one whose weights it goes on from.
    synthetic: whether it learns from images with masks instead of pairs, with section
    ``synthesis``.
    """

    name: str
    description: str
    network: Callable[[Config], nn.Module]
    terms: tuple[str, ...]
    judged: tuple[str, ...]
    extras: tuple[str, ...]
    data: Callable[[Path, Config, Place], PairData]
    objective: Callable[[Config, object, Setup], Objective]
    limits: str = ''
    starts_from: str | None = None
    synthetic: bool = False

    @property
    def method(self) -> bool:
        """Whether it is one of MMDRFuse's own recipes, with section ``method``."""
        return self.name.startswith('mmdr-')

    @property
    def columns(self) -> tuple[str, ...]:
        """What metrics.csv has of training steps."""
        return ('loss', *self.terms, *self.extras)

    def check(self, config: Config) -> None:
        """Raise UserError where a configuration is not one of this recipe."""
        if config.recipe != self.name:
            raise UserError(
                f'the configuration is one of recipe {config.recipe!r}, not of {self.name!r}'
            )
        if config.weights.keys() != set(self.terms):
            raise UserError(
                f'weights must name exactly the loss terms {", ".join(self.terms)}; '
                f'got {", ".join(config.weights) or "none"}'
            )
        for section, wanted in (('method', self.method), ('synthesis', self.synthetic)):
            if wanted != (getattr(config, section) is not None):
                verb = 'needs' if wanted else 'has no'
                raise UserError(f'the recipe {self.name} {verb} section "{section}"')
