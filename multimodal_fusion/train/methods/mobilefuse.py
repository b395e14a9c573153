"""MobileFuse, and IFCNN as its baseline: pairs made from masked photographs, whose fused image is
known."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ...networks.ifcnn import IFCNN
from ...networks.mobilefuse import MobileFuse
from ..config import Section
from ..data.masks import Known, Synthesis, Synthesised, load_made
from ..data.pairs import ImagePair, to_unit
from ..engine import Engine
from ..losses.chosen import Values
from .fusion import PairMethod, Side, begin_from

NETWORKS = {'blend': MobileFuse, 'paint': lambda: MobileFuse('paint'), 'ifcnn': IFCNN}
ABOUT = {
    'blend': 'MobileFuse: blends by a mask',
    'paint': 'MobileFuse painting the image instead of blending',
    'ifcnn': 'IFCNN with elementwise maximum, a baseline',
}


class MobileFuseMethod(PairMethod):
    """The fused image is known: mean squared error of the image (``learns: image``), or
    cross-entropy of the mask against the foreground (``learns: mask``).

    Validation is judged by the image in either case, so that losses compare.
    """

    name = 'mobilefuse'

    limits = (
        'It was trained on photographs that were blurred, over-exposed and darkened in part, never '
        'on thermal images: it takes what is sharper and better exposed, not what is warm.'
    )

    class Settings(Section):
        network: Literal['blend', 'paint', 'ifcnn']
        learns: Literal['image', 'mask']
        patch: Side
        synthesis: Synthesis

    def __init__(self, settings: Settings, engine: Engine, data: Path):
        self.engine, self.settings = engine, settings
        self.columns = ('loss', settings.learns)
        seed, side = engine.config.seed, settings.patch
        made = load_made(data, side, seed, settings.synthesis, engine.config.selection)
        self.validation = made.validation
        self.data, self.fingerprint = made.description, made.fingerprint
        self.batches = engine.batches(
            Synthesised(made.images, side, engine.batch, seed, settings.synthesis, engine.rank)
        )
        network = self.made(settings)
        self.data += begin_from(engine.config.start, network)
        self.network = engine.network(network, ('logits',) if settings.learns == 'mask' else ())
        self.optimiser = engine.optimiser(self.network.parameters())

    @classmethod
    def made(cls, settings: Settings) -> nn.Module:
        return NETWORKS[settings.network]()

    @classmethod
    def describe(cls, settings: Settings) -> tuple[str, str]:
        learnt = ', trained on the mask instead of the image' * (settings.learns == 'mask')
        return ABOUT[settings.network] + learnt, cls.limits

    def step(self, number: int) -> dict[str, float]:
        batch, device = self.batches(number), self.engine.device
        first, second = batch.first.to(device), batch.second.to(device)
        if self.settings.learns == 'mask':
            logits = self.network.logits(first, second)
            loss = F.binary_cross_entropy_with_logits(logits, batch.mask.to(device))
        else:
            loss = F.mse_loss(self.network(first, second), batch.target.to(device))
        self.optimiser.minimise(loss)
        return {'loss': loss.item(), self.settings.learns: loss.item()}

    def cost(self, fused: Tensor, pair: ImagePair) -> tuple[Tensor, Values]:
        assert isinstance(pair, Known)
        error = F.mse_loss(fused, to_unit(pair.target[None, None]).to(fused.device))
        return error, {'image': error}
