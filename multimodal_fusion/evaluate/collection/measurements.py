"""What an archive of measurements holds.

OUT/frames.parquet  the tables of all tasks, in order
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from ...io.whole_files import whole_file
from ...pipeline.pairing import STREAMS
from .archive import Archive
from .measure import Measuring, higher_is_better
from .tasks import Task

SAMPLE = 2000  # measured pairs that are drawn one by one, at most
WORST = 24  # stretches that are told


@dataclass(frozen=True)
class Bad:
    """A stretch, or a chunk of a data set. mean: of the judged metric. worst, where: of its worst
    pair, which the JPEG shows. lost: of so many frames, as `Measurements.lost`."""

    source: str
    number: int
    mean: float
    worst: float
    where: str
    lost: int
    frames: int
    jpeg: bytes


class Measurements:
    """Of tasks that are done, in order."""

    def __init__(self, archive: Archive, measuring: Measuring, tasks: Sequence[Task]):
        self._archive, self.measuring, self.tasks = archive, measuring, tasks

    def facts(self, task: Task) -> dict[str, Any]:
        """As of `Measuring.do`."""
        with self._archive.reading(task):
            return json.loads(self._archive.part(task, '.json').read_text())

    @cached_property
    def intervals(self) -> dict[str, dict[str, float]]:
        """{source: {stream: seconds from frame to frame}}, of streams that have frames: medians."""
        found: dict[str, dict[str, list[float]]] = {}
        for task in self.tasks:
            of = found.setdefault(task.source, {})
            for stream, interval in self.facts(task)['facts']['interval'].items():
                if interval is not None:
                    of.setdefault(stream, []).append(interval)
        return {
            source: {stream: median(values) for stream, values in of.items()}
            for source, of in found.items()
        }

    def lost(self, task: Task, pairs: int, left: Mapping[str, int]) -> int:
        """How many frames were lost, of some of a task: those that made no pair, beyond those that
        find no partner since their stream is faster than the other. left: of each stream those that
        made no pair."""
        intervals = self.intervals[task.source]
        slowest = max(intervals.values(), default=0.0)
        lost = 0.0
        for stream, count in left.items():
            # Where the other stream has no rate, all of them should have had a partner.
            fast = 1 - intervals[stream] / slowest if len(intervals) == len(STREAMS) else 0.0
            lost += max(0.0, count - fast * (count + pairs))
        return round(lost)

    def tables(self) -> Iterator[tuple[Task, Any]]:
        """The tables of pyarrow."""
        import pyarrow.parquet as pq

        for task in self.tasks:
            path = self._archive.part(task, self.measuring.suffix)
            with self._archive.reading(task), path.open('rb') as file:
                table = pq.read_table(file)
            yield task, table

    def write(self, path: Path) -> None:
        """One table of all, a group of rows a task."""
        import pyarrow.parquet as pq

        writer = None
        with whole_file(path) as temporary, temporary.open('wb') as file:
            try:
                for _, table in self.tables():
                    if writer is None:
                        writer = pq.ParquetWriter(file, table.schema, compression='zstd')
                    writer.write_table(table)
            finally:
                if writer is not None:
                    writer.close()

    def sample(self) -> list[dict[str, Any]]:
        """Some measured pairs, evenly taken: ``stem`` and ``values`` as in the results of a single
        run."""
        measured = [self.facts(task)['facts']['measured'] for task in self.tasks]
        step, number, found = -(-sum(measured) // SAMPLE) or 1, 0, []
        plan, kind = self.measuring.plan, self.measuring.kind
        for (_, table), count in zip(self.tables(), measured, strict=True):
            chosen = range(-number % step, count, step)
            number += count
            if not chosen:
                continue
            rows = [row for row in table.to_pylist() if row['measured']]
            for row in (rows[i] for i in chosen):
                where = row['stem'] or f'{row["time"]:.1f} s'
                values = {
                    c.name: {m: row[f'{c.name}:{m}'] for m in plan.metrics} for c in plan.contenders
                }
                found.append({'stem': f'{row[kind]}, {where}', 'values': values})
        return found

    def worst(self) -> list[Bad]:
        """The stretches whose mean of the judged metric is worst."""
        found = []
        sign = -1.0 if higher_is_better(self.measuring.judged) else 1.0
        for task in self.tasks:
            facts = self.facts(task)
            count, total = facts['judged']
            if count:
                found.append((-sign * total / count, task.source, task.number, task, facts))
        found.sort(key=lambda item: item[:3])
        bad = []
        for *_, task, facts in found[:WORST]:
            count, total = facts['judged']
            value, where = facts['worst']
            told = facts['facts']
            lost = self.lost(task, told['pairs'], told['left'])
            frames = 2 * told['pairs'] + sum(told['left'].values())
            with self._archive.reading(task):
                jpeg = self._archive.part(task, '.jpg').read_bytes()
            bad.append(
                Bad(
                    task.source, task.number, total / count, sign * value, where, lost, frames, jpeg
                )
            )
        return bad
