"""The methods by name: ours, and those of installed packages."""

import difflib
import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from ...errors import UserError, quoted, told

if TYPE_CHECKING:
    from .method import Method

GROUP = 'multimodal_fusion.methods'
METHODS = {
    'fusion': 'fusion:Fusion',
    'mmdrfuse': 'mmdrfuse:MMDRFuseMethod',
    'mobilefuse': 'mobilefuse:MobileFuseMethod',
    'detector': 'detector:DetectorMethod',
    'textprior': 'textprior:TextPriorMethod',
    'task_network': 'task_network:TaskNetwork',
    'loss_search': 'loss_search:LossSearch',
}
"""{name: file:class of this package}; loaded when somebody asks."""


def find_method(name: str) -> type['Method']:
    """A method by name. Raises UserError."""
    if name in METHODS:
        file, _, kind = METHODS[name].partition(':')
        return getattr(importlib.import_module(f'.{file}', __package__), kind)
    others = {point.name: point for point in entry_points(group=GROUP)}
    if name not in others:
        known = [*METHODS, *others]
        near = difflib.get_close_matches(name, known, 1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        raise UserError(f'there is no method {quoted(name)}; known are {", ".join(known)}{hint}')
    try:
        return others[name].load()
    except Exception as error:  # whatever somebody else's package raises
        raise UserError(f'the method {name} cannot be loaded: {told(error)}') from error
