"""What one task tells: a row of every pair and of every loss, in a Parquet table."""

from __future__ import annotations

import contextlib
import io
import json
import math
import struct
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np

from ...errors import UserError
from ...io.bag import header_stamp
from ...io.image_files import read_thermal, read_visible
from ...io.pixels import letterbox, luma, side_by_side
from ...io.places import Unreachable
from ...pipeline.offline import Offline, Step
from ...pipeline.pairing import STREAMS, Pair
from ...pipeline.preparation import Preparation
from ...pipeline.settings import checked
from ...pipeline.temperature import told_by
from ..bags import decode, follow
from ..measure import Meter, Plan, Sources, meter_of
from ..metrics import METRICS, Flicker
from .chunks import Chunk
from .clock import Clock, TimedMeter
from .stretches import SECOND, Cells, Cutting, Stretch, played
from .tasks import Task

LIGHTS = (('night', 40.0), ('dusk', 90.0), ('day', 256.0))
"""By the mean luma of the visible image, 0 to 255: up to which it is which."""
_SMALL = 240, 320  # pixels of each image in a picture
FIXED = (
    'stretch', 'kind', 'stream', 'reason', 'stem', 'time', 'stamp', 'gap_ms', 'frozen', 'luma',
    'light', 'thermal_p1', 'thermal_p99', 'measured',
)  # fmt: skip
"""Columns beside the source (``bag`` or ``data_set``) and metrics, which are called MODEL:METRIC.

stretch: number of the task. kind: ``pair``, ``lost`` (a frame that made no pair), ``reset`` (of the
clock). stream, reason: of what was lost; reason also of a pair that could not be measured. stem: of
a pair of files. time: seconds of recording since the bag began; of what was lost, when it was given
up. stamp: nanoseconds, of RGB. thermal_p1, thermal_p99: percentiles of the counts.
"""
_TYPES = {
    'stretch': 'int32',
    'stamp': 'int64',
    'frozen': 'bool',
    'measured': 'bool',
} | dict.fromkeys(('kind', 'stream', 'reason', 'stem', 'light'), 'string')


@dataclass(frozen=True)
class Measuring:
    """What is measured. Picklable.

    kind: of the sources, `tasks.Collection.kind`. parameters: those that a user gave. judged:
    MODEL:METRIC by which worst pairs are told. flicker: whether every pair of a bag is fused, for
    `metrics.flicker`.
    """

    suffix: ClassVar[str] = '.parquet'
    plan: Plan
    cutting: Cutting
    kind: str
    judged: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    flicker: bool = False

    def columns(self) -> list[str]:
        plan = self.plan
        return [f'{c.name}:{m}' for c in plan.contenders for m in plan.metrics]

    def identity(self) -> dict[str, Any]:
        plan, cutting = self.plan, self.cutting
        return {
            'contenders': [c.identity for c in plan.contenders],
            'definition': plan.definition,
            'metrics': plan.metrics,
            'settings': cutting.settings.flat(),
            'every': cutting.every,
            'topics': [cutting.rgb, cutting.thermal],
            'kind': self.kind,
            'flicker': self.flicker,
        }

    def do(self, task: Task) -> dict[str, bytes]:
        """.parquet: the table. .json: ``facts``, the counts; ``cost``, which differs from run to
        run; ``judged``, count and sum; ``flicker``, of each model steps and sum; ``worst``, its
        value and where it is. .jpg: the worst pair."""
        taken = _Taken(task, self)
        if isinstance(task, Chunk):
            _measure_pairs(task, self, taken)
        else:
            _measure_stretch(task, self, taken)
        return taken.files()


