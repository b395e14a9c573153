"""From messages to pairs to fused images: what the node does live and a bag goes through offline.

`Receiver.take` is the receiving half: check, observe, pair. `fuse_pair` is the computing half.
The node runs them in two threads, replay and evaluation one after the other; the pixels agree.
"""

import time
from collections.abc import Mapping
from typing import Any

from ..io import messages
from .frames import Frame
from .pairing import Pair, Pairer
from .pipeline import Pipeline


class Receiver:
    """Checks and pairs messages. values: parameters. pairer: by default this package's own."""

    def __init__(self, values: Mapping[str, Any], pipeline: Pipeline, pairer=None):
        self.values, self.pipeline = values, pipeline
        self.pairer = pairer or make_pairer(values)

    def take(self, name: str, frame: Frame, stamp: int, observe: bool = True) -> list[Pair]:
        """Take a frame of stream ``rgb`` or ``thermal``; returns the pairs it completes.

        stamp: nanoseconds. observe: whether thermal frames are decoded and looked at.
        Raises BadImage for a message that cannot be used.
        """
        limit = self.values['input.max_pixels']
        if not messages.is_compressed(frame.message):
            messages.check(frame.message, limit)
        if name == 'thermal' and observe:
            start = time.monotonic()
            counts = messages.read_thermal(frame.message, limit)
            frame.thermal = self.pipeline.observe(counts, stamp)
            frame.observing = time.monotonic() - start
        return self.pairer.push(name, stamp, frame)


def make_pairer(values: Mapping[str, Any]) -> Pairer:
    """This package's pairer with the ``sync.*`` parameters."""
    return Pairer(
        round(values['sync.slop'] * 1e9),
        round(values['sync.thermal_time_offset'] * 1e9),
        values['sync.queue_size'],
        round(values['sync.reset_after'] * 1e9),
    )
