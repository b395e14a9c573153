"""A collection measured: what is done is kept, and put together the same way whoever did it.

OUT/manifest.json   what is measured, and each bag as it was cut
OUT/parts/          a Parquet table of each stretch that is done, with its counts
OUT/worst/          pictures of the worst pairs
OUT/frames.parquet  all of them, in the order of bags and time
OUT/results.json    what they come to; the same for the same bags and code
OUT/cost.json       seconds and megabytes, which differ from run to run
OUT/report.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...host.progress import progress, warn
from ...host.workers import run_all
from ...io.bag_topics import BagTopics
from ...io.text_files import read_text
from ...io.whole_files import make_folder, whole_file
from ..metrics import METRICS
from .measure import Measuring, Part, measure_stretch
from .stretches import Stretch, Survey, survey

WORST = 24  # pictures


@dataclass(frozen=True)
class Choice:
    """Which stretches: a share of them, drawn by a seed, and so many at most; all by default."""

    sample: float = 1.0
    seed: int = 0
    limit: int | None = None

    def of(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """In order. Whether one is drawn depends on its name and the seed alone."""
        chosen = [s for s in stretches if self._draw(s) < self.sample]
        return chosen[: self.limit]

    def _draw(self, stretch: Stretch) -> float:
        text = f'{self.seed} {stretch.bag} {stretch.number}'
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], 'big') / 2**48


class Archive:
    """The folder of a run. Raises UserError where it holds another one."""

    def __init__(self, out: Path, measuring: Measuring, length: float):
        self.out, self.measuring, self.length = make_folder(out), measuring, length
        self._path, self._parts = out / 'manifest.json', make_folder(out / 'parts')
        self._worst_folder = make_folder(out / 'worst')
        self._what = _fingerprint(measuring, length)
        self._surveys: dict[str, Survey] = {}
        if self._path.exists():
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads(read_text(self._path, 'the manifest'))
            what = content['what']
            self._surveys = {s['bag']: _survey_of(s) for s in content['bags']}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f'{self._path} is damaged ({error}): give another --out') from error
        if what != self._what:
            raise UserError(
                f'{self.out} holds a run with other models, metrics, settings or code: give '
                'another --out, or remove it'
            )

    def survey(self, bags: Sequence[str], executor: Callable[[], Any]) -> list[Survey]:
        """Look at every bag that was not looked at yet, and keep what was found."""
        new = [bag for bag in bags if bag not in self._surveys]
        measuring = self.measuring
        common = (
            measuring.settings, self.length, measuring.every, measuring.rgb, measuring.thermal,
        )  # fmt: skip
        try:
            for bag, found in progress(run_all(executor, survey, new, *common), len(new), 'bags'):
                self._surveys[bag] = found
        finally:
            content = {'what': self._what, 'bags': [asdict(s) for s in self._surveys.values()]}
            with whole_file(self._path) as temporary:
                temporary.write_text(json.dumps(content) + '\n')
        return [self._surveys[bag] for bag in bags]

    def measure(self, stretches: Sequence[Stretch], executor: Callable[[], Any]) -> list[str]:
        """Measure what was not measured yet; returns what could not be, a sentence each."""
        left = [s for s in stretches if not self._part(s).exists()]
        found = run_all(executor, try_stretch, left, self.measuring)
        failed = []
        for stretch, result in progress(found, len(left), 'stretches'):
            if isinstance(result, str):
                failed.append(f'{stretch.bag}, stretch {stretch.number}: {result}')
                continue
            self._keep(stretch, result)
        return sorted(failed)

    def _part(self, stretch: Stretch) -> Path:
        name = hashlib.sha256(stretch.bag.encode()).hexdigest()[:16]
        return self._parts / f'{name}-{stretch.key}.parquet'

    def _keep(self, stretch: Stretch, part: Part) -> None:
        path = self._part(stretch)
        worst = None
        if part.worst is not None:
            worst = part.worst[:2]
            with whole_file(self._worst_folder / f'{path.stem}.jpg') as temporary:
                temporary.write_bytes(part.worst[2])
        facts = {'facts': part.facts, 'cost': part.cost, 'worst': worst}
        with whole_file(path.with_suffix('.json')) as temporary:
            temporary.write_text(json.dumps(facts))
        with whole_file(path) as temporary:  # last: the stretch is done when it is there
            temporary.write_bytes(part.table)

    def facts(self, stretch: Stretch) -> dict[str, Any] | None:
        """``facts``, ``cost`` and ``worst`` of a stretch that is done."""
        path = self._part(stretch)
        return json.loads(path.with_suffix('.json').read_text()) if path.exists() else None

    def pictures(self, stretches: Sequence[Stretch]) -> list[tuple[str, int, float, float, bytes]]:
        """(bag, number, seconds since the bag began, value, JPEG) of worst pairs."""
        higher = METRICS[self.measuring.judged.rpartition(':')[2]].higher_is_better
        found = []
        for stretch in stretches:
            facts = self.facts(stretch)
            if facts is not None:
                badness, seconds = facts['worst']
                jpeg = (self._worst_folder / f'{self._part(stretch).stem}.jpg').read_bytes()
                value = -badness if higher else badness
                found.append((stretch.bag, stretch.number, seconds, value, jpeg))
        return found

    def tables(self, stretches: Sequence[Stretch]) -> Iterator[Any]:
        """The tables of pyarrow of what is done, in order."""
        import pyarrow.parquet as pq

        for stretch in stretches:
            path = self._part(stretch)
            if path.exists():
                yield pq.read_table(path)

    def put_together(self, stretches: Sequence[Stretch]) -> Path:
        """frames.parquet, a group of rows a stretch."""
        import pyarrow.parquet as pq

        path, writer = self.out / 'frames.parquet', None
        with whole_file(path) as temporary:
            try:
                for table in self.tables(stretches):
                    if writer is None:
                        writer = pq.ParquetWriter(temporary, table.schema, compression='zstd')
                    writer.write_table(table)
            finally:
                if writer is not None:
                    writer.close()
        return path

    def keep_worst(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """The stretches with the worst pairs; the pictures of others are removed."""
        values = []
        for stretch in stretches:
            facts = self.facts(stretch)
            if facts and facts['worst']:
                values.append((-facts['worst'][0], stretch.bag, stretch.number, stretch))
        chosen = [stretch for *_, stretch in sorted(values, key=lambda v: v[:3])[:WORST]]
        names = {self._part(stretch).stem for stretch in chosen}
        for path in self._worst_folder.glob('*.jpg'):
            if path.stem not in names:
                path.unlink()
        return chosen


def try_stretch(stretch: Stretch, measuring: Measuring) -> Part | str:
    """A part, or why there is none."""
    try:
        return measure_stretch(stretch, measuring)
    except UserError as error:
        return str(error)


def _fingerprint(measuring: Measuring, length: float) -> str:
    plan = measuring.plan
    content = {
        'contenders': [c.identity for c in plan.contenders],
        'definition': plan.definition,
        'metrics': plan.metrics,
        'settings': measuring.settings.flat(),
        'every': measuring.every,
        'stretch': length,
        'topics': [measuring.rgb, measuring.thermal],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _survey_of(content: dict[str, Any]) -> Survey:
    stretches = tuple(
        Stretch(**{**s, 'topics': BagTopics(**s['topics'])}) for s in content.pop('stretches')
    )
    return Survey(stretches=stretches, **content)


def tell(failed: Sequence[str], surveys: Sequence[Survey]) -> None:
    """What was left out, a warning each."""
    for one in surveys:
        if one.reason:
            warn(f'left out: {one.reason}')
        elif one.warning:
            warn(one.warning)
    for sentence in failed:
        warn(f'not measured: {sentence}')
