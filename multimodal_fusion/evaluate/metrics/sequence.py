"""Metrics of a sequence of frames: flicker."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from .shared import check_image

NAMES = ('thermal', 'visible', 'fused')
BLOCK = 8


def block_means(frame: np.ndarray, block: int) -> np.ndarray:
    """The means of the whole block x block squares of a frame, float64."""
    block = min(block, *frame.shape)
    down, across = frame.shape[0] // block, frame.shape[1] // block
    whole = frame[: down * block, : across * block]
    sums = whole.reshape(down, block, across, block).sum(axis=(1, 3), dtype=np.int64)
    return sums / (block * block)


class Flicker:
    """`flicker`, one frame at a time. block: side of the squares whose means are compared. total,
    steps: the sum of which `value` is the mean, and over how many."""

    def __init__(self, block: int = BLOCK):
        if block < 1:
            raise ValueError(f'block: expected a side of 1 pixel or more, got {block}; 8 is usual')
        self._block = block
        self.total, self.steps = 0.0, 0
        self._shape: tuple[int, int] | None = None
        self._before: list[np.ndarray] | None = None

    def add(self, thermal: np.ndarray, visible: np.ndarray, fused: np.ndarray) -> None:
        """Take the next frames: uint8 (H, W), of the size of the first ones."""
        now = []
        for name, frame in zip(NAMES, (thermal, visible, fused), strict=True):
            self._shape = self._shape or check_image(frame, name).shape
            if check_image(frame, name).shape != self._shape:
                raise ValueError(
                    f'{name} and the first thermal frame: expected the same height and width, got '
                    f'{frame.shape} and {self._shape}; cut the sequence where the size changes'
                )
            now.append(block_means(frame, self._block))
        if self._before is not None:
            pairs = zip(now, self._before, strict=True)
            thermal_, visible_, fused_ = (np.abs(new - old) for new, old in pairs)
            self.total += float(np.maximum(fused_ - np.maximum(thermal_, visible_), 0).mean())
            self.steps += 1
        self._before = now

    def interrupt(self) -> None:
        """Forget the last frames: the next ones do not follow on them."""
        self._before, self._shape = None, None

    @property
    def value(self) -> float:
        """The flicker so far; NaN before there are two frames in a row."""
        return self.total / self.steps if self.steps else math.nan


def flicker(
    thermal: Iterable[np.ndarray],
    visible: Iterable[np.ndarray],
    fused: Iterable[np.ndarray],
    block: int = BLOCK,
) -> float:
    """By how many grey levels F changes from frame to frame without A or B changing so much.

    flicker = mean over blocks and steps of max(0, |dF| - max(|dA|, |dB|)), d being the change
    of a block's mean from one frame to the next; blocks of 8x8 pixels, a rest at the right and
    the bottom is left out.  Frames are uint8, (H, W), all of one size, as many of each kind; at
    least two.  Range 0..255, lower is better.

    The means make noise small, so that what counts is brightness: a gain or an offset that moves
    with each frame (min-max stretching) scores several times a fixed one.  A fixed gain above 1
    still scores its amplified rest of noise.  With block=1, noise counts in full, and per-pixel
    average, maximum, minimum and choice of a source score exactly 0.

    The definition is this package's own.  Frames are read one at a time, generators are welcome.
    """
    streams, meter = [iter(frames) for frames in (thermal, visible, fused)], Flicker(block)
    while True:
        frames = [next(stream, None) for stream in streams]
        missing = [name for name, frame in zip(NAMES, frames, strict=True) if frame is None]
        if len(missing) == 3:
            break
        if missing:
            raise ValueError(
                'flicker: expected as many thermal, visible and fused frames, got fewer '
                f'{" and ".join(missing)} frames; pass the frames of the same instants'
            )
        meter.add(*frames)
    if math.isnan(meter.value):
        raise ValueError(
            'flicker: expected at least two frames of each kind, got fewer; '
            'pass a sequence, one image has no flicker'
        )
    return meter.value
