"""Lists of stems in text files, and the pairs of a folder that they choose or leave out."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, TypeVar

from ..errors import UserError
from ..host.progress import warn
from ..host.share import share_file
from .text_files import read_text

UNSCORED = '[unscored]'


class _Named(Protocol):
    @property
    def stem(self) -> str: ...


_Item = TypeVar('_Item', bound=_Named)


@dataclass(frozen=True)
class StemList:
    """What a file names: a stem or a pattern (``llvip_020*``) a line, ``#`` before remarks.

    named: what it chooses. unscored: what comes after the line ``[unscored]``, which is left out
    with the others but never chosen.
    """

    path: Path
    named: tuple[str, ...]
    unscored: tuple[str, ...]

    @classmethod
    def read(cls, path: Path | str) -> 'StemList':
        """A path, or a file of the package such as config/train/ivif_test.txt. Raises UserError."""
        file = Path(path)
        if not file.exists():
            try:
                file = share_file(str(path))
            except UserError:
                raise UserError(f'{path} does not exist; it should name a stem a line') from None
        text = read_text(file, 'the stems')
        lines = [line for row in text.splitlines() if (line := row.partition('#')[0].strip())]
        for line in lines:
            heading = line[0] + line[-1] == '[]' and line != UNSCORED
            if heading or len(line.split()) > 1:
                raise UserError(
                    f'{file}: expected a stem, a pattern or {UNSCORED} on a line, got {line!r}'
                )
        if not set(lines) - {UNSCORED}:
            raise UserError(f'{file} names no stem; write one on each line')
        cut = lines.index(UNSCORED) if UNSCORED in lines else len(lines)
        return cls(file, tuple(lines[:cut]), tuple(x for x in lines[cut:] if x != UNSCORED))

    def chooses(self, stem: str) -> bool:
        return _fits(stem, self.named)

    def holds(self, stem: str) -> bool:
        """Whether the file names it in either part."""
        return _fits(stem, (*self.named, *self.unscored))


def _fits(stem: str, patterns: Iterable[str]) -> bool:
    return any(stem == pattern or fnmatchcase(stem, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Selection:
    """Which pairs are meant, of all that are there. stems: only these. without: none of these."""

    stems: StemList | None = None
    without: StemList | None = None

    @classmethod
    def read(cls, stems: Path | str | None = None, without: Path | str | None = None):
        """From files; none for an empty name. Raises UserError."""
        return cls(*(StemList.read(path) if path else None for path in (stems, without)))

    def choose(self, items: Sequence[_Item], source: object) -> list[_Item]:
        """The items that ``stems`` names. Raises UserError if it names one that is not there, or
        one that ``without`` keeps apart.
        """
        if self.stems is None:
            return self.leave_out(items, source)
        there = [item.stem for item in items]
        for pattern in self.stems.named:
            if not any(_fits(stem, (pattern,)) for stem in there):
                near = difflib.get_close_matches(pattern, there, 1)
                hint = f'; did you mean {near[0]!r}?' if near else ''
                raise UserError(f'{source} has no {pattern!r}, named in {self.stems.path}{hint}')
        chosen = [item for item in items if self.stems.chooses(item.stem)]
        apart = [x.stem for x in chosen if self.without is not None and self.without.holds(x.stem)]
        if self.without is not None and apart:
            raise UserError(
                f'{apart[0]} is named in {self.stems.path}, and {self.without.path} keeps it apart'
                f'{f" (and {len(apart) - 1} more)" if len(apart) > 1 else ""}: take it out of one'
            )
        return chosen

    def leave_out(self, items: Sequence[_Item], source: object) -> list[_Item]:
        """The items that ``without`` does not name; those that go are counted and told.

        Raises UserError if none is left.
        """
        if self.without is None:
            return list(items)
        kept = [item for item in items if not self.without.holds(item.stem)]
        if len(kept) < len(items):
            text = f'{len(items) - len(kept)} of {len(items)} pairs of {source} are left out'
            if not kept:
                raise UserError(f'{text}: {self.without.path} names all of them')
            warn(f'{text}, by {self.without.path.name}')
        return kept
