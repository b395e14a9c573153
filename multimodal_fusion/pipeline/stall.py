"""Streams that stop or stand still: a thermal camera that calibrates itself closes its shutter and
repeats one image for seconds; a cable or a driver fails."""

from dataclasses import dataclass

import numpy as np

from ..parameters import option

ACTS = ('hold', 'pass', 'drop')
_OLD = {'none': '', 'fuse': 'hold', 'visible': 'pass', 'drop': 'drop'}


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
        'A thermal image repeated for this long, while RGB changes, counts as frozen (shutter '
        'calibration).',
        unit='s',
        low=0.0,
        high=60.0,
    )
    timeout: float = option(
        1.0,
        'A stream without a frame for this long is silent.',
        unit='s',
        low=0.1,
        high=60.0,
    )
    thermal: str = option(
        'hold',
        'While thermal is silent or frozen. hold: its last image is fused on, for stall.hold_for, '
        'then as pass; pass: the RGB image goes out; drop: nothing does.',
        choices=ACTS,
    )
    rgb: str = option(
        'pass',
        'While RGB is silent: the same, with the thermal image for pass.',
        choices=ACTS,
    )
    hold_for: float = option(
        2.0,
        'How long hold fuses on, at most.',
        unit='s',
        low=0.0,
        high=3600.0,
    )
    policy: str = option(
        'none',
        'Old, goes with 0.2.0: both streams at once, fuse (hold), visible (pass) or drop.',
        choices=tuple(_OLD),
    )

    def act(self, name: str, stalled: float) -> str:
        """One of `ACTS` for a stream that has been silent or frozen for so many seconds, those
        counted from when it began to count as such."""
        wanted = self.wanted(name)
        return 'pass' if wanted == 'hold' and stalled > self.hold_for else wanted

    def wanted(self, name: str) -> str:
        """What a user set for a stream."""
        return _OLD[self.policy] or getattr(self, name)

    @property
    def notice(self) -> str:
        """A sentence where the old parameter is used."""
        if self.policy == 'none':
            return ''
        new = _OLD[self.policy]
        return (
            f'stall.policy goes with 0.2.0: for {self.policy}, set stall.thermal and stall.rgb to '
            f'{new}'
        )


class FreezeDetector:
    """Tells when a camera repeats its last image, byte for byte, while another one goes on.

    after: seconds of repetition, by stamp, from which on the stream counts as frozen. Real sensors
    never repeat an image by chance: their noise differs. Pictures that are published again and
    again, and simulated cameras without noise, repeat in both streams at once: `witness`.
    """

    def __init__(self, after: float):
        self.after = after
        self._frame: np.ndarray | None = None
        self._since = 0
        self._witness: np.ndarray | None = None
        self._repeated = False
        self._moved = False  # the witness, since the image first came

    def witness(self, pixels: np.ndarray) -> None:
        """An image of the other stream, as bytes of any shape."""
        if self._repeated and not self._moved and self._witness is not None:
            self._moved = not np.array_equal(pixels, self._witness)
        self._witness = pixels

    def update(self, frame: np.ndarray, stamp: int) -> float:
        """Seconds for which the stream has been frozen at this frame, counted from its first image
        that came again; 0.0 if it isn't. stamp: nanoseconds."""
        self._repeated = (
            self._frame is not None
            and stamp >= self._since
            and frame.dtype == self._frame.dtype
            and np.array_equal(frame, self._frame)
        )
        if not self._repeated:
            self._frame, self._since, self._moved = frame, stamp, False
            return 0.0
        still = (stamp - self._since) * 1e-9
        alive = self._moved or self._witness is None
        return max(still, 1e-9) if alive and still >= self.after else 0.0
