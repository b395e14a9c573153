"""Any fusion network on registered pairs: a weighted sum of terms, or a loss of one's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ...errors import UserError, quoted
from ...host.plugins import named
from ...networks.registry import NETWORKS
from ...networks.vgg import find_vgg
from ..config import Config, Positive, Section, Weights
from ..curves import sheet
from ..data.pairs import Crops, ImagePair, eight_bit, large_enough, load_folders, spread
from ..engine import Engine, bare
from ..losses import fusion
from ..losses.chosen import Term, Values, read_weights, terms_by_name, weighted
from ..losses.fusion import TERMS
from ..losses.halo import flat_pairs, halo, step_edges
from ..losses.search_space import NAMES
from ..run import Checkpoint, fingerprint
from ..scores import Example, fuse, of_pair
from .method import Method

Side = Annotated[int, Field(ge=32)]
SMALL = (
    "The network sees 5x5 pixels: it can't tell noise or misalignment from detail, and shows both."
)
LIMITS = {
    'mmdrfuse': SMALL,
    'mmdrfuse_plus': SMALL,
    'mmdrfuse_pyramid': "It can't tell noise or misalignment from detail, and shows both.",
}


class FusionMethod(Method):
    """What the methods that train one fusion network have in common.

    A subclass sets network (of the engine) and ``data``.
    """

    about: ClassVar[str] = ''
    colour: ClassVar[bool] = False  # whether it is shown RGB
    limits: ClassVar[str] = ''

    engine: Engine
    network: nn.Module

    def weights(self) -> dict[str, Tensor]:
        return self.engine.averaged(self.network).state_dict()

    def export(self, path: Path) -> None:
        trusted = self.code(self.engine.config.section)
        self.ship(Checkpoint.load(self.engine.folder, trusted), path)

    @classmethod
    def ship(cls, checkpoint: Checkpoint, path: Path, **options: Any) -> dict[str, Any]:
        from ..export.onnx import export_checkpoint  # here: it takes the exporter's second

        return export_checkpoint(checkpoint, path, **options)

    @classmethod
    def examples(cls, config: Config, pairs: Sequence[ImagePair]) -> list[Example]:
        """What a trained network is scored by: the pairs as they are."""
        return [Example(pair, pair) for pair in pairs]

    @classmethod
    def fuser(cls, network: nn.Module) -> Callable[[Example], np.ndarray]:
        """A trained network as what fuses examples: uint8 luma (H, W)."""
        return of_pair(fuse(network))

    @classmethod
    def describe(cls, settings: Any) -> tuple[str, str]:
        """What it is and what to beware of, for the model's card."""
        return cls.about, cls.limits


class PairMethod(FusionMethod):
    """One that is judged on pairs as they are: it sets validation, and says what a pair costs."""

    validation: Sequence[ImagePair]

    @abstractmethod
    def cost(self, fused: Tensor, pair: ImagePair) -> tuple[Tensor, Values]:
        """The loss and the unweighted terms of a validation pair, fused to 8-bit pixels."""

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        network, device = self.engine.averaged(self.network), self.engine.device
        sums: dict[str, float] = {}
        pairs = self.engine.share(self.validation)
        for pair in pairs:
            fused = network(*(image.to(device) for image in pair.tensors()))
            if torch.isfinite(fused).all():
                fused = eight_bit(fused).float() / 255
            loss, terms = self.cost(fused, pair)
            for name, value in (('loss', loss), *terms.items()):
                sums[name] = sums.get(name, 0.0) + value.item()
        return {name: value / len(pairs) for name, value in sums.items()}

    def sample(self) -> np.ndarray:
        pairs = spread(self.validation, self.engine.config.samples)
        return sheet(self.engine.averaged(self.network), pairs)


