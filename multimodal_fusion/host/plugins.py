"""Networks, losses, terms and metrics of one's own: ``FILE.py:NAME`` or ``package.module:NAME``."""

import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, quoted, told


def named(text: str, known: Mapping[str, Any], what: str) -> Any:
    """What a configuration names: one of ``known``, or ``NAME`` of a file or an installed module.

    A file's or a module's code is run. Raises UserError.
    """
    if text in known:
        return known[text]
    source, colon, name = text.rpartition(':')
    if not colon:
        near = difflib.get_close_matches(text, known, 1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        raise UserError(
            f'there is no {what} {quoted(text)}; known are {", ".join(known)}, or give FILE.py:NAME'
            f'{hint}'
        )
    try:
        module = _file(Path(source)) if source.endswith('.py') else importlib.import_module(source)
    except Exception as error:  # whatever the user's code raises
        raise UserError(
            f'the {what} {text} cannot be loaded: {type(error).__name__}: {told(error)}'
        ) from error
    if not hasattr(module, name):
        some = ', '.join(n for n in vars(module) if not n.startswith('_'))[:200]
        raise UserError(f'{source} has no {name!r}; it has {some}')
    return getattr(module, name)


def _file(path: Path):
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist')
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
