"""A fusion loss as terms by name with weights: from a configuration, or as a search wrote it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...errors import UserError
from ...host.plugins import named
from ...host.share import share_file
from ...io.text_files import read_yaml
from ...networks.vgg import VGG19
from ..config import unknown
from .fusion import TERMS
from .search_space import PERCEPTUAL, PLAIN, Term, perceptual

Values = dict[str, Tensor]
"""Of terms, by name: scalars."""


def weighted(weights: Mapping[str, float], values: Values) -> Tensor:
    return sum((weights[name] * value for name, value in values.items()), torch.zeros(()))


def read_weights(path: Path) -> dict[str, float]:
    """Of searched_loss.yaml, or a file like it, such as the package's
    config/losses/caf_detection.yaml. Raises UserError."""
    if not path.exists() and str(path).startswith('config/losses/'):
        path = share_file(str(path))
    content = read_yaml(path, 'the loss')
    weights = content.get('weights') if isinstance(content, dict) else None
    numbers = isinstance(weights, dict) and weights.values()
    if not numbers or not all(type(w) in (int, float) and w >= 0 for w in numbers):
        raise UserError(
            f'{path} is no loss: expected "weights:" with a number of at least 0 for each term'
        )
    return weights


def terms_by_name(
    weights: Mapping[str, float], vgg: Callable[[], VGG19], few: int, setting: str
) -> dict[str, Term]:
    """The terms that have a weight. vgg: loads it, where perceptual terms are among them. few: as
    for `search_space.perceptual`. setting: for messages. Raises UserError."""
    terms, known = {}, {**TERMS, **PLAIN, **dict.fromkeys(PERCEPTUAL)}
    for name in weights:
        if name not in known and ':' not in name:
            raise UserError(f'{setting}: {unknown(name, name, known)}')
        terms[name] = named(name, known, 'term')
    used = {name: term for name, term in terms.items() if weights[name]}
    if any(term is None for term in used.values()):
        features = perceptual(vgg(), few)
        used = {name: term or features[name] for name, term in used.items()}
    return used
