"""A thermal camera that calibrates itself closes its shutter and repeats one image for seconds."""

import numpy as np

POLICIES = ('fuse', 'visible', 'drop')


class FreezeDetector:
    """Tells when a camera repeats its last image, byte for byte.

    after: seconds of repetition, by stamp, from which on the stream counts as frozen. Real sensors
    never repeat an image by chance: their noise differs.
    """

    def __init__(self, after: float):
        self.after = after
        self._frame: np.ndarray | None = None
        self._since = 0

    def update(self, frame: np.ndarray, stamp: int) -> bool:
        """Whether the stream is frozen at this frame. stamp: nanoseconds."""
        repeated = (
            self._frame is not None
            and stamp >= self._since
            and frame.dtype == self._frame.dtype
            and np.array_equal(frame, self._frame)
        )
        if not repeated:
            self._frame, self._since = frame, stamp
        return repeated and (stamp - self._since) * 1e-9 >= self.after
