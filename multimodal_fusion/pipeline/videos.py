"""Two videos, frame by frame: what was taken at one time is fused, whatever the rates."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ..io.pixels import luma
from ..io.video import Video
from .frames import ThermalFrame
from .pairing import Counters, Pair
from .pipeline import Pipeline
from .receiver import make_pairer
from .settings import Settings


def by_time(
    visible: Video, thermal: Video, settings: Settings, pipeline: Pipeline, counters: Counters
) -> Iterator[tuple[np.ndarray, ThermalFrame]]:
    """Frames that belong together by the node's rule, with the container's times as stamps.

    counters: filled with what became of the frames.
    """
    pairer = make_pairer(replace(settings.sync, max_wait=600.0, max_bytes=sys.maxsize))
    pairer.counters = counters

    def tagged(video: Video, name: str) -> Iterator[tuple[int, str, np.ndarray]]:
        return ((time, name, frame) for time, frame in video)

    merged = heapq.merge(
        tagged(visible, 'rgb'), tagged(thermal, 'thermal'), key=lambda item: item[:2]
    )
    for time, name, frame in merged:
        what = frame if name == 'rgb' else pipeline.observe(counts(frame), time)
        yield from _frames(pairer.push(name, time, what))
    yield from _frames(pairer.finish())


def by_index(
    visible: Video, thermal: Video, pipeline: Pipeline, counters: Counters
) -> Iterator[tuple[np.ndarray, ThermalFrame]]:
    """Frame n with frame n, to the end of the shorter video."""
    for (time, colour), (_, frame) in zip(visible, thermal, strict=False):
        counters.paired += 1
        yield colour, pipeline.observe(counts(frame), time)
    for name, video in (('rgb', visible), ('thermal', thermal)):
        counters.unpaired[name] = max(video.frames, video.read) - counters.paired


def counts(frame: np.ndarray) -> np.ndarray:
    """A thermal video's frame as counts, (H, W)."""
    return luma(frame) if frame.ndim == 3 else frame


def _frames(pairs: Iterable[Pair]) -> Iterator[tuple[np.ndarray, ThermalFrame]]:
    for pair in pairs:
        yield pair.rgb, pair.thermal
