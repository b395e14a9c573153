"""The hand-over between the thread that receives and the one that computes."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ..pipeline.load import Backlog


class Slot:
    """Holds what waits, by default one item, the newest; what had to go is reported.

    Of two bare locks: a `threading.Condition` takes several times as long to wake its waiter up.
    """

    def __init__(self, backlog: Backlog | None = None):
        self._lock = threading.Lock()
        self._full = threading.Lock()  # free while there is something to take, or all is over
        self._full.acquire()
        self._backlog = backlog or Backlog()
        self.closed = False

    def __len__(self) -> int:
        """How many items wait."""
        with self._lock:
            return len(self._backlog)

    def put(self, item: Any, over: Callable[[Any], bool] | None = None) -> int:
        """Leave an item; returns how many that nobody had taken were dropped for it. over: as of
        `Backlog.put`."""
        with self._lock:
            empty = not len(self._backlog)
            dropped = self._backlog.put(item, time.monotonic(), over)
            if empty and not self.closed:
                self._full.release()
            return dropped

    def take(self) -> Any:
        """Wait for an item and take it; None once the slot is closed."""
        self._full.acquire()
        with self._lock:
            if self.closed:
                self._full.release()  # for whoever asks next
                return None
            item = self._backlog.take()
            if len(self._backlog):
                self._full.release()
            return item

    def close(self) -> None:
        """Wake the taker for good."""
        with self._lock:
            if not self.closed and not len(self._backlog):
                self._full.release()
            self.closed = True
