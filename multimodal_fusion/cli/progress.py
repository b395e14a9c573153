"""One progress bar for all commands: quiet when nobody watches."""

import sys
from collections.abc import Iterable
from typing import Any


def progress(items: Iterable, total: int | None = None, unit: str = 'images') -> Any:
    """Iterate with a bar on standard error if that is a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:  # a robot can do without
        return items
    return tqdm(items, total=total, unit=f' {unit}', disable=not sys.stderr.isatty())
