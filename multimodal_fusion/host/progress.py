"""One progress bar for all commands: quiet when nobody watches."""

import sys
from collections.abc import Iterable
from typing import Any


def progress(
    items: Iterable, total: int | None = None, unit: str = 'images', inner: bool = False
) -> Any:
    """Iterate with a bar on standard error if that is a terminal.

    inner: within what has a bar of its own: shown after two seconds, and gone at the end.
    """
    try:
        from tqdm import tqdm
    except ImportError:  # a robot can do without
        return items
    return tqdm(
        items,
        total=total,
        unit=f' {unit}',
        disable=not sys.stderr.isatty(),
        delay=2.0 if inner else 0.0,
        leave=not inner,
    )


def warn(notice: str) -> None:
    """A sentence for the user that stops nothing; nothing if it is empty."""
    if notice:
        print(f'warning: {notice}', file=sys.stderr)