def _measure_stretch(stretch: Stretch, measuring: Measuring, taken: _Taken) -> None:
    cells, clock = Cells(measuring.cutting.every), taken.clock
    with played(stretch, measuring.cutting.settings) as offline:
        lost, before = _Lost(offline), None
        for step in clock.reading(offline.steps()):
            since = (step.time - stretch.origin) / SECOND
            inside = step.time >= stretch.start
            clock.bytes += len(step.raw)
            if inside:
                taken.arrive(lost.stream(step), step)
            for stream, reason, count in lost.since_last():
                if inside:
                    taken.lose(stream, reason, count, since)
            for pair in step.pairs:
                due = cells.take(since)
                if not inside:
                    before = pair
                    continue
                if before is not None:
                    taken.follow_first(offline, before)
                    before = None
                row = taken.pair(
                    time=since,
                    stamp=pair.rgb_stamp,
                    gap_ms=pair.gap * 1e-6,
                    frozen=pair.thermal.thermal.frozen > 0,
                )
                with taken.usable(row):
                    with clock('decode'):
                        sources = decode(offline, pair)
                        row |= _exposure(sources, pair.thermal.thermal.counts)
                    taken.follow(sources)
                    if due:
                        taken.measure(row, sources, f'{since:.1f} s')
        if stretch.last:
            for name in STREAMS:
                waiting = offline.receiver.pairer.waiting(name)
                taken.lose(
                    name, 'alone at the end', waiting, (stretch.stop - stretch.origin) / SECOND
                )
        taken.nothing = offline.why_nothing()


def _measure_pairs(chunk: Chunk, measuring: Measuring, taken: _Taken) -> None:
    pairs, plan = chunk.pairs(), measuring.plan
    # A file may tell how its counts are temperatures.
    told = told_by(pairs[0].thermal, measuring.parameters)
    preparation = plan.preparation
    if told:
        preparation = Preparation.of(checked({**told, **measuring.parameters}))
    for files in pairs:
        taken.frames += 2
        row = taken.pair(stem=files.stem)
        with taken.usable(row):
            with taken.clock('decode'):
                visible = read_visible(files.visible, plan.max_pixels)
                counts = read_thermal(files.thermal, plan.max_pixels)
                sources = Sources(visible, preparation.still(counts, visible.shape[:2]))
                row |= _exposure(sources, counts)
            taken.clock.bytes += visible.nbytes + counts.nbytes
            taken.measure(row, sources, files.stem)


