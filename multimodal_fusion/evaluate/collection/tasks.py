"""What is done with the tasks of a collection, and which there are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, ClassVar, Protocol

from ...errors import UserError
from ...io import bag_names, datasets
from ...io.bag import Bag
from ...io.bag_topics import BagTopics
from ...io.places import place
from .chunks import Chunk, chunks_of
from .stretches import Cutting, Stretch

Task = Stretch | Chunk


@dataclass(frozen=True)
class Collection:
    """What a collection is of. name: as it was asked for. members: bags, or folders of pairs
    (sets)."""

    name: str
    members: tuple[str, ...]
    sets: bool = False

    @classmethod
    def find(cls, bags: str | None = None, sets: str | None = None) -> Collection:
        """By pattern, folder or list. Raises UserError where there are none, or both are given."""
        if (bags is None) == (sets is None):
            raise UserError('a collection is of bags (--bags) or of data sets (--sets)')
        if bags is not None:
            return cls(bags, tuple(bag_names.expand(bags)))
        return cls(sets or '', tuple(datasets.find_sets(sets or '')), sets=True)

    @property
    def kind(self) -> str:
        """Of one of them, as results call it."""
        return 'data_set' if self.sets else 'bag'

    @property
    def plural(self) -> str:
        return 'data sets' if self.sets else 'bags'

    def nothing(self, surveys: Sequence[Survey], reasons: Sequence[str]) -> UserError:
        """Of a run of which nothing came. reasons: why, besides what is left out."""
        why = [*(one.reason for one in surveys), *reasons]
        told = '; '.join([one for one in why if one][:3]) or 'no pairs in them'
        return UserError(
            f'none of the {len(surveys)} {self.plural} gave a pair that can be used: {told}'
        )


class Duty(Protocol):
    """What is done with every task. Picklable."""

    suffix: ClassVar[str]
    cutting: Cutting

    def identity(self) -> dict[str, Any]:
        """What decides the results: work with another identity is other work."""
        ...

    def do(self, task: Task) -> dict[str, bytes]:
        """{suffix: content} of files; that of `suffix` is one of them. Raises UserError where the
        task can't be done now."""
        ...


@dataclass(frozen=True)
class Survey:
    """A bag or data set that was looked at. mark: of its files as they were, another one once they
    changed. reason: why it is left out; empty if it isn't. warning:
    of damage. duration: seconds of a bag. pairs: of a data set."""

    source: str
    mark: str = ''
    tasks: tuple[Task, ...] = ()
    duration: float = 0.0
    pairs: int = 0
    warning: str = ''
    reason: str = ''

    @classmethod
    def of(cls, content: dict[str, Any]) -> Survey:
        """From what `dataclasses.asdict` gave."""
        tasks = (
            Stretch(**{**task, 'topics': BagTopics(**task['topics'])})
            if 'topics' in task
            else Chunk(**task)
            for task in content['tasks']
        )
        return cls(**{**content, 'tasks': tuple(tasks)})

    def content(self) -> dict[str, Any]:
        return asdict(self)


def survey(source: str, cutting: Cutting, sets: bool) -> Survey:
    """Look at a source and cut it; one that can't be used is left out with the reason."""
    try:
        mark = mark_of(source, sets)
        if sets:
            chunks, alone = chunks_of(source, mark)
            some = ', '.join(alone[:3]) + (' …' if len(alone) > 3 else '')
            warning = f'{source}: {len(alone)} images have no partner ({some})' if alone else ''
            return Survey(source, mark, chunks, pairs=chunks[-1].count, warning=warning)
        with Bag(place(source)) as bag:
            cut = cutting.cut(source, mark, bag)
            return Survey(source, mark, cut, bag.duration, warning=bag.warning)
    except UserError as error:
        return Survey(source, reason=str(error))


def mark_of(source: str, sets: bool) -> str:
    """As of `Survey`. Raises UserError."""
    return datasets.mark_of(source) if sets else bag_names.mark_of(source)


def unchanged(survey: Survey, sets: bool) -> bool:
    """Whether a source is still what was looked at."""
    try:
        return mark_of(survey.source, sets) == survey.mark
    except UserError:
        return False


@dataclass(frozen=True)
class Choice:
    """Which tasks: a share of them, drawn by a seed, and so many at most; all by default."""

    sample: float = 1.0
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1 or (self.limit is not None and self.limit < 1):
            raise UserError('--sample is a share over 0 and up to 1, --limit at least 1')

    def of(self, surveys: Sequence[Survey]) -> list[Task]:
        """In order. Whether one is drawn depends on its name and the seed alone."""
        tasks = (task for one in surveys for task in one.tasks)
        return list(islice((task for task in tasks if self._draw(task) < self.sample), self.limit))

    def _draw(self, task: Task) -> float:
        text = f'{self.seed} {task.source} {task.number}'
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], 'big') / 2**48
