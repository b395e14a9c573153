"""Where bags are: on this machine, or behind a protocol (s3://, gs://, https://, sftp://).

Remote places are paths of universal-pathlib, which speaks to them through fsspec; its protocols
come with packages of their own (s3fs, gcsfs, aiohttp, paramiko). Credentials and endpoints are
those of fsspec's own configuration (FSSPEC_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError, told
from .text_files import read_text

BAG_SUFFIXES = ('.mcap', '.db3')
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


@contextmanager
def reaching(text: Any) -> Iterator[None]:
    """Whatever goes wrong on the way to a place is one sentence: raises Unreachable."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except FileNotFoundError as error:
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


def expand(text: str) -> list[str]:
    """The bags of a pattern (``flights/**/*.mcap``), of a folder of bags, or of a text file that
    names them, a line each; sorted, each once. Raises UserError where there are none."""
    found = {bag for pattern in patterns(text, BAG_SUFFIXES) for bag in _matching(pattern)}
    if not found:
        raise UserError(
            f'{text} gives no bag: give a pattern in quotes ("flights/**/*.mcap"), a folder of '
            'bags, or a text file with one a line'
        )
    return sorted(found)


def patterns(text: str, suffixes: tuple[str, ...] = ()) -> list[str]:
    """The lines of a text file; else the text itself. suffixes: of files that are none. Raises
    UserError."""
    path = Path(text)
    if remote(text) or not path.is_file() or path.suffix in suffixes:
        return [text]
    lines = map(str.strip, read_text(path, 'the list of names').splitlines())
    return [line for line in lines if line and not line.startswith('#')]


def matching(pattern: str) -> list[str]:
    """Files and folders of a pattern; of what is no pattern itself. Raises UserError."""
    if not any(sign in pattern for sign in '*?['):
        return [pattern.rstrip('/')]
    if not remote(pattern):
        return glob.glob(pattern, recursive=True)
    with reaching(pattern):
        base = place(pattern)
        return [_prefix(pattern) + found for found in base.fs.glob(base.path)]


def name_of(path: Any, found_in: str) -> str:
    """The name by which `place` gives a path that was found below a place: of a remote one with
    its host, which the path does not tell."""
    return _prefix(found_in) + path.path.rstrip('/') if remote(found_in) else str(path)


def _prefix(name: str) -> str:
    """What stands before the path of a remote place: its protocol, host and user."""
    from fsspec import get_filesystem_class

    path = get_filesystem_class(name.partition('://')[0])._strip_protocol(name)
    return name.rstrip('/').removesuffix(path.rstrip('/'))


def _matching(pattern: str) -> list[str]:
    found = matching(pattern)
    if found == [pattern.rstrip('/')]:
        if pattern.endswith(BAG_SUFFIXES):
            return found
        with reaching(pattern):
            folder = place(pattern)
            if folder.is_dir() and not (folder / 'metadata.yaml').exists():
                inside = [f for suffix in BAG_SUFFIXES for f in folder.rglob(f'*{suffix}')]
                found = [name_of(f, pattern) for f in inside]
    whole: dict[str, bool] = {}  # folders that are bags

    def bag_of(name: str) -> str:
        """The bag that a file belongs to: its folder, where that is one."""
        folder = name.rpartition('/')[0] or '.'
        if not name.endswith(BAG_SUFFIXES):
            return name
        if folder not in whole:
            with reaching(folder):
                whole[folder] = (place(folder) / 'metadata.yaml').exists()
        return folder if whole[folder] else name

    return [bag_of(name) for name in found]


def size_of(bag: str) -> int:
    """Bytes of a bag. Raises UserError for one out of reach."""
    path = place(bag)
    with reaching(bag):
        files = path.rglob('*') if path.is_dir() else [path] if path.exists() else []
        return sum(file.stat().st_size for file in files if file.is_file())
