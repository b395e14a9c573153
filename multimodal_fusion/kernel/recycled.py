"""Images that are used again once nobody holds them, so that a frame allocates nothing."""

import sys
import threading

import numpy as np

_MOST = 4  # more images than that in the hands of others at a time: then they are fresh


class Recycled:
    """Gives out uint8 arrays. One is given out again only when no reference to it is left: not the
    array, no view, no memoryview, no tensor on it. Any thread may call it."""

    def __init__(self):
        self._kept: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of this shape with any content, that nobody else holds."""
        with self._lock:
            if self._kept and self._kept[0].shape != shape:
                self._kept.clear()
            for i in range(len(self._kept)):
                if _references(self._kept, i) == _UNUSED:
                    return self._kept[i]
            array = np.empty(shape, np.uint8)
            if len(self._kept) < _MOST and _UNUSED:
                self._kept.append(array)
            return array


def _references(arrays: list[np.ndarray], i: int) -> int:
    return sys.getrefcount(arrays[i])


def _unused() -> int:
    """What `_references` says of an array that only its list holds; 0 where that is not reliable,
    in a Python without the global lock."""
    locked = getattr(sys, '_is_gil_enabled', lambda: True)()
    return _references([np.empty(1, np.uint8)], 0) if locked else 0


_UNUSED = _unused()
