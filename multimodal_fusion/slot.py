"""The hand-over between the thread that receives and the one that computes."""

import threading
from typing import Any


class Slot:
    """Holds one item: the newest wins, and what it replaces is reported."""

    def __init__(self):
        self._changed = threading.Condition()
        self._item: Any = None
        self._closed = False

    def put(self, item: Any) -> bool:
        """Leave an item; returns whether it replaced one that nobody had taken."""
        with self._changed:
            replaced, self._item = self._item is not None, item
            self._changed.notify()
            return replaced

    def take(self) -> Any:
        """Wait for the item and take it; None once the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            item, self._item = (None if self._closed else self._item), None
            return item

    def close(self) -> None:
        """Wake the taker for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
