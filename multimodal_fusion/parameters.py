"""A parameter: its default, its range, its unit, and what it is for.

Each stage owns a frozen dataclass whose fields are made by `option`; the names that users see are
those of the group and the field, such as ``sync.slop``.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from .errors import UserError, quoted


@dataclass(frozen=True)
class Parameter:
    """One parameter. Its type is that of ``default``; ``low`` and ``high`` are inclusive."""

    name: str
    default: Any
    description: str
    unit: str = ''
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False

    def range_text(self) -> str:
        if self.choices:
            return ' | '.join(self.choices)
        if self.low is not None:
            return f'{self.low:g} to {self.high:g}'
        return ''

    def check(self, value: Any) -> Any:
        """The value in the parameter's type. Raises UserError if it does not fit."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if kind is list:
            return self._numbers(value)
        if type(value) is not kind:
            raise UserError(
                f'parameter {self.name} must be {_KINDS[kind]}, got {quoted(value)} '
                f'({_KINDS.get(type(value), type(value).__name__)})'
            )
        if self.choices and value not in self.choices:
            raise UserError(
                f'parameter {self.name} is {quoted(value)}; use one of {", ".join(self.choices)}'
            )
        if self.low is not None and not self.low <= value <= self.high:
            raise UserError(
                f'parameter {self.name} is {value:g}; it must be from {self.low:g} to '
                f'{self.high:g}{" " + self.unit if self.unit else ""}'
            )
        return value

    def _numbers(self, value: Any) -> list[float]:
        try:
            return [float(item) for item in value]
        except (TypeError, ValueError):
            raise UserError(
                f'parameter {self.name} must be a list of numbers, got {quoted(value)}'
            ) from None


_KINDS = {
    bool: 'a boolean',
    int: 'an integer',
    float: 'a number',
    str: 'a string',
    list: 'a list of numbers',
}


def option(
    default: Any,
    description: str,
    *,
    unit: str = '',
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
) -> Any:
    """A dataclass field that is also a parameter; see `Parameter` for what the words mean."""
    facts = {
        'default': default,
        'description': description,
        'unit': unit,
        'low': low,
        'high': high,
        'choices': choices,
        'read_only': read_only,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata=facts)
    return dataclasses.field(default=default, metadata=facts)


def parameters_of(group: str, settings: type) -> list[Parameter]:
    """The parameters that the fields of a dataclass are, in their order."""
    return [
        Parameter(f'{group}.{field.name}', **field.metadata)
        for field in dataclasses.fields(settings)
    ]
