"""A recipe: all that the training loop needs to know of what it trains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ..errors import UserError
from ..networks.ifcnn import IFCNN
from ..networks.mmdrfuse import MMDRFuse, MMDRFuseTeacher
from ..networks.mobilefuse import MobileFuse
from . import losses
from .config import Config
from .data import PairData, load_data, load_folders, spread
from .objective import OURS, KnownObjective, MMDRObjective, Objective, Setup, SimpleObjective
from .pack import load_packed
from .parallel import Place
from .patches import Patches
from .synthesis import load_synthesised

Terms = dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]


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

    @property
    def method(self) -> bool:
        """Whether it is one of MMDRFuse's own recipes, with section ``method``."""
        return self.name.startswith('mmdr-')

    @property
    def synthetic(self) -> bool:
        """Whether it learns from images with masks instead of pairs, with section ``synthesis``."""
        return self.data is _synthesised

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


def _pairs(folder: Path, config: Config, place: Place) -> PairData:
    _alone(place)
    return load_data(folder, config.patch, config.batch, config.seed)


def _synthesised(folder: Path, config: Config, place: Place) -> PairData:
    _alone(place)
    return load_synthesised(folder, config.patch, config.batch, config.seed, config.synthesis)


def _alone(place: Place) -> None:
    if place.world > 1:
        raise UserError('only mmdr-teacher and mmdr-student run in several processes')


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
            if side < losses.VIF_SIDE:
                raise UserError(
                    f'{name} is {side} pixels; the loss term fidelity needs {losses.VIF_SIDE}: '
                    'choose larger ones, or set weights.fidelity to 0'
                )
    return PairData(patches, validation, data.description)


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
    )


def _teacher(config: Config) -> nn.Module:
    network = MMDRFuseTeacher()
    maximum = config.method.start == 'maximum'
    return network.start_at_maximum(config.start_noise) if maximum else network


def _student(config: Config) -> nn.Module:
    network = MMDRFuse(config.method.output, config.method.widths)
    if config.method.start == 'maximum' and len(config.method.widths) == 1:
        return network.start_at_maximum(config.start_noise)
    return network


SMALL = (
    "The network sees 5x5 pixels: it can't tell noise or misalignment from detail, and shows both."
)
UNSEEN = (
    'It was trained on photographs that were blurred, over-exposed and darkened in part, never on '
    'thermal images: it takes what is sharper and better exposed, not what is warm.'
)
SIMPLE: Terms = {
    'intensity': losses.intensity,
    'gradient': losses.gradient,
    'structure': losses.structure,
}

JUDGED = ('intensity', 'gradient', 'perception', *OURS)
MMDR_TERMS = (*JUDGED, 'distillation', 'refresh')
STATISTICS = ('wins_ssim', 'wins_gmsd', 'gap_ssim', 'gap_gmsd')

RECIPES = {
    recipe.name: recipe
    for recipe in (
        _simple('mmdrfuse', "MMDRFuse's student in the paper's form, tanh output", 'tanh'),
        _simple(
            'mmdrfuse_plus',
            "MMDRFuse's student with a linear, clipped output, trained from the pixel maximum",
            'linear',
        ),
        *(
            Recipe(
                name,
                description,
                network,
                MMDR_TERMS,
                JUDGED,
                STATISTICS,
                _patches,
                MMDRObjective,
                SMALL,
            )
            for name, description, network in (
                ('mmdr-teacher', "MMDRFuse's teacher, by the paper's method", _teacher),
                ('mmdr-student', "MMDRFuse's student, by the paper's method", _student),
            )
        ),
        _known(
            'mobilefuse', 'MobileFuse: blends by a mask, trained on the blended image', MobileFuse
        ),
        _known(
            'mobilefuse-blending-only',
            'MobileFuse trained on its mask instead of the image',
            MobileFuse,
            'mask',
        ),
        _known(
            'mobilefuse-generative-only',
            'MobileFuse painting the image instead of blending',
            lambda: MobileFuse('paint'),
        ),
        _known('ifcnn', 'IFCNN with elementwise maximum, a baseline', IFCNN),
        Recipe(
            'mobilefuse-thermal',
            'MobileFuse fine-tuned on registered thermal pairs, without a known result',
            lambda config: MobileFuse(),
            tuple(SIMPLE),
            tuple(SIMPLE),
            (),
            _pairs,
            lambda config, crops, setup: SimpleObjective(SIMPLE, config, crops),
            'It takes what is brighter or has the steeper edges, be it warm or not.',
            'mobilefuse',
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """A recipe by name. Raises UserError."""
    if name not in RECIPES:
        raise UserError(f'there is no recipe {name!r}; known are {", ".join(RECIPES)} and detector')
    return RECIPES[name]
