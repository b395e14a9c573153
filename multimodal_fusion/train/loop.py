"""The training loop: judge, save, step. It knows no method.

Killed at any moment, a run goes on with ``resume`` from its last checkpoint to the same result;
ended by SIGTERM or Ctrl-C it makes one first.
"""

from __future__ import annotations

import errno
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..errors import Interrupted, UserError
from ..io.whole_files import FullDisk
from .config import Config
from .engine import Engine
from .methods.method import Method
from .methods.registry import find_method
from .run import LITTLE, Run, free_space

_TELL_EVERY = 60.0  # seconds between lines of progress, off a terminal


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class TrainingJob:
    """What to train. config: complete. data: the folder or file to learn from. out: run folder.
    model_file: written at the end, or left to `export`."""

    config: Config
    data: Path
    out: Path
    resume: bool = False
    model_file: bool = True


def train(job: TrainingJob) -> dict:
    """Run a job to the end, from scratch or from where it stopped; alone or under torchrun.

    Returns the step and the validation values of the checkpoint that ships. Raises UserError on bad
    input and on a full disk; DivergedError when a value is not finite (the last checkpoint before
    that stays); Interrupted when it was asked to end, after a checkpoint.
    """
    try:
        return _train(job)
    except (OSError, RuntimeError, FullDisk) as error:
        # OpenCV, torch and safetensors each have words of their own for a full disk.
        full = isinstance(error, FullDisk) or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        )
        if not full and free_space(job.out) > LITTLE:
            raise
        raise UserError(
            f'the disk of {job.out} is full; free some space and go on with --resume'
        ) from error


def start(job: TrainingJob) -> tuple[Engine, Method]:
    """The engine and the method of a job, ready for its first step."""
    engine = Engine(job.config, job.out)
    kind = find_method(job.config.method)
    method = kind(job.config.section, engine, job.data)
    return engine, method


def _train(job: TrainingJob) -> dict:
    config = job.config
    run = Run(job.out, config, job.resume)
    engine, method = start(job)
    progress = run.begin(engine, method)
    started = time.monotonic() - progress.seconds
    saved = time.monotonic()
    with _ending() as ended, _told(config.steps, progress.step, engine.first) as bar:
        while True:
            due = progress.step % config.evaluate_every == 0 or progress.step == config.steps
            if due and progress.step > progress.judged:
                progress.seconds = time.monotonic() - started
                row = _judged(engine, method, progress)
                progress.judged = progress.step
                progress.sums, progress.count = {}, 0
                run.record(row, progress, engine, method)
                run.save(progress, engine, method)
                saved = time.monotonic()
            if progress.step == config.steps:
                break
            late = time.monotonic() - saved > config.checkpoint_every > 0
            if engine.any(ended.is_set() or late):
                progress.seconds = time.monotonic() - started
                run.save(progress, engine, method)
                saved = time.monotonic()
                if engine.any(ended.is_set()):
                    raise Interrupted

            engine.begin(progress.step)
            engine.mode(training=True)
            for number in engine.parts():
                values = method.step(number)
                check(values, progress.step, 'training')
                for name in method.columns:
                    progress.sums[name] = progress.sums.get(name, 0.0) + values.get(name, 0.0)
                progress.count += 1
            engine.end()
            progress.step += 1
            bar(values['loss'])
    engine.wait()
    engine.close()
    if engine.first and job.model_file:
        method.export(run.path('model.onnx'))
    return run.shipped_row(method)


def _judged(engine: Engine, method: Method, progress) -> dict[str, float]:
    """A row of metrics.csv."""
    means = {
        name: progress.sums[name] / progress.count if progress.count else math.nan
        for name in method.columns
    }
    engine.begin(progress.step)
    engine.mode(training=False)
    values = engine.judged(method.judge())
    check(values, progress.step, 'validation')
    return {
        'step': progress.step,
        'seconds': round(progress.seconds, 1),
        'learning_rate': engine.optimisers[0].rate,
        **{f'train_{name}': value for name, value in engine.mean(means).items()},
        **{f'val_{name}': value for name, value in values.items()},
    }


def check(values: dict[str, float], step: int, where: str) -> None:
    """Raises DivergedError for what is no finite number, by the name of the first term."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        term = next((name for name in bad if name != 'loss'), 'loss')
        raise DivergedError(
            f'the {where} loss is {values["loss"]} at step {step}, first in its term {term!r}; '
            'the last checkpoint is kept: lower optimiser.learning_rate, or look at the data'
        )


@contextmanager
def _ending() -> Iterator[threading.Event]:
    """Set by SIGTERM and Ctrl-C: the loop ends between two steps, after a checkpoint."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: event.set()) for number in numbers}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _told(steps: int, done: int, first: bool) -> Iterator:
    """Tells of a step and its loss: a bar on a terminal, else a line a minute."""
    if first and sys.stderr.isatty():
        with tqdm(total=steps, initial=done, unit='step') as bar:

            def show(loss: float) -> None:
                bar.update()
                bar.set_postfix(loss=f'{loss:.4f}', refresh=False)

            yield show
        return
    state = {'step': done, 'since': time.monotonic(), 'told': time.monotonic()}

    def line(loss: float) -> None:
        state['step'] += 1
        now = time.monotonic()
        if first and now - state['told'] > _TELL_EVERY:
            pace = (now - state['since']) / (state['step'] - done)
            left = pace * (steps - state['step'])
            print(
                f'step {state["step"]} of {steps}, loss {loss:.4f}, {pace * 1e3:.0f} ms a step, '
                f'{left / 60:.0f} min left',
                file=sys.stderr,
                flush=True,
            )
            state['told'] = now

    yield line
