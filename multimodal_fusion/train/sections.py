"""The sections of a configuration, checked."""

import contextlib
import dataclasses
import difflib
import math

from ..errors import UserError


def complete(kind: type, content: object, source: str) -> dict:
    """A mapping that names exactly the fields of a dataclass. Raises UserError."""
    if not isinstance(content, dict):
        raise UserError(f'{source} must be a list of "key: value" lines')
    fields = [field.name for field in dataclasses.fields(kind)]
    optional = [f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING]
    for key in content:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise UserError(f'{source}: unknown key {key!r}{hint}')
    missing = [key for key in fields if key not in content and key not in optional]
    if missing:
        raise UserError(f'{source}: missing {", ".join(missing)}')
    return content


def number(name: str, value: object, kind: type, least: float) -> int | float:
    if kind is float and isinstance(value, str):
        with contextlib.suppress(ValueError):  # YAML 1.1 takes 1e-3 for text
            value = float(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = whole or (kind is float and isinstance(value, float) and math.isfinite(value))
    if not fits or value < least:
        what = 'a whole number' if kind is int else 'a number'
        raise UserError(f'{name} must be {what} of at least {least:g}, got {value!r}')
    return kind(value)
