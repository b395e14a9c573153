"""From messages to pairs to fused images: what the node does live and a bag goes through offline.

`Receiver.take` is the receiving half: check, observe, pair. `fuse_pair` is the computing half.
The node runs them in two threads, replay and evaluation one after the other; the pixels agree.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import images
from .pairing import Pair, Pairer
from .pipeline import Pipeline, ThermalFrame
from .stages import no_laps


@dataclass
class Frame:
    """A message on its way to being fused.

    message: sensor_msgs Image or CompressedImage. arrival: when it came, in the caller's clock.
    thermal: what was decided about a thermal frame; None while nobody wants images.
    age: seconds from its stamp to its arrival. observing: seconds that the thermal stage took on
    arrival.
    """

    message: Any
    arrival: float
    thermal: ThermalFrame | None = None
    age: float = 0.0
    observing: float = 0.0

    @property
    def header(self):
        return self.message.header


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
        if not images.is_compressed(frame.message):
            images.check(frame.message, limit)
        if name == 'thermal' and observe:
            start = time.monotonic()
            counts = images.read_thermal(frame.message, limit)
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


def fuse_pair(pipeline: Pipeline, values: Mapping[str, Any], pair: Pair) -> np.ndarray | None:
    """The fused image of a pair of observed `Frame`s; None if ``stall.policy`` holds it back.

    Returns uint8 of the visible image's shape. Raises UserError.
    """
    return fuse_pair_and_mask(pipeline, values, pair)[0]


def fuse_pair_and_mask(
    pipeline: Pipeline,
    values: Mapping[str, Any],
    pair: Pair,
    lap: Callable[[str], None] = no_laps,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """As `fuse_pair`, and the mask, uint8 (H, W), where the model has blended by one."""
    visible = images.read_visible(pair.rgb.message, values['input.max_pixels'])
    lap('decode')
    if pair.thermal.thermal.frozen and values['stall.policy'] != 'fuse':
        return (visible if values['stall.policy'] == 'visible' else None), None
    return pipeline.fuse_and_mask(visible, pair.thermal.thermal, lap)


def stamp_of(header) -> int:
    """Nanoseconds of a message header."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
