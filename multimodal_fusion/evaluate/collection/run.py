"""An evaluation of a collection of bags, from their names to the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import UserError
from ...host.version import commit
from ...io.whole_files import whole_file
from ...pipeline.settings import checked
from ..report import write_collection
from ..run import Job, plan_of
from .archive import Archive, Choice, tell
from .measure import Measuring
from .totals import costs, summarise

EVERY = 1.0  # seconds between measured pairs, by default
LENGTH = 60.0  # seconds of a stretch, by default


@dataclass(frozen=True)
class Collected:
    """results, cost: as in results.json and cost.json. failed: what could not be measured."""

    results: dict[str, Any]
    cost: dict[str, float]
    failed: list[str]


def evaluate_collection(
    job: Job,
    bags: Sequence[str],
    out: Path,
    executor: Callable[[], Any],
    length: float = LENGTH,
    choice: Choice | None = None,
) -> Collected:
    """Measure bags, and write the table, the results and the report into ``out``; a call again goes
    on where it was ended. executor: makes the context of a `concurrent.futures.Executor`. length:
    seconds of a stretch.

    Raises UserError where nothing could be measured.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError(
            'a collection is written as Parquet: pip install "multimodal_fusion[collection]"'
        ) from None
    if length < 1:
        raise UserError(f'--stretch is {length:g} s; give at least 1')
    settings = checked(job.parameters)
    plan = plan_of(replace(job, cache=None), settings)
    own = next((c for c in plan.contenders if not c.baseline), plan.contenders[0])
    judged = f'{own.name}:{plan.metrics[0]}' if plan.metrics else ''
    every = EVERY if job.every is None else job.every
    measuring = Measuring(plan, settings, every, judged, job.rgb_topic, job.thermal_topic)
    archive = Archive(out, measuring, length)
    surveys = archive.survey(bags, executor)
    stretches = (choice or Choice()).of([s for one in surveys for s in one.stretches])
    failed = archive.measure(stretches, executor)
    tell(failed, surveys)
    results = {
        'package': {'name': 'multimodal_fusion', 'version': __version__, 'commit': commit()},
        'command': job.command,
        'definition': plan.definition,
        'metrics': list(plan.metrics),
        'models': [c.name for c in plan.contenders],
        'judged': judged,
        'failed': failed,
        **summarise(archive, surveys, stretches),
    }
    if not results['all']['pairs']:
        reasons = '; '.join([*results['left_out'].values(), *failed][:3]) or 'no pairs in them'
        raise UserError(f'none of the {len(bags)} bags gave a pair: {reasons}')
    cost = costs(archive, stretches)
    for name, content in (('results', results), ('cost', cost)):
        with whole_file(out / f'{name}.json') as temporary:
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + '\n')
    archive.put_together(stretches)
    worst = archive.keep_worst(stretches)
    write_collection(out / 'report.html', results, cost, archive.pictures(worst))
    return Collected(results, cost, failed)
