"""What one stretch of a bag tells: a row of every pair and of every loss, in a Parquet table."""

from __future__ import annotations

import io
import math
import resource
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ...errors import UserError
from ...io.bag import Bag
from ...io.pixels import letterbox, luma, side_by_side
from ...io.places import place
from ...pipeline.offline import Offline, Step
from ...pipeline.pipeline import build
from ...pipeline.settings import Settings
from ..bags import decode
from ..contenders import Contender
from ..measure import Meter, Plan, Sources
from ..metrics import METRICS
from .stretches import SECOND, Stretch

LIGHTS = (('night', 40.0), ('dusk', 90.0), ('day', 256.0))
"""By the mean luma of the visible image, 0 to 255: up to which it is which."""
_SMALL = 240, 320  # pixels of each image in a picture
FIXED = (
    'bag', 'stretch', 'kind', 'stream', 'reason', 'time', 'stamp', 'gap_ms', 'frozen', 'luma',
    'light', 'thermal_p1', 'thermal_p99', 'measured',
)  # fmt: skip
"""Columns beside those of metrics, which are called MODEL:METRIC.

kind: ``pair`` or ``lost``. stream, reason: of what was lost. time: seconds of recording since the
bag began. stamp: nanoseconds, of RGB. thermal_p1, thermal_p99: percentiles of the counts.
"""


@dataclass(frozen=True)
class Measuring:
    """What is measured of every stretch. Picklable. every: seconds between pairs whose metrics are
    taken. rgb, thermal: topics, where they are named. judged: MODEL:METRIC by which the worst pair
    of a stretch is told; empty for none."""

    plan: Plan
    settings: Settings
    every: float
    judged: str
    rgb: str | None = None
    thermal: str | None = None

    def columns(self) -> list[str]:
        plan = self.plan
        return [f'{c.name}:{m}' for c in plan.contenders for m in plan.metrics]


@dataclass
class Part:
    """What a stretch gave. table: Parquet. facts: counts, for the summary. cost: seconds of each
    stage, frames and bytes, which differ from run to run. worst: value and time of the worst
    measured pair, and its picture as a JPEG; None where nothing was measured."""

    table: bytes
    facts: dict[str, Any]
    cost: dict[str, float]
    worst: tuple[float, float, bytes] | None = None


@dataclass
class _Rows:
    columns: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def table(self) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {
            'bag': pa.string(), 'stretch': pa.int32(), 'kind': pa.string(), 'stream': pa.string(),
            'reason': pa.string(), 'stamp': pa.int64(), 'frozen': pa.bool_(), 'light': pa.string(),
            'measured': pa.bool_(),
        }  # fmt: skip
        names = [*FIXED, *self.columns]
        schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in names])
        data = {name: [row.get(name) for row in self.rows] for name in names}
        out = io.BytesIO()
        pq.write_table(pa.table(data, schema=schema), out, compression='zstd')
        return out.getvalue()


_meters = threading.local()


def _meter(measuring: Measuring, clock: _Clock) -> _TimedMeter:
    """One a thread and plan: fusers are loaded once."""
    if getattr(_meters, 'of', None) != measuring:
        _meters.of, _meters.meter = measuring, _TimedMeter(measuring.plan)
    _meters.meter.clock = clock
    return _meters.meter


class _TimedMeter(Meter):
    """A meter that tells fusing from the rest."""

    clock: _Clock

    def fuse(self, contender: Contender, stem: str, sources: Sources) -> np.ndarray:
        with self.clock('fuse'):
            return super().fuse(contender, stem, sources)


