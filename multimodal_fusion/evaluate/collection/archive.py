"""A collection worked through: what is done is kept, and is the same whoever did it.

OUT/manifest.json   what is done, and each source as it was cut
OUT/parts/          what came of each task that is done
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UserError, told
from ...host.progress import progress, warn
from ...host.workers import run_all
from ...io.text_files import read_text
from ...io.whole_files import make_folder, whole_file
from ..cache import code_hash
from .tasks import Choice, Collection, Duty, Survey, Task, survey, unchanged

_AT_ONCE = 500  # members that are looked at before it is seen whether they are enough


class Archive:
    """The folder of a duty. Raises UserError where it holds another one's."""

    def __init__(self, out: Path, duty: Duty):
        self.out, self.duty = make_folder(out), duty
        self._path, self._parts = out / 'manifest.json', make_folder(out / 'parts')
        content = {**duty.identity(), 'stretch': duty.cutting.length, 'code': code_hash()}
        text = json.dumps(content, sort_keys=True, default=str)
        self._what = hashlib.sha256(text.encode()).hexdigest()
        self._surveys: dict[str, Survey] = {}
        if self._path.exists():
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads(read_text(self._path, 'the manifest'))
            what = content['what']
            if what == self._what:
                self._surveys = {s['source']: Survey.of(s) for s in content['sources']}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f'{self._path} is damaged ({error}): give another --out') from error
        if what != self._what:
            raise UserError(
                f'{self.out} holds a run with other models, metrics, settings or code: give '
                'another --out, or remove it'
            )

    def look(
        self, collection: Collection, choice: Choice, executor: Callable[[], Any]
    ) -> list[Survey]:
        """Survey the members that were not looked at yet or have changed since, and keep what was
        found; no more of them than ``choice.limit`` needs. executor: makes the context of a
        `concurrent.futures.Executor`."""
        surveys: list[Survey] = []
        with self._kept():
            for first in range(0, len(collection.members), _AT_ONCE):
                members = collection.members[first : first + _AT_ONCE]
                known = [self._surveys[name] for name in members if name in self._surveys]
                for one, still in run_all(executor, unchanged, known, collection.sets):
                    if not still:
                        del self._surveys[one.source]
                new = [name for name in members if name not in self._surveys]
                found = run_all(executor, survey, new, self.duty.cutting, collection.sets)
                for name, one in progress(found, len(new), 'looked at'):
                    self._surveys[name] = one
                surveys += [self._surveys[name] for name in members]
                if choice.limit and len(choice.of(surveys)) == choice.limit:
                    break
        return surveys

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """The manifest is written, whatever happens."""
        try:
            yield
        finally:
            # What can't be used now may be another time.
            kept = [one.content() for one in self._surveys.values() if not one.reason]
            with whole_file(self._path) as temporary:
                temporary.write_text(json.dumps({'what': self._what, 'sources': kept}) + '\n')

    def work_through(
        self, surveys: Sequence[Survey], choice: Choice, executor: Callable[[], Any]
    ) -> tuple[list[Task], list[str]]:
        """Do what was not done yet. Returns the tasks that were chosen and are done, in order, and
        a sentence for each that could not be, which is told, too."""
        chosen = choice.of(surveys)
        left = [task for task in chosen if not self.done(task)]
        failed = []
        for task, result in progress(
            run_all(executor, try_task, left, self.duty), len(left), 'stretches'
        ):
            if isinstance(result, str):
                failed.append(f'{task.source}, stretch {task.number}: {result}')
                continue
            last = result.pop(self.duty.suffix)  # the task is done when it is there
            for suffix, content in [*result.items(), (self.duty.suffix, last)]:
                with whole_file(self.part(task, suffix)) as temporary:
                    temporary.write_bytes(content)
        _tell(sorted(failed), surveys)
        return [task for task in chosen if self.done(task)], sorted(failed)

    def done(self, task: Task) -> bool:
        return self.part(task, self.duty.suffix).exists()

    @contextmanager
    def reading(self, task: Task) -> Iterator[None]:
        """What is wrong with files of a task that is done is one sentence: raises UserError."""
        try:
            yield
        except Exception as error:  # of the disk, JSON or Parquet
            raise UserError(
                f'{self.part(task, ".*")} of {task.source} are damaged ({told(error)}): remove '
                'them, and give the same command again'
            ) from error

    def part(self, task: Task, suffix: str) -> Path:
        name = hashlib.sha256(f'{task.source} {task.mark}'.encode()).hexdigest()[:16]
        return self._parts / f'{name}-{task.number:05d}{suffix}'


def try_task(task: Task, duty: Duty) -> dict[str, bytes] | str:
    """What came of it, or why nothing did."""
    try:
        return duty.do(task)
    except UserError as error:
        return str(error)


def _tell(failed: Sequence[str], surveys: Sequence[Survey]) -> None:
    """What was left out, a warning each."""
    for one in surveys:
        if one.reason:
            warn(f'left out: {one.reason}')
        elif one.warning:
            warn(one.warning)
    for sentence in failed:
        warn(f'not done: {sentence}')
