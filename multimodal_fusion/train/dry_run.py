"""What a job would do, without a run folder."""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from .engine import bare
from .export.card import count_parameters
from .loop import TrainingJob, start

_STEPS = 6  # the first is not counted: it makes room


def dry_run(job: TrainingJob) -> dict[str, Any]:
    """The configuration, the data, the parameters, and the time that a step takes. Raises as
    `loop.train` does."""
    with tempfile.TemporaryDirectory() as folder:
        engine, method = start(replace(job, out=Path(folder)))
        method.restored(0)
        times = []
        for step in range(_STEPS):
            begun = time.perf_counter()
            engine.begin(step)
            engine.mode(training=True)
            for number in engine.parts():
                method.step(number)
            engine.end()
            times.append(time.perf_counter() - begun)
        pace = statistics.median(times[1:])
        return {
            'configuration': job.config.to_json(),
            'hash': job.config.hash,
            'data': method.data,
            'parameters': sum(count_parameters(bare(network)) for network in engine.networks),
            'device': str(engine.device),
            'seconds a step': round(pace, 4),
            'minutes in all, without evaluations': round(pace * job.config.steps / 60, 1),
        }
