"""A recipe: all that the training loop needs to know of what it trains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..errors import UserError
from ..networks.mmdrfuse import MMDRFuse
from . import losses
from .config import Config
from .data import PairData, load_data

Terms = dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]


@dataclass(frozen=True)
class Recipe:
    """name, description: for the model file and its card.

    network(config): a fresh network, drawn from torch's global generator.
    terms: the loss, its terms by name; each takes (fused, thermal, visible), float (N, 1, H, W),
    and the total is their sum weighted by ``config.weights``.
    data(folder, config): batches and validation pairs.
    """

    name: str
    description: str
    network: Callable[[Config], nn.Module]
    terms: Terms
    data: Callable[[Path, Config], PairData]

    def loss(
        self, config: Config, fused: Tensor, thermal: Tensor, visible: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted total and the unweighted terms."""
        terms = {name: term(fused, thermal, visible) for name, term in self.terms.items()}
        return sum(config.weights[name] * value for name, value in terms.items()), terms

    def check(self, config: Config) -> None:
        """Raise UserError where a configuration is not one of this recipe."""
        if config.recipe != self.name:
            raise UserError(
                f'the configuration is one of recipe {config.recipe!r}, not of {self.name!r}'
            )
        if config.weights.keys() != self.terms.keys():
            raise UserError(
                f'weights must name exactly the loss terms {", ".join(self.terms)}; '
                f'got {", ".join(config.weights) or "none"}'
            )


def _pairs(folder: Path, config: Config) -> PairData:
    return load_data(folder, config.patch, config.batch, config.seed)


SIMPLE: Terms = {
    'intensity': losses.intensity,
    'gradient': losses.gradient,
    'structure': losses.structure,
}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            'mmdrfuse',
            "MMDRFuse's student in the paper's form, tanh output",
            lambda config: MMDRFuse('tanh').start_at_maximum(config.start_noise),
            SIMPLE,
            _pairs,
        ),
        Recipe(
            'mmdrfuse_plus',
            "MMDRFuse's student with a linear, clipped output, trained from the pixel maximum",
            lambda config: MMDRFuse('linear').start_at_maximum(config.start_noise),
            SIMPLE,
            _pairs,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """A recipe by name. Raises UserError."""
    if name not in RECIPES:
        raise UserError(f'there is no recipe {name!r}; known are {", ".join(RECIPES)}')
    return RECIPES[name]
