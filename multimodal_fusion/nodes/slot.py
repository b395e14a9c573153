"""The hand-over between the thread that receives and the one that computes."""

import threading
from typing import Any


class Slot:
    """Holds one item: the newest wins, and what it replaces is reported.

    Of two bare locks: a `threading.Condition` takes several times as long to wake its waiter up.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._full = threading.Lock()  # free while there is something to take, or all is over
        self._full.acquire()
        self._item: Any = None
        self.closed = False

    def put(self, item: Any) -> bool:
        """Leave an item; returns whether it replaced one that nobody had taken."""
        with self._lock:
            replaced, self._item = self._item is not None, item
            if not replaced and not self.closed:
                self._full.release()
            return replaced

    def take(self) -> Any:
        """Wait for the item and take it; None once the slot is closed."""
        self._full.acquire()
        with self._lock:
            if self.closed:
                self._full.release()  # for whoever asks next
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Wake the taker for good."""
        with self._lock:
            if not self.closed and self._item is None:
                self._full.release()
            self.closed = True
