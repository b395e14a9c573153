"""MobileFuse: pairs made from masked photographs, whose fused image is known."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Config
from ..data.masks import Known, Synthesised, load_synthesised
from ..data.pairs import PairData, to_unit
from ..distributed import Place
from .fusion import _alone
from .method import Recipe, Values, weighted

UNSEEN = (
    'It was trained on photographs that were blurred, over-exposed and darkened in part, never on '
    'thermal images: it takes what is sharper and better exposed, not what is warm.'
)


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


def _synthesised(folder: Path, config: Config, place: Place) -> PairData:
    _alone(place)
    return load_synthesised(folder, config.patch, config.batch, config.seed, config.synthesis)


def _known(
    name: str, description: str, network: Callable[[], nn.Module], term: str = 'image'
) -> Recipe:
    return Recipe(
        name,
        description,
        lambda config: network(),
        (term,),
        ('image',),
        (),
        _synthesised,
        lambda config, batches, setup: KnownObjective(config, batches),
        UNSEEN,
        synthetic=True,
    )