def measure_stretch(stretch: Stretch, measuring: Measuring) -> Part:
    """Raises UserError where the bag can't be read any more."""
    clock = _Clock()
    rows = _Rows(measuring.columns())
    facts: dict[str, Any] = {
        'pairs': 0, 'measured': 0, 'unusable': 0, 'frames': Counter(), 'lost': Counter(),
    }  # fmt: skip
    worst: tuple[float, float, Sources] | None = None
    meter, cells = _meter(measuring, clock), set()
    with Bag(place(stretch.bag)) as bag:
        offline = Offline(
            bag, stretch.topics, measuring.settings, build(measuring.settings), stretch.wait,
            (stretch.read_from, stretch.stop),
        )  # fmt: skip
        lost = _Lost(offline)
        for step in clock.reading(offline.steps()):
            since = (step.time - stretch.origin) / SECOND
            inside = step.time >= stretch.start
            clock.bytes += len(step.raw)
            fixed = {'bag': stretch.bag, 'stretch': stretch.number, 'time': since}
            if inside:
                facts['frames'][lost.stream(step)] += 1
            for stream, reason, count in lost.since_last():
                if inside:
                    facts['lost'][f'{stream} {reason}'.strip()] += count
                    row = {**fixed, 'kind': 'lost', 'stream': stream, 'reason': reason}
                    rows.rows += [row] * count
            for pair in step.pairs:
                every = measuring.every
                cell = (step.time, id(pair)) if every <= 0 else int(since // every)
                due = cell not in cells
                cells.add(cell)
                if not inside:
                    continue
                row = {
                    **fixed,
                    'kind': 'pair',
                    'stamp': pair.rgb_stamp,
                    'gap_ms': pair.gap * 1e-6,
                    'frozen': pair.thermal.thermal.frozen > 0,
                    'measured': False,
                }
                rows.rows.append(row)
                facts['pairs'] += 1
                try:
                    with clock('decode'):
                        sources = decode(offline, pair)
                        row |= _exposure(sources, pair.thermal.thermal.counts)
                    if due:
                        values = _measured(meter, sources, f'{since:.3f}')
                        row |= values | {'measured': True}
                        facts['measured'] += 1
                        found = _badness(values, measuring.judged)
                        if found is not None and (worst is None or found > worst[0]):
                            worst = found, since, sources
                except UserError as error:
                    row['reason'] = str(error)[:200]
                    facts['unusable'] += 1
    facts = {k: dict(sorted(v.items())) if isinstance(v, Counter) else v for k, v in facts.items()}
    shown = None
    if worst is not None:
        shown = (*worst[:2], _picture(meter, measuring, worst[2]))
    return Part(rows.table(), facts, clock.cost(facts), shown)


def _measured(meter: _TimedMeter, sources: Sources, stem: str) -> dict[str, float | None]:
    before, start = meter.clock.seconds['fuse'], time.perf_counter()
    found = meter.row(stem, sources)
    took = time.perf_counter() - start
    meter.clock.seconds['metrics'] += took - (meter.clock.seconds['fuse'] - before)
    return {
        f'{name}:{metric}': None if math.isnan(value) else float(value)
        for name, values in found.items()
        for metric, value in values.items()
    }


def _exposure(sources: Sources, counts: np.ndarray) -> dict[str, Any]:
    mean = float(luma(np.ascontiguousarray(sources.visible[::4, ::4])).mean())
    low, high = np.percentile(counts[::8, ::8], (1, 99))
    light = next(name for name, limit in LIGHTS if mean < limit)
    return {'luma': mean, 'light': light, 'thermal_p1': float(low), 'thermal_p99': float(high)}


def _badness(values: dict[str, float | None], judged: str) -> float | None:
    value = values.get(judged)
    if value is None:
        return None
    return -value if METRICS[judged.rpartition(':')[2]].higher_is_better else value


def _picture(meter: Meter, measuring: Measuring, sources: Sources) -> bytes:
    name = measuring.judged.rpartition(':')[0]
    contender = next(c for c in measuring.plan.contenders if c.name == name)
    fused = meter.fuse(contender, '', sources)
    images = (sources.visible, sources.thermal, fused)
    small = [
        letterbox(cv2.cvtColor(i, cv2.COLOR_GRAY2BGR) if i.ndim == 2 else i, _SMALL) for i in images
    ]
    return cv2.imencode('.jpg', side_by_side(small), [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()


class _Lost:
    """What became of frames that made no pair, as it is counted."""

    def __init__(self, offline: Offline):
        self._offline, self._known = offline, Counter[tuple[str, str]]()

    def stream(self, step: Step) -> str:
        return 'rgb' if step.topic == self._offline.topics.rgb else 'thermal'

    def since_last(self) -> Iterator[tuple[str, str, int]]:
        """(stream, reason, count) of what was counted since the last call."""
        c, now = self._offline.counters, Counter[tuple[str, str]]()
        for reason in ('unpaired', 'duplicate', 'late', 'waited'):
            for stream, count in getattr(c, reason).items():
                now[stream, reason] = count
        now['', 'clock reset'] = c.resets
        for key, count in self._offline.refused.items():
            stream, _, reason = key.partition(' ')
            now[stream, f'refused: {reason}'] = count
        # A frame counts as unpaired until its pair is made, within one push: differences are final.
        for (stream, reason), count in sorted((now - self._known).items()):
            yield stream, reason, count
        self._known = now


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
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

    def cost(self, facts: dict[str, Any]) -> dict[str, float]:
        return {
            **{f'{stage} s': seconds for stage, seconds in self.seconds.items()},
            'total s': time.perf_counter() - self._start,
            'frames': sum(facts['frames'].values()),
            'MB': self.bytes * 1e-6,
            'peak MB': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
