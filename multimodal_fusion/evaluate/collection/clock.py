"""Where the time of a task goes."""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...pipeline.offline import Step
from ..contenders import Contender
from ..measure import Meter, Sources

_TIMED = 5  # images of a task whose time of fusion is told


class Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.fusing: dict[str, list[float]] = defaultdict(list)  # seconds of each image
        self.bytes = 0
        self._start = time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - began

    def reading(self, steps: Iterator[Step]) -> Iterator[Step]:
        while True:
            start = time.perf_counter()
            step = next(steps, None)
            self.seconds['read and pair'] += time.perf_counter() - start
            if step is None:
                return
            yield step

    def cost(self, frames: int) -> dict[str, Any]:
        return {
            'fuse ms': {n: [round(1e3 * s, 3) for s in v[:_TIMED]] for n, v in self.fusing.items()},
            **{f'{stage} s': seconds for stage, seconds in self.seconds.items()},
            'total s': time.perf_counter() - self._start,
            'frames': frames,
            'MB': self.bytes * 1e-6,
            'peak MB': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


class TimedMeter(Meter):
    """A meter that tells fusing from the rest."""

    clock: Clock

    def fuse(self, contender: Contender, stem: str, sources: Sources) -> np.ndarray:
        loaded, start = contender.name in self._loaded, time.perf_counter()
        with self.clock('fuse'):
            fused = super().fuse(contender, stem, sources)
        if loaded:
            self.clock.fusing[contender.name].append(time.perf_counter() - start)
        return fused
