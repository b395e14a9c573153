"""Images that are used again once nobody holds them, so that a frame allocates nothing.

Each lies in an ``array('B')`` of its own, which `images.fill` can hand to a message as it is.
"""

import math
import sys
import threading
from array import array

import numpy as np

_MOST = 4  # more images than that in the hands of others at a time: then they are fresh


class Recycled:
    """Gives out uint8 arrays. One is given out again only when no reference to it is left: not the
    array, no view, no message with its buffer. Any thread may call it."""

    def __init__(self):
        self._kept: list[array] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of this shape with any content, that nobody else holds."""
        size = math.prod(shape)
        with self._lock:
            if self._kept and len(self._kept[0]) != size:
                self._kept.clear()
            for i in range(len(self._kept)):
                if _references(self._kept, i) == _UNUSED:
                    return _image(self._kept[i], shape)
            buffer = array('B', b'\0') * size
            if len(self._kept) < _MOST and _UNUSED:
                self._kept.append(buffer)
            return _image(buffer, shape)


def _image(buffer: array, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(buffer, np.uint8).reshape(shape)


def _references(buffers: list[array], i: int) -> int:
    return sys.getrefcount(buffers[i])


def _unused() -> int:
    """What `_references` says of an array that only its list holds; 0 where that is not reliable,
    in a Python without the global lock."""
    locked = getattr(sys, '_is_gil_enabled', lambda: True)()
    return _references([array('B', b'\0')], 0) if locked else 0


_UNUSED = _unused()
