"""Streams that stop or stand still: a thermal camera that calibrates itself closes its shutter and
repeats one image for seconds; a cable or a driver fails."""

from dataclasses import dataclass

import numpy as np

from ..parameters import option

POLICIES = ('fuse', 'visible', 'drop')


@dataclass(frozen=True)
class StallSettings:
    """What to say and do when a stream stops or stands still: ``stall.*``."""

    warn_after: float = option(
        5.0,
        'Without a pair for this long, the node says what is wrong with which topic.',
        unit='s',
        low=0.5,
        high=3600.0,
    )
    freeze_after: float = option(
        0.3,
        'A thermal image repeated for this long counts as frozen (shutter calibration).',
        unit='s',
        low=0.0,
        high=60.0,
    )
    timeout: float = option(
        1.0,
        'A stream without a frame for this long is silent: the other one goes out alone.',
        unit='s',
        low=0.1,
        high=60.0,
    )
    policy: str = option(
        'fuse',
        'While thermal is frozen: fuse the frozen image, publish the RGB image, or nothing. While '
        'a stream is silent: drop publishes nothing, the others the living image.',
        choices=POLICIES,
    )


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
