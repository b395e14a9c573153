"""From messages to pairs to fused images: what the node does live and a bag goes through offline.

`Receiver.take` is the receiving half: check, observe, pair. `fuse_pair` is the computing half.
The node runs them in two threads, replay and evaluation one after the other; the pixels agree.
"""

import time

import numpy as np

from ..io import messages
from .frames import Frame
from .pairing import Pair, Pairer, SyncSettings
from .pipeline import Pipeline
from .settings import Settings


class Receiver:
    """Checks and pairs messages. pairer: by default this package's own."""

    def __init__(self, settings: Settings, pipeline: Pipeline, pairer=None):
        self.settings, self.pipeline = settings, pipeline
        self.pairer = pairer or make_pairer(settings.sync)

    def take(self, name: str, frame: Frame, stamp: int, observe: bool = True) -> list[Pair]:
        """Take a frame of stream ``rgb`` or ``thermal``; returns the pairs it completes.

        stamp: nanoseconds. observe: whether thermal frames are decoded and looked at.
        Raises BadImage for a message that cannot be used.
        """
        limit = self.settings.input.max_pixels
        if not messages.is_compressed(frame.message):
            messages.check(frame.message, limit)
        if name == 'rgb' and observe:
            self.pipeline.freeze.witness(np.frombuffer(frame.message.data, np.uint8))
        if name == 'thermal' and observe:
            start = time.monotonic()
            counts = messages.read_thermal(frame.message, limit)
            frame.thermal = self.pipeline.observe(counts, stamp)
            frame.observing = time.monotonic() - start
        return self.pairer.push(name, stamp, frame, len(frame.message.data))


def make_pairer(sync: SyncSettings) -> Pairer:
    """This package's pairer with the ``sync.*`` parameters."""
    return Pairer(
        round(sync.slop * 1e9),
        round(sync.thermal_time_offset * 1e9),
        sync.queue_size,
        round(sync.reset_after * 1e9),
        round(sync.max_wait * 1e9),
        sync.max_bytes,
    )
