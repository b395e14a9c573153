"""What a collection comes to: by source, day, hour and light, and what it cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...pipeline.pairing import STREAMS
from ..timing import TIMED
from .chunks import Chunk
from .measure import Measuring
from .measurements import Measurements
from .stretches import SECOND
from .tasks import Survey, Task


@dataclass
class _Sum:
    """Of a group: pairs, losses, and for each metric count, sum and sum of squares. lost: as of
    `Measurements.lost`."""

    pairs: int = 0
    measured: int = 0
    without_pair: int = 0
    lost: int = 0
    frozen: int = 0
    luma: float = 0.0
    seen: int = 0
    metrics: dict[str, list[float]] | None = None

    def add(self, rows: _Rows, chosen: np.ndarray) -> None:
        columns, names = rows.columns, rows.names
        pair = chosen & (columns['kind'] == 'pair')
        pairs = int(pair.sum())
        left = {
            name: int((chosen & (columns['kind'] == 'lost') & (columns['stream'] == name)).sum())
            for name in STREAMS
        }
        self.pairs, self.without_pair = self.pairs + pairs, self.without_pair + sum(left.values())
        self.lost += rows.measurements.lost(rows.task, pairs, left)
        self.measured += int((pair & columns['measured']).sum())
        self.frozen += int((pair & columns['frozen']).sum())
        luma = columns['luma'][pair]
        luma = luma[~np.isnan(luma)]
        self.luma, self.seen = self.luma + float(math.fsum(luma)), self.seen + len(luma)
        self.metrics = self.metrics or {name: [0.0, 0.0, 0.0] for name in names}
        for name in names:
            values = columns[name][pair]
            values = values[~np.isnan(values)]
            total = self.metrics[name]
            total[0] += len(values)
            total[1] += math.fsum(values)
            total[2] += math.fsum(values * values)

    def told(self) -> dict[str, Any]:
        """Means, with half of a 95% interval by the normal law, pairs as if independent."""
        means = {}
        for name, (count, total, squares) in (self.metrics or {}).items():
            if count:
                mean = total / count
                spread = math.sqrt(max(0.0, squares / count - mean * mean) / count)
                means[name] = {'mean': mean, 'half': 1.96 * spread, 'count': int(count)}
        return {
            'pairs': self.pairs,
            'measured': self.measured,
            'without_pair': self.without_pair,
            'lost': self.lost,
            'frozen': self.frozen,
            'luma': self.luma / self.seen if self.seen else None,
            'metrics': means,
        }


def summarise(measurements: Measurements, surveys: Sequence[Survey]) -> dict[str, Any]:
    """The part of results.json: by source, day, hour and light. Task after task, so
    that memory does not grow with the collection but by a row a source."""
    kind, names = measurements.measuring.kind, measurements.measuring.columns()
    whole = _Sum()
    groups: dict[str, dict[str, _Sum]] = {name: {} for name in (kind, 'day', 'hour', 'light')}
    lost, unusable, why = Counter[str](), 0, ''
    strips: dict[str, list[list[int]]] = {}
    seconds = 0.0
    for task, table in measurements.tables():
        rows = _Rows.of(measurements, task, table, names)
        everything = np.ones(len(table), bool)
        whole.add(rows, everything)
        groups[kind].setdefault(task.source, _Sum()).add(rows, everything)
        for by, mark in rows.marks().items():
            for value in np.unique(mark):
                groups[by].setdefault(str(value), _Sum()).add(rows, mark == value)
        facts = measurements.facts(task)['facts']
        lost.update(facts['lost'])
        unusable, why = unusable + facts['unusable'], why or facts['why']
        left = facts['left']
        frames = 2 * facts['pairs'] + sum(left.values())
        strips.setdefault(task.source, []).append(
            [task.number, frames, measurements.lost(task, facts['pairs'], left)]
        )
        if not isinstance(task, Chunk):
            seconds += (task.stop - task.start) / SECOND
    return {
        f'{kind}s': len(surveys),
        'left_out': {s.source: s.reason for s in surveys if s.reason},
        'warnings': {s.source: s.warning for s in surveys if s.warning},
        'hours': round(seconds / 3600, 4),
        'hours_of_all': round(sum(s.duration for s in surveys) / 3600, 4),
        'stretches': len(measurements.tasks),
        'lost': dict(sorted(lost.items())),
        'unusable': {'pairs': unusable, 'first': why},
        'all': whole.told(),
        **{f'by_{by}': _told(sums) for by, sums in groups.items()},
        'map': strips,
    }


@dataclass
class _Rows:
    """The table of a task. names: of metrics."""

    measurements: Measurements
    task: Task
    columns: dict[str, np.ndarray]
    names: list[str]

    @classmethod
    def of(cls, measurements: Measurements, task: Task, table: Any, names: list[str]) -> _Rows:
        fixed = ('kind', 'stream', 'measured', 'frozen', 'luma', 'light', 'time')
        columns = {name: _array(table[name]) for name in (*fixed, *names)}
        return cls(measurements, task, columns, names)

    def marks(self) -> dict[str, np.ndarray]:
        """{kind of group: which each row belongs to}. Days and hours are those of recording, UTC.
        What was lost has the light of the pair before."""
        light = self.columns['light'].astype('U7')
        known = np.flatnonzero(light != '')
        if len(known):
            at = np.searchsorted(known, np.arange(len(light)), side='right') - 1
            light = light[known[np.maximum(at, 0)]]
        light[light == ''] = 'unknown'
        if isinstance(self.task, Chunk) or not len(light):
            return {'light': light}
        since = np.round(self.columns['time'] * SECOND).astype('int64')
        times = (self.task.origin + since).astype('datetime64[ns]')
        hours = (times.astype('datetime64[h]').astype(int) % 24).astype('U2')
        days = times.astype('datetime64[D]').astype(str)
        return {'day': days, 'hour': np.char.zfill(hours, 2), 'light': light}


def _told(sums: dict[str, _Sum]) -> dict[str, Any]:
    return {name: sums[name].told() for name in sorted(sums)}


def _array(column: Any) -> np.ndarray:
    """A column as numpy: missing numbers are nan, missing truths False, missing stamps 0."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.fill_null(False)
    elif pa.types.is_integer(kind):
        column = column.fill_null(0)
    elif pa.types.is_string(kind):
        column = column.fill_null('')
    else:
        column = column.fill_null(math.nan)
    return column.to_numpy()