class _Taken:
    """What was taken of a task so far."""

    def __init__(self, task: Task, measuring: Measuring):
        self._task, self._measuring = task, measuring
        self._fixed = {measuring.kind: task.source, 'stretch': task.number}
        self._rows: list[dict[str, Any]] = []
        self._stamps: dict[str, list[int]] = {name: [] for name in STREAMS}
        self._lost, self._left = Counter[str](), dict.fromkeys(STREAMS, 0)
        self.frames, self.nothing = 0, ''
        self._unusable, self._measured, self._why = 0, 0, ''
        self._judged: list[float] = []
        self._worst: tuple[float, str, Sources] | None = None
        self.clock = Clock()
        self._meter = meter_of(measuring.plan, TimedMeter)
        self._meter.clock = self.clock
        followed = [c for c in measuring.plan.contenders if c.source != 'source']
        self._flickers = {c.name: Flicker() for c in followed if measuring.flicker}

    def arrive(self, stream: str, step: Step) -> None:
        self.frames += 1
        with contextlib.suppress(struct.error, IndexError):  # cut off
            self._stamps[stream].append(header_stamp(step.raw) or step.time)

    def lose(self, stream: str, reason: str, count: int, since: float) -> None:
        """stream: empty where it is of both: the clock was reset."""
        if not count:
            return
        self._lost[f'{stream} {reason}'.strip()] += count
        if stream:
            self._left[stream] += count
        row = {**self._fixed, 'kind': 'lost' if stream else 'reset', 'stream': stream or None}
        self._rows += [{**row, 'reason': reason, 'time': since}] * count

    def pair(self, **values: Any) -> dict[str, Any]:
        """The row of a pair, to be added to."""
        row = {**self._fixed, 'kind': 'pair', 'measured': False, **values}
        self._rows.append(row)
        return row

    def follow(self, sources: Sources) -> None:
        """Fuse a pair for the flicker."""
        if self._flickers:
            follow(self._flickers, self._measuring.plan.contenders, self._meter, '', sources)

    def follow_first(self, offline: Offline, before: Pair) -> None:
        """The last pair before the stretch, on which its first one follows."""
        if self._flickers:
            with contextlib.suppress(UserError):
                self.follow(decode(offline, before))

    @contextmanager
    def usable(self, row: dict[str, Any]) -> Iterator[None]:
        """A pair that can't be used is told in its row; a place out of reach ends the task."""
        try:
            yield
        except Unreachable:
            raise
        except UserError as error:
            row['reason'] = str(error)[:200]
            self._unusable, self._why = self._unusable + 1, self._why or str(error)

    def measure(self, row: dict[str, Any], sources: Sources, where: str) -> None:
        before, start = self.clock.seconds['fuse'], time.perf_counter()
        found = self._meter.row(where, sources)
        took = time.perf_counter() - start
        self.clock.seconds['metrics'] += took - (self.clock.seconds['fuse'] - before)
        for name, values in found.items():
            for metric, value in values.items():
                row[f'{name}:{metric}'] = None if math.isnan(value) else float(value)
        row['measured'] = True
        self._measured += 1
        value = row.get(self._measuring.judged)
        if value is not None:
            self._judged.append(value)
            badness = -value if higher_is_better(self._measuring.judged) else value
            if self._worst is None or badness > self._worst[0]:
                self._worst = badness, where, sources

    def files(self) -> dict[str, bytes]:
        facts = {
            'pairs': sum(row['kind'] == 'pair' for row in self._rows),
            'measured': self._measured,
            'unusable': self._unusable,
            'why': self._why,
            'nothing': '' if any(row['kind'] == 'pair' for row in self._rows) else self.nothing,
            'lost': dict(sorted(self._lost.items())),
            'left': self._left,
            'interval': {name: _interval(stamps) for name, stamps in self._stamps.items()},
        }
        found = {
            'facts': facts,
            'cost': self.clock.cost(self.frames),
            'flicker': {name: [f.steps, f.total] for name, f in self._flickers.items()},
            'judged': [len(self._judged), math.fsum(self._judged)],
            'worst': self._worst and self._worst[:2],
        }
        picture = {}
        if self._worst is not None:
            picture['.jpg'] = _picture(self._meter, self._measuring, self._worst[2])
        return {**picture, '.json': json.dumps(found).encode(), '.parquet': self._table()}

    def _table(self) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kind = self._measuring.kind
        types = {**_TYPES, kind: 'string'}
        names = [kind, *FIXED, *self._measuring.columns()]
        schema = pa.schema([(n, pa.type_for_alias(types.get(n, 'float64'))) for n in names])
        data = {name: [row.get(name) for row in self._rows] for name in names}
        out = io.BytesIO()
        pq.write_table(pa.table(data, schema=schema), out, compression='zstd')
        return out.getvalue()


def _interval(stamps: list[int]) -> float | None:
    """Seconds from frame to frame, the median, whatever is missing; None of fewer than three."""
    steps = np.diff(np.unique(stamps))
    return float(np.median(steps)) / SECOND if len(steps) > 1 else None


def higher_is_better(column: str) -> bool:
    """column: MODEL:METRIC."""
    return METRICS[column.rpartition(':')[2]].higher_is_better


def _exposure(sources: Sources, counts: np.ndarray) -> dict[str, Any]:
    mean = float(luma(np.ascontiguousarray(sources.visible[::4, ::4])).mean())
    low, high = np.percentile(counts[::8, ::8], (1, 99))
    light = next(name for name, limit in LIGHTS if mean < limit)
    return {'luma': mean, 'light': light, 'thermal_p1': float(low), 'thermal_p99': float(high)}


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
