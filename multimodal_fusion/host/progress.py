"""One progress bar for all commands: quiet when nobody watches."""

import sys
import threading
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
    if not hasattr(tqdm, '_lock'):  # its own is shared by processes, and left by one that is ended
        tqdm.set_lock(threading.RLock())
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
