"""Where bags and data sets are: on this machine, or behind a protocol (s3://, gs://, https://, sftp://).

Remote places are paths of universal-pathlib, which speaks to them through fsspec; its protocols
come with packages of their own (s3fs, gcsfs, aiohttp, paramiko). Credentials and endpoints are
those of fsspec's own configuration (FSSPEC_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ..errors import UserError, told
from ..host.progress import warn
from .text_files import read_text

BLOCK = 2**20  # bytes that a remote file is read by, so that an index does not fetch what it skips


class Unreachable(UserError):  # noqa: N818 (as BadImage)
    """A place that can't be reached now: trying again may help."""


def remote(text: str | Path) -> bool:
    return '://' in str(text)


def place(text: str) -> Any:
    """A pathlib.Path, or what behaves as one. Raises UserError where its protocol is not
    installed."""
    if not remote(text):
        return Path(text)
    try:
        from upath import UPath
    except ImportError:
        raise UserError(
            f'{text} is remote, which needs universal-pathlib: pip install "multimodal_fusion'
            '[remote]"'
        ) from None
    with reaching(text):
        return UPath(text)


def missing(error: FileNotFoundError) -> bool:
    """Whether a file is missing; fsspec says so of a web server that is down, too."""
    cause = error.__cause__
    known = cause is None or isinstance(cause, FileNotFoundError)
    return known or getattr(cause, 'status', None) == 404


@contextmanager
def reaching(text: Any) -> Iterator[None]:
    """Whatever goes wrong on the way to a place is one sentence: raises Unreachable."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except FileNotFoundError as error:
        if not missing(error):
            raise Unreachable(
                f'{text} cannot be reached: {told(error.__cause__ or error)}'
            ) from error
        raise Unreachable(f'{text} is not there (any more)') from error
    except PermissionError as error:
        hint = (
            ': give credentials as its protocol wants them (AWS_ACCESS_KEY_ID and '
            'AWS_SECRET_ACCESS_KEY of s3)'
        )
        raise Unreachable(
            f'no access to {text} ({told(error)}){hint if remote(text) else ""}'
        ) from error
    except ImportError as error:
        raise Unreachable(f'{text}: its protocol needs a package: {told(error)}') from error
    except Exception as error:  # each protocol has its own; they have tried again themselves
        raise Unreachable(f'{text} cannot be reached: {told(error)}') from error


def read_at(path: Any) -> Any:
    """A file opened for reading in bytes."""
    return path.open('rb', block_size=BLOCK) if remote(path) else path.open('rb')


def patterns(text: str, suffixes: tuple[str, ...] = ()) -> list[str]:
    """The lines of a text file; else the text itself. suffixes: of files that are none. Raises
    UserError."""
    path = Path(text)
    if remote(text) or not path.is_file() or suffix_of(text) in suffixes:
        return [text]
    lines = map(str.strip, read_text(path, 'the list of names').splitlines())
    return [line for line in lines if line and not line.startswith('#')]


def matching(pattern: str) -> list[str] | None:
    """Files and folders of a pattern; None for a name, which may hold the signs of one. Raises
    UserError."""
    there = not remote(pattern) and Path(pattern).exists()
    signs = '*[' if _web(pattern) else '*?['  # there a query begins with ?
    if there or not any(sign in pattern for sign in signs):
        return None
    if not remote(pattern):
        return glob.glob(pattern, recursive=True)
    with reaching(pattern):
        base = place(pattern)
        return [_prefix(pattern) + found for found in base.fs.glob(base.path)]


def _web(name: str) -> bool:
    return name.startswith(('http://', 'https://'))


def suffix_of(name: Any) -> str:
    """In lower case; of a web address without its query."""
    text = str(name)
    if _web(text):
        text = urlsplit(text).path
    return PurePosixPath(text).suffix.lower()


def each_once(names: Iterable[str]) -> list[str]:
    """Sorted; of the names that lead to the same place the first. Those that are no text are told
    and left out."""
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        try:
            name.encode()
        except UnicodeEncodeError:
            warn(f'left out: {name!a} is no name in UTF-8')
            continue
        found.setdefault(name if remote(name) else os.path.realpath(name), name)
    return sorted(found.values())


def fingerprint(files: Iterable[Any]) -> str:
    """Of the names, sizes and times of files: another one where they have changed. Raises
    UserError for a place out of reach."""
    digest = hashlib.sha256()
    for file in files:
        with reaching(file):
            known = file.stat()
        digest.update(f'{file.name} {known.st_size} {known.st_mtime}\n'.encode())
    return digest.hexdigest()[:16]


def name_of(path: Any, found_in: str) -> str:
    """The name by which `place` gives a path that was found below a place: of a remote one with
    its host, which the path does not tell."""
    return _prefix(found_in) + path.path.rstrip('/') if remote(found_in) else str(path)


def _prefix(name: str) -> str:
    """What stands before the path of a remote place: its protocol, host and user."""
    from fsspec import get_filesystem_class

    path = get_filesystem_class(name.partition('://')[0])._strip_protocol(name)
    return name.rstrip('/').removesuffix(path.rstrip('/'))
