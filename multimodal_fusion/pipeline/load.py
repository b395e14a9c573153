"""What waits for the fuser, and how long: a pause loses nothing, an overload only the oldest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..parameters import option


@dataclass(frozen=True)
class LoadSettings:
    """How many pairs may wait for the fuser: ``load.*``."""

    queue: int = option(
        4,
        'Pairs that may wait while the fuser is held up; the oldest go first. 1: the newest wins.',
        unit='pairs',
        low=1,
        high=100,
        read_only=True,
    )
    max_age: float = option(
        0.15,
        'Pairs that have waited for longer are dropped once a newer one comes.',
        unit='s',
        low=0.0,
        high=10.0,
        read_only=True,
    )


class Backlog:
    """Items in order, at most ``room``, none that is older than ``max_age`` (s) beside a newer."""

    def __init__(self, room: int = 1, max_age: float = 0.0):
        self.room, self.max_age = room, max_age
        self._items: deque[tuple[float, Any]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Any, now: float, over: Callable[[Any], bool] | None = None) -> int:
        """Leave an item; returns how many had to go for it. over: which of those that wait it
        stands for as well; they go, and are not counted."""
        if over is not None:
            self._items = deque(held for held in self._items if not over(held[1]))
        self._items.append((now, item))
        dropped = 0
        while len(self._items) > self.room or (
            len(self._items) > 1 and now - self._items[0][0] > self.max_age
        ):
            self._items.popleft()
            dropped += 1
        return dropped

    def take(self) -> Any:
        """The oldest; None if there is none."""
        return self._items.popleft()[1] if self._items else None