def by_model(whole: dict[str, Any], measuring: Measuring) -> dict[str, dict[str, Any]]:
    """The means of all pairs, as `evaluate.summary.summarise` gives them."""
    unknown = {'mean': math.nan, 'half': math.nan, 'count': 0}

    def of(name: str) -> dict[str, Any]:
        told = whole['metrics'].get(name, unknown)
        mean, half, count = told['mean'], told['half'], told['count']
        left_out = whole['measured'] - count
        return {
            'mean': mean, 'low': mean - half, 'high': mean + half, 'count': count,
            'left_out': left_out,
        }  # fmt: skip

    plan = measuring.plan
    return {c.name: {m: of(f'{c.name}:{m}') for m in plan.metrics} for c in plan.contenders}


def flicker(measurements: Measurements) -> dict[str, float]:
    """By model, over all steps from a pair to the next; empty where it was not asked for."""
    steps, total = Counter[str](), Counter[str]()
    for task in measurements.tasks:
        for name, (count, value) in measurements.facts(task)['flicker'].items():
            steps[name] += count
            total[name] += value
    return {name: total[name] / count for name, count in steps.items() if count}


def timings(measurements: Measurements) -> dict[str, Any]:
    """``milliseconds`` of fusion by model, as `evaluate.timing.time_fusion`; wherever it ran."""
    taken: dict[str, list[float]] = {}
    for task in measurements.tasks:
        for name, values in measurements.facts(task)['cost']['fuse ms'].items():
            taken.setdefault(name, []).extend(values)
    timed = [c.name for c in measurements.measuring.plan.contenders if c.source in TIMED]
    return {
        'machine': 'the machines of the run',
        'milliseconds': {
            name: {
                'median': round(float(np.median(taken[name])), 3),
                'p95': round(float(np.percentile(taken[name], 95)), 3),
            }
            for name in timed
            if name in taken
        },
    }


def costs(measurements: Measurements) -> dict[str, float]:
    """Seconds of each stage, summed over tasks, and rates of a core."""
    total: Counter[str] = Counter()
    peak = 0.0
    for task in measurements.tasks:
        cost = measurements.facts(task)['cost']
        peak = max(peak, cost.pop('peak MB'))
        del cost['fuse ms']
        total.update(cost)
    seconds = total['total s'] or math.nan
    return {
        **{name: round(value, 3) for name, value in sorted(total.items())},
        'frames/s of a core': round(total['frames'] / seconds, 2),
        'MB/s of a core': round(total['MB'] / seconds, 2),
        'peak MB of a worker': round(peak, 1),
    }
