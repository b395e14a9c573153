"""What an archive of measurements holds.

OUT/frames.parquet  the tables of all tasks, in order
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...io.whole_files import whole_file
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
    def alone(self) -> dict[str, float]:
        """{source: share of its frames that find no partner since one stream is faster than the
        other}: by the stretch where they are most alike, of those that are at least half as long as
        the longest."""
        frames: dict[str, list[tuple[int, int]]] = {}
        for task in self.tasks:
            counts = self.facts(task)['facts']['frames']
            frames.setdefault(task.source, []).append(
                (counts.get('rgb', 0), counts.get('thermal', 0))
            )
        return {source: _difference(counts) for source, counts in frames.items()}

    def lost(self, task: Task) -> tuple[int, int]:
        """(lost, frames) of a task: those beyond `alone`."""
        facts = self.facts(task)['facts']
        frames, lost = (sum(facts[name].values()) for name in ('frames', 'lost'))
        return max(0, round(lost - self.alone[task.source] * frames)), frames

    def tables(self) -> Iterator[tuple[Task, Any]]:
        """The tables of pyarrow."""
        import pyarrow.parquet as pq

        for task in self.tasks:
            with self._archive.reading(task):
                table = pq.read_table(self._archive.part(task, self.measuring.suffix))
            yield task, table

    def write(self, path: Path) -> None:
        """One table of all, a group of rows a task."""
        import pyarrow.parquet as pq

        writer = None
        with whole_file(path) as temporary:
            try:
                for _, table in self.tables():
                    if writer is None:
                        writer = pq.ParquetWriter(temporary, table.schema, compression='zstd')
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
        """The stretches whose mean of the judged metric is worst; the pictures of the others are
        removed."""
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
            lost, frames = self.lost(task)
            with self._archive.reading(task):
                jpeg = self._archive.part(task, '.jpg').read_bytes()
            bad.append(
                Bad(
                    task.source, task.number, total / count, sign * value, where, lost, frames, jpeg
                )
            )
        for *_, task, _facts in found[WORST:]:
            self._archive.part(task, '.jpg').unlink(missing_ok=True)
        return bad


def _difference(counts: list[tuple[int, int]]) -> float:
    most = max(map(sum, counts))
    return min((abs(a - b) / (a + b) for a, b in counts if 2 * (a + b) >= most > 0), default=0.0)
