"""A recipe: all that the training loop needs to know of what it trains."""

from ...errors import UserError
from ...networks.ifcnn import IFCNN
from ...networks.mobilefuse import MobileFuse
from .fusion import SIMPLE, SMALL, SimpleObjective, _pairs, _simple
from .method import Recipe
from .mmdrfuse import JUDGED, MMDR_TERMS, STATISTICS, MMDRObjective, _patches, _student, _teacher
from .mobilefuse import _known

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