class Fusion(PairMethod):
    """``loss``, or the sum of ``terms`` by their ``weights``, on random crops of pairs."""

    name = 'fusion'

    class Settings(Section):
        network: str
        visible: Literal['grey', 'colour']
        patch: Side
        loss: str
        weights: Weights
        terms: list[str]
        # These came later: runs of before have none.
        halo: Positive = 0.0
        vgg: str = 'auto'
        perceived: Annotated[int, Field(ge=0)] = 0
        validation_pairs: Annotated[int, Field(ge=0)] = 0
        validation_side: Annotated[int, Field(ge=0)] = 0

    def __init__(self, settings: Settings, engine: Engine, data: Path):
        self.engine, self.halo = engine, settings.halo
        self.made_pictures = [
            tuple(image.to(engine.device) for image in pair)
            for pair in (step_edges(), flat_pairs())
        ]
        self.terms, self.factors = chosen_terms(settings, data)
        colour = settings.visible == 'colour'
        self.columns = ('loss', *self.terms, *['halo'] * bool(self.halo))
        pairs = load_folders(data, engine.config.seed, colour, engine.config.selection)
        self.validation = judged(pairs.validation, settings)
        self.data, self.fingerprint = pairs.description, pairs.fingerprint
        train = large_enough(pairs.train, settings.patch)
        self.crops = engine.batches(
            Crops(
                train, settings.patch, engine.batch, engine.config.seed, engine.rank, engine.world
            )
        )
        network = self.made(settings)
        self.data += begin_from(engine.config.start, network, self.code(settings))
        fits(network, settings.network, 3 if colour else 1)
        self.network = engine.network(network)
        self.optimiser = engine.optimiser(self.network.parameters())

    @classmethod
    def made(cls, settings: Settings) -> nn.Module:
        network = named(settings.network, NETWORKS, 'network')()
        if not hasattr(network, 'kind'):  # of the model file
            network.kind = 'colour' if settings.visible == 'colour' else 'luma'
        return network

    @classmethod
    def code(cls, settings: Settings) -> list[str]:
        return [settings.network] if ':' in settings.network else []

    @classmethod
    def describe(cls, settings: Settings) -> tuple[str, str]:
        own = [n for n in (settings.network, settings.loss, *settings.terms) if ':' in n]
        limits = LIMITS.get(settings.network, '')
        by = f', with {", ".join(own)}' if own else ''
        return f'{settings.network}, trained on registered pairs{by}', limits

    def step(self, number: int) -> dict[str, float]:
        thermal, visible = (image.to(self.engine.device) for image in self.crops(number))
        loss, values = self._loss(self.network(thermal, visible), thermal, visible)
        if self.halo:
            values['halo'] = halo(self.network, *self.made_pictures)
            loss = loss + self.halo * values['halo']
        self.optimiser.minimise(loss)
        return {'loss': loss.item(), **{name: value.item() for name, value in values.items()}}

    def cost(self, fused: Tensor, pair: ImagePair) -> tuple[Tensor, Values]:
        return self._loss(fused, *(image.to(self.engine.device) for image in pair.tensors()))

    def judge(self) -> dict[str, float]:
        means = super().judge()
        if self.halo:
            with torch.no_grad():
                means['halo'] = halo(self.engine.averaged(self.network), *self.made_pictures).item()
            means['loss'] += self.halo * means['halo']
        return means

    def _loss(self, *images: Tensor) -> tuple[Tensor, Values]:
        """Our terms see luma; chroma and your own see what the network does."""
        grey = [fusion.luma(image) for image in images]
        ours = {*TERMS, *NAMES} - {'chroma'}
        values = {
            name: term(*(grey if name in ours else images)) for name, term in self.terms.items()
        }
        return weighted(self.factors, values), values


def judged(pairs: Sequence[ImagePair], settings: Fusion.Settings) -> Sequence[ImagePair]:
    """The validation pairs: so many, spread, and of each the middle; all of all by default."""
    some = spread(pairs, settings.validation_pairs) if settings.validation_pairs else pairs
    side = settings.validation_side
    return [pair.centre(side) for pair in some] if side else some


def chosen_terms(settings: Fusion.Settings, data: Path) -> tuple[dict[str, Term], dict[str, float]]:
    """The terms by name, and their weights. Raises UserError."""
    weights = dict(settings.weights)
    if settings.loss.endswith(('.yaml', '.yml')):
        weights = read_weights(Path(settings.loss))
    elif settings.loss:
        weights = {settings.loss: 1.0}
    weights |= dict.fromkeys(settings.terms, 1.0)
    vgg = partial(find_vgg, settings.vgg, data, 'use a loss without perceptual terms')
    terms = terms_by_name(weights, vgg, settings.perceived, 'fusion.weights')
    if not terms:
        raise UserError('fusion.weights are all 0: there is nothing to learn')
    return terms, weights


def begin_from(start: str, network: nn.Module, trusted: Sequence[str] = ()) -> str:
    """Take the weights of a run to go on from; a phrase about it. Raises UserError."""
    if not start:
        return ''
    checkpoint = Checkpoint.load(Path(start), trusted)
    try:
        network.load_state_dict(checkpoint.network.state_dict())
    except RuntimeError as error:
        raise UserError(
            f'{start} is a run of {checkpoint.config.method} and does not hold the weights of this '
            'network: give a run of the same network as --start'
        ) from error
    return f'; started from {checkpoint.config.method} {fingerprint(network)}'


@torch.no_grad()
def fits(network: nn.Module, name: str, channels: int = 1) -> None:
    """Try a network on a small pair. channels: of visible. Raises UserError where it is none that
    fuses."""
    shape = (1, channels, 40, 56)
    given = f'thermal (1, 1, 40, 56) and visible {shape}'
    try:
        found = bare(network).eval()(torch.zeros(1, 1, 40, 56), torch.zeros(shape))
    except Exception as error:  # whatever the user's code raises
        raise UserError(f'the network {name} failed on {given}: {quoted(str(error))}') from error
    finally:
        network.train()
    what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if what != shape:
        raise UserError(
            f'the network {name} returns {what} for {given}; forward(thermal, visible) must return '
            "the fused image in visible's shape"
        )
