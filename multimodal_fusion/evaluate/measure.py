"""Metrics of every contender on every pair of images, in parallel and from the cache."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from ..errors import UserError
from ..host.workers import run_in_order
from ..io.datasets import PairFiles
from ..io.image_codec import MAX_PIXELS
from ..io.image_files import read_thermal, read_visible
from ..io.pixels import luma
from ..pipeline.preparation import Preparation
from .cache import Cache
from .contenders import Contender
from .metrics import SourcePair, Triple, evaluate, own_metric

Row = dict[str, dict[str, float]]
"""{contender: {metric: value}} of one image."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how images are read. Picklable."""

    contenders: tuple[Contender, ...]
    definition: str
    metrics: tuple[str, ...]
    preparation: Preparation
    cache: Path | None = None
    max_pixels: int = MAX_PIXELS
    own: tuple[str, ...] = ()  # metrics from files, to be known in every process


@dataclass(frozen=True)
class Result:
    """One image: its size and what each contender scored. message: why it was left out."""

    stem: str
    shape: tuple[int, int]
    values: Row
    message: str = ''


class Sources:
    """A decoded pair. visible: uint8 (H, W, 3) or (H, W). thermal: uint8 (H, W), white-hot."""

    def __init__(self, visible: np.ndarray, thermal: np.ndarray):
        if visible.shape[:2] != thermal.shape:
            raise UserError(
                f'the visible image is {visible.shape[1]}x{visible.shape[0]}, the thermal one '
                f'{thermal.shape[1]}x{thermal.shape[0]}: register them, or say --registration '
                'resize if both see the same field of view'
            )
        self.visible, self.thermal = visible, thermal

    @classmethod
    def read(cls, pair: PairFiles, plan: Plan) -> 'Sources':
        visible = read_visible(pair.visible, plan.max_pixels)
        counts = read_thermal(pair.thermal, plan.max_pixels)
        return cls(visible, plan.preparation.still(counts, visible.shape[:2]))

    @cached_property
    def pair(self) -> SourcePair:
        return SourcePair(self.thermal, luma(self.visible))

    @cached_property
    def digest(self) -> str:
        content = self.visible.tobytes() + self.thermal.tobytes()
        return hashlib.sha256(f'{self.visible.shape}'.encode() + content).hexdigest()


class Meter:
    """Measures pairs one by one; every process has its own, with the contenders loaded."""

    def __init__(self, plan: Plan):
        cv2.setNumThreads(1)
        for text in plan.own:
            own_metric(text)
        self.plan, self.cache = plan, Cache(None if plan.own else plan.cache)
        self._loaded = {}

    def fuse(self, contender: Contender, stem: str, sources: Sources) -> np.ndarray:
        """The contender's picture of a pair, loaded on its first use."""
        if contender.name not in self._loaded:
            self._loaded[contender.name] = contender.loader()
        return self._loaded[contender.name](stem, sources.visible, sources.thermal)

    def row(self, stem: str, sources: Sources) -> Row:
        """The metrics of every contender on a pair. Raises UserError."""
        plan, found = self.plan, {}
        for contender in plan.contenders:
            key = self.cache.key(
                sources.digest, contender.identity, plan.definition, ','.join(plan.metrics),
                stem if contender.source == 'images' else '',
            )  # fmt: skip
            values = self.cache.get(key)
            if values is None:
                fused = luma(self.fuse(contender, stem, sources))
                try:
                    values = evaluate(Triple(sources.pair, fused), plan.definition, plan.metrics)
                except ValueError as error:
                    raise UserError(str(error)) from error
                self.cache.put(key, values)
            found[contender.name] = values
        return found

    def file(self, pair: PairFiles) -> Result:
        """A pair of files; what cannot be measured is told in the result, not raised."""
        try:
            sources = Sources.read(pair, self.plan)
            return Result(pair.stem, sources.thermal.shape, self.row(pair.stem, sources))
        except UserError as error:
            return Result(pair.stem, (0, 0), {}, str(error))


def measure_files(pairs: Iterable[PairFiles], plan: Plan, jobs: int) -> Iterator[Result]:
    """Results in the order of the pairs, from ``jobs`` processes. The order decides nothing else:
    each image is measured on its own, so one process and many give the same numbers."""
    if jobs == 1:
        yield from map(Meter(plan).file, pairs)
    else:
        yield from run_in_order(jobs, _file, pairs, plan)


def _file(pair: PairFiles, plan: Plan) -> Result:
    return meter_of(plan).file(pair)


_M = TypeVar('_M', bound=Meter)
_meters = threading.local()


def meter_of(plan: Plan, kind: type[_M] = Meter) -> _M:  # type: ignore[assignment]
    """One a thread, as long as the plan is the same: fusers are loaded once."""
    if getattr(_meters, 'plan', None) != plan or type(_meters.meter) is not kind:
        _meters.plan, _meters.meter = plan, kind(plan)
    return _meters.meter
