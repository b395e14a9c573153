"""What is wrong with the pairs of a folder, or of a collection, in words: a JSON line a pair.

OUT/annotations.jsonl             of a collection: all lines, in order
OUT/manifest.json, OUT/parts/     see `evaluate.collection.archive`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...evaluate.bags import decode
from ...evaluate.collection.archive import Archive
from ...evaluate.collection.chunks import Chunk
from ...evaluate.collection.stretches import SECOND, Cells, Cutting, Stretch, played
from ...evaluate.collection.tasks import Choice, Collection, Task
from ...evaluate.measure import Sources
from ...host.progress import progress, warn
from ...io.datasets import PairFiles, usable
from ...io.image_files import read_thermal, read_visible
from ...io.places import Unreachable
from ...io.whole_files import whole_file
from ...pipeline.offline import Offline
from ...pipeline.pairing import Pair
from ...pipeline.preparation import Preparation
from .captions import Captioner, named
from .text import Annotation, analyse

FILE = 'annotations.jsonl'
_Looked = Iterator[tuple[Annotation | str, dict[str, Any]]]
"""Each pair, or why it can't be used, and where it is."""


def _code() -> str:
    """Of this package's files: what they say of an image changes with them."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(1)
def _captioner(folder: Path) -> Captioner:
    """One a process: it is large."""
    return Captioner(folder)


def annotated(
    stem: str, visible: np.ndarray, thermal: np.ndarray, captioner: Path | None
) -> Annotation:
    """By simple measures, or by what a model says. visible: uint8 (H, W, 3) or (H, W). thermal:
    uint8 (H, W). captioner: its folder. Raises UserError where it can't be used."""
    if captioner is None:
        return Annotation.of(stem, analyse(visible, thermal))
    caption = _captioner(captioner)(visible, thermal)
    return Annotation(stem, caption, tuple(named(caption)))


def annotate_files(
    files: PairFiles, preparation: Preparation, captioner: Path | None
) -> Annotation:
    """Raises BadImage, UserError for images of two sizes, and as `annotated`."""
    visible, counts = read_visible(files.visible), read_thermal(files.thermal)
    sources = Sources(visible, preparation.still(counts, visible.shape[:2]))
    return annotated(files.stem, sources.visible, sources.thermal, captioner)


def annotate_folder(
    pairs: Sequence[PairFiles],
    folder: Path,
    out: Path,
    preparation: Preparation,
    captioner: Path | None = None,
) -> dict[str, Any]:
    """A line a pair; returns the counts. Raises UserError where no pair can be read."""
    lines = usable(
        progress(pairs, unit='pairs'),
        lambda files: annotate_files(files, preparation, captioner),
        folder,
    )
    with whole_file(out) as temporary:
        temporary.write_text(''.join(f'{one.line()}\n' for one in lines))
    spoilt = sum(bool(one.found) for one in lines)
    return {'file': str(out), 'pairs': len(lines), 'with faults': spoilt}


@dataclass(frozen=True)
class Annotating:
    """The annotation of a collection. Picklable. kind: as of `Collection`."""

    suffix: ClassVar[str] = '.jsonl'
    cutting: Cutting
    kind: str
    captioner: Path | None = None

    def identity(self) -> dict[str, Any]:
        cutting = self.cutting
        return {
            'settings': cutting.settings.flat(),
            'every': cutting.every,
            'topics': [cutting.rgb, cutting.thermal],
            'captioner': str(self.captioner),
            'kind': self.kind,
            'annotator': _code(),
        }

    def do(self, task: Task) -> dict[str, bytes]:
        """.jsonl: the lines, with the source. .json: how many pairs could not be used, and why
        the first."""
        lines, unusable = [], []
        look = self._pairs if isinstance(task, Chunk) else self._stretch
        for one, place in look(task):
            if isinstance(one, str):
                unusable.append(one)
            else:
                lines.append(json.dumps({**one.content(), self.kind: task.source, **place}) + '\n')
        return {
            '.json': json.dumps({'unusable': len(unusable), 'why': unusable[:1]}).encode(),
            '.jsonl': ''.join(lines).encode(),
        }

    def _pairs(self, chunk: Chunk) -> _Looked:
        preparation = Preparation.of(self.cutting.settings)
        for files in chunk.pairs():
            yield _usable(partial(annotate_files, files, preparation, self.captioner)), {}

    def _stretch(self, stretch: Stretch) -> _Looked:
        cells = Cells(self.cutting.every)
        with played(stretch, self.cutting.settings) as offline:
            for step in offline.steps():
                since = (step.time - stretch.origin) / SECOND
                for pair in step.pairs:
                    if not cells.take(since) or step.time < stretch.start:
                        continue
                    stem = f'{Path(stretch.source).stem}_{since:010.3f}'
                    look = partial(self._pair, offline, pair, stem)
                    yield _usable(look), {'time': round(since, 6), 'stamp': pair.rgb_stamp}

    def _pair(self, offline: Offline, pair: Pair, stem: str) -> Annotation:
        sources = decode(offline, pair)
        return annotated(stem, sources.visible, sources.thermal, self.captioner)


def _usable(look: Callable[[], Annotation]) -> Annotation | str:
    """Why, for a pair that can't be used; a place out of reach ends the task."""
    try:
        return look()
    except Unreachable:
        raise
    except UserError as error:
        return str(error)


def annotate_collection(
    collection: Collection,
    out: Path,
    cutting: Cutting,
    executor: Callable[[], Any],
    choice: Choice | None = None,
    captioner: Path | None = None,
) -> dict[str, Any]:
    """Annotate a collection into a folder; a call again goes on where it was ended. executor: as of
    `Archive.look`. Returns the counts. Raises UserError where no pair could be used."""
    duty = Annotating(cutting, collection.kind, captioner)
    archive = Archive(out, duty)
    choice = choice or Choice()
    surveys = archive.look(collection, choice, executor)
    tasks, failed = archive.work_through(surveys, choice, executor)
    pairs = spoilt = unusable = 0
    reasons = list(failed)
    path = out / FILE
    with whole_file(path) as temporary:
        with temporary.open('wb') as file:
            for task in tasks:
                with archive.reading(task):
                    lines = archive.part(task, duty.suffix).read_bytes()
                    found = [json.loads(line) for line in lines.splitlines()]
                    facts = json.loads(archive.part(task, '.json').read_text())
                file.write(lines)
                pairs += len(found)
                spoilt += sum(bool(line['degradations']) for line in found)
                unusable, reasons = unusable + facts['unusable'], reasons + facts['why']
        if not pairs:
            raise collection.nothing(surveys, reasons)
    for sentence in reasons[len(failed) : len(failed) + 1]:
        warn(f'{unusable} pairs can not be used, the first: {sentence}')
    return {
        'file': str(path),
        f'{collection.kind}s': len(surveys),
        'left out': sum(bool(one.reason) for one in surveys),
        'pairs': pairs,
        'with faults': spoilt,
        'unusable': unusable,
        'failed': failed,
    }
