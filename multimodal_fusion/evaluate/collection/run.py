"""An evaluation of a collection, from its names to the report.

OUT/frames.parquet  every pair and every loss
OUT/results.json    what they come to; the same for the same sources and code
OUT/cost.json       seconds and megabytes, which differ from run to run
OUT/report.html
OUT/manifest.json, OUT/parts/: see `archive`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...host.workers import local
from ...io.whole_files import room_for, whole_file
from ...pipeline.settings import checked
from ..report import markdown_table, write_collection
from ..run import Job, plan_of
from ..summary import results
from .archive import Archive
from .measure import Measuring
from .measurements import Measurements
from .stretches import EVERY, LENGTH, Cutting
from .tasks import Choice, Collection, Survey
from .totals import by_model, costs, flicker, summarise, timings

_ROW, _VALUE, _PICTURE = 30, 13, 20_000  # bytes of a row, of a metric, of a picture: measured
_JUDGES = 'KC', 'SSIM', 'VIF'  # the first that is measured tells which pairs are worst
_RATE = 40  # rows a second of a bag, about


@dataclass(frozen=True)
class Collected:
    """results: as in results.json. timing, cost: as in cost.json. failed: what could not be
    measured."""

    results: dict[str, Any]
    timing: dict[str, Any]
    cost: dict[str, float]
    failed: list[str]

    def table(self) -> str:
        """Markdown."""
        return markdown_table(self.results | {'images': []}, self.timing)


def evaluate_collection(
    job: Job,
    collection: Collection,
    out: Path,
    executor: Callable[[], Any] | None = None,
    length: float = LENGTH,
    choice: Choice | None = None,
    flickers: bool = False,
) -> Collected:
    """Measure a collection, and write the table, the results and the report into ``out``; a call
    again goes on where it was ended. executor: makes the context of a
    `concurrent.futures.Executor`; by default of ``job.jobs`` processes. length: seconds of a
    stretch. flickers: whether every pair of a bag is fused, to measure flicker.

    Raises UserError where nothing could be measured.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError(
            'a collection is written as Parquet: pip install "multimodal_fusion[collection]"'
        ) from None
    settings = checked(job.parameters)
    plan = plan_of(replace(job, cache=None), settings)
    own = next((c for c in plan.contenders if not c.baseline), plan.contenders[0])
    by = next((m for m in _JUDGES if m in plan.metrics), plan.metrics[0])
    judged = f'{own.name}:{by}'
    every = EVERY if job.every is None else job.every
    cutting = Cutting(settings, length, every, job.rgb_topic, job.thermal_topic)
    measuring = Measuring(plan, cutting, collection.kind, judged, dict(job.parameters), flickers)
    archive = Archive(out, measuring)
    executor = executor or partial(local, job.jobs)
    choice = choice or Choice()
    surveys = archive.look(collection, choice, executor)
    print(_estimate(out, surveys, measuring, choice), file=sys.stderr)
    tasks, failed = archive.work_through(surveys, choice, executor)
    measurements = Measurements(archive, measuring, tasks)
    summed = summarise(measurements, surveys)
    if not summed['all']['measured']:
        nothing = [measurements.facts(task)['facts']['nothing'] for task in tasks]
        raise collection.nothing(surveys, [*failed, summed['unusable']['first'], *nothing])
    found = results(
        job.command,
        {'name': collection.name, 'kind': collection.plural},
        [],
        plan.contenders,
        plan.definition,
        plan.metrics,
        job.protocol,
        summary=by_model(summed['all'], measuring),
    )
    del found['images']  # of each there is a row in the table
    found['sequence'] = {'flicker': flicker(measurements)}
    found['data']['images'] = summed['all']['measured']
    found |= {'of': collection.kind, 'judged': judged, 'failed': failed, **summed}
    cost, timing = costs(measurements), timings(measurements)
    for name, content in (('results', found), ('cost', {**cost, **timing})):
        with whole_file(out / f'{name}.json') as temporary:
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + '\n')
    measurements.write(out / 'frames.parquet')
    write_collection(
        out / 'report.html', found, timing, cost, measurements.sample(), measurements.worst()
    )
    return Collected(found, timing, cost, failed)


def _estimate(out: Path, surveys: Sequence[Survey], measuring: Measuring, choice: Choice) -> str:
    """How much will be written, in words. Raises UserError where the disk has less."""
    tasks = sum(len(one.tasks) for one in surveys)
    share = min(choice.sample, (choice.limit or tasks) / max(1, tasks))
    seconds, pairs = sum(s.duration for s in surveys), sum(s.pairs for s in surveys)
    every = max(measuring.cutting.every, 1 / _RATE)
    rows = seconds * _RATE + pairs
    values = len(measuring.columns()) * (seconds / every + pairs)
    table = rows * _ROW + values * _VALUE
    return room_for(out, share * (2 * table + tasks * _PICTURE))  # of each task, and of all
