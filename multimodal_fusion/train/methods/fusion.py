"""Plain training of a fusion network: intensity, gradient and structure."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from ...errors import UserError
from ...networks.mmdrfuse import MMDRFuse
from ..config import Config
from ..data.pairs import Pair, PairData, load_data
from ..distributed import Place
from ..losses import fusion
from ..run import Checkpoint, fingerprint
from .method import Recipe, Values, weighted

Terms = dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]
SMALL = (
    "The network sees 5x5 pixels: it can't tell noise or misalignment from detail, and shows both."
)
SIMPLE: Terms = {
    'intensity': fusion.intensity,
    'gradient': fusion.gradient,
    'structure': fusion.structure,
}


def begin_from(recipe: Recipe, start: Path | None, data: PairData, network: nn.Module) -> PairData:
    """Take the weights that a fine-tuning recipe starts from, and note them in the description.

    Raises UserError.
    """
    if (start is not None) != (recipe.starts_from is not None):
        raise UserError(
            f'the recipe {recipe.name} goes on from a run of {recipe.starts_from}: give it by '
            '--start'
            if recipe.starts_from
            else f'the recipe {recipe.name} starts afresh; leave --start out'
        )
    if start is None:
        return data
    checkpoint = Checkpoint.load(start)
    if checkpoint.recipe.name != recipe.starts_from:
        raise UserError(
            f'{start} is a run of {checkpoint.recipe.name}, not of {recipe.starts_from}'
        )
    network.load_state_dict(checkpoint.network.state_dict())
    note = f'started from {checkpoint.recipe.name} {fingerprint(network)}'
    return dataclasses.replace(data, description=f'{data.description}; {note}')


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


def _pairs(folder: Path, config: Config, place: Place) -> PairData:
    _alone(place)
    return load_data(folder, config.patch, config.batch, config.seed)


def _alone(place: Place) -> None:
    if place.world > 1:
        raise UserError('only mmdr-teacher and mmdr-student run in several processes')


def _simple(name: str, description: str, output: str) -> Recipe:
    return Recipe(
        name,
        description,
        lambda config: MMDRFuse(output).start_at_maximum(config.start_noise),
        tuple(SIMPLE),
        tuple(SIMPLE),
        (),
        _pairs,
        lambda config, crops, setup: SimpleObjective(SIMPLE, config, crops),
        SMALL,
    )
