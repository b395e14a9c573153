"""Which bags a pattern, a folder or a list stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from .places import (
    each_once,
    fingerprint,
    matching,
    name_of,
    patterns,
    place,
    reaching,
    remote,
    suffix_of,
)

SUFFIXES = ('.mcap', '.db3')


def expand(text: str) -> list[str]:
    """The bags of a pattern (``flights/**/*.mcap``), of a folder of bags, or of a text file that
    names them, a line each; sorted, each once. Raises UserError where there are none."""
    looked = _Looked()
    for pattern in patterns(text, SUFFIXES):
        names = matching(pattern)
        if names is None:
            looked.named(pattern.rstrip('/') or '/')
        for name in names or ():
            looked.found(name)
    bags = each_once(looked.bags)
    if not bags:
        raise UserError(
            f'{text} gives no bag: give a pattern in quotes ("flights/**/*.mcap"), a folder of '
            'bags, or a text file with one a line'
        )
    return bags


class _Looked:
    """What was seen so far. bags: names."""

    def __init__(self) -> None:
        self.bags: set[str] = set()
        self._whole: dict[str, bool] = {}  # folders that are bags

    def named(self, name: str) -> None:
        """By a user: it is taken, unless it is a folder of bags; what is wrong with it is told when
        it is opened."""
        if suffix_of(name) in SUFFIXES:
            if not self._is_bag(_parent(name)) or _parent(name) not in self.bags:
                self.bags.add(name)
        elif self._is_bag(name) or not self._below(name):
            self.bags.add(name)

    def found(self, name: str) -> None:
        """By a pattern: what is no bag and holds none is passed over."""
        if suffix_of(name) in SUFFIXES:
            self.bags.add(_parent(name) if self._is_bag(_parent(name)) else name)
        elif self._is_bag(name):
            self.bags.add(name)
        else:
            self._below(name)

    def _below(self, folder: str) -> bool:
        """Whether it is a folder, whose bags are taken then."""
        with reaching(folder):
            path = place(folder)
            if not path.is_dir():
                return False
            for file in _files(path):
                if suffix_of(file) in SUFFIXES:
                    self.found(name_of(file, folder))
        return True

    def _is_bag(self, folder: str) -> bool:
        if folder not in self._whole:
            with reaching(folder):
                self._whole[folder] = (place(folder) / 'metadata.yaml').exists()
        return self._whole[folder]


def _parent(name: str) -> str:
    return name.rpartition('/')[0] or ('/' if name.startswith('/') else '.')


def _files(folder: Any) -> Iterator[Any]:
    """All below a folder; here through symbolic links, too, each folder once."""
    if remote(folder):
        yield from folder.rglob('*')
        return
    seen: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(where) / file for file in files)


def _of(bag: str) -> list[Any]:
    """The files of a bag. Raises UserError for one out of reach."""
    path = place(bag)
    with reaching(bag):
        files = sorted(path.rglob('*')) if path.is_dir() else [path] if path.exists() else []
        return [file for file in files if file.is_file()]


def size_of(bag: str) -> int:
    """Bytes of a bag. Raises UserError for one out of reach."""
    files = _of(bag)
    with reaching(bag):
        return sum(file.stat().st_size for file in files)


def mark_of(bag: str) -> str:
    """The `places.fingerprint` of a bag. Raises UserError for one out of reach."""
    return fingerprint(_of(bag))
