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
    """Whatever goes wrong on the way to a remote place is one sentence: raises UserError."""
    try:
        yield
    except (UserError, GeneratorExit):
        raise
    except FileNotFoundError as error:
        raise UserError(f'{text} is not there (any more)') from error
    except PermissionError as error:
        raise UserError(
            f'no access to {text} ({told(error)}): give credentials as its protocol wants them '
            '(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of s3)'
        ) from error
    except ImportError as error:
        raise UserError(f'{text}: its protocol needs a package: {told(error)}') from error
    except Exception as error:  # each protocol has its own; they have tried again themselves
        raise UserError(f'{text} cannot be reached: {told(error)}') from error


def read_at(path: Any) -> Any:
    """A file opened for reading in bytes."""
    return path.open('rb', block_size=BLOCK) if remote(path) else path.open('rb')


def expand(text: str) -> list[str]:
    """The bags of a pattern (``flights/**/*.mcap``), of a folder of bags, or of a text file that
    names them, a line each; sorted, each once. Raises UserError where there are none."""
    listed = not remote(text) and Path(text).is_file() and Path(text).suffix not in BAG_SUFFIXES
    if listed:
        lines = read_text(Path(text), 'the list of bags').splitlines()
        patterns = [s for line in lines if (s := line.strip()) and not s.startswith('#')]
    else:
        patterns = [text]
    found = {bag for pattern in patterns for bag in _matching(pattern)}
    if not found:
        where = 'names' if listed else 'matches'
        raise UserError(
            f'{text} {where} no bag: give a pattern in quotes ("flights/**/*.mcap"), a folder of '
            'bags, or a text file with one a line'
        )
    return sorted(found)


def _matching(pattern: str) -> list[str]:
    if remote(pattern):
        with reaching(pattern):
            return _matching_remote(pattern)
    if any(sign in pattern for sign in '*?['):
        return [_bag(Path(found)) for found in glob.glob(pattern, recursive=True)]
    path = Path(pattern)
    if path.is_dir() and not (path / 'metadata.yaml').exists():
        inside = [f for suffix in BAG_SUFFIXES for f in path.rglob(f'*{suffix}')]
        return [_bag(f) for f in inside]
    return [pattern]


def _matching_remote(pattern: str) -> list[str]:
    base = place(pattern)
    files, inside = base.fs, base.path.rstrip('/')
    whole: dict[str, bool] = {}  # folders that are bags

    def is_bag(folder: str) -> bool:
        if folder not in whole:
            whole[folder] = files.exists(f'{folder}/metadata.yaml')
        return whole[folder]

    if any(sign in pattern for sign in '*?['):
        found = files.glob(base.path)
    elif pattern.endswith(BAG_SUFFIXES) or is_bag(inside):
        return [pattern.rstrip('/')]
    else:
        found = files.glob(f'{inside}/**/*.mcap')
    parents = {path: path.rpartition('/')[0] for path in found}
    bags = {parent if is_bag(parent) else path for path, parent in parents.items()}
    return [f'{base.protocol}://{bag}' for bag in bags]


def _bag(path: Path) -> str:
    """The bag that a file belongs to: its folder, where that is one."""
    inside = path.suffix in BAG_SUFFIXES and (path.parent / 'metadata.yaml').exists()
    return str(path.parent if inside else path)


def size_of(bag: str) -> int:
    """Bytes of a bag; 0 where that can't be told. Raises UserError for one out of reach."""
    path = place(bag)
    if remote(bag):
        with reaching(bag):
            return path.stat().st_size if path.suffix in BAG_SUFFIXES else 0
    files = path.rglob('*') if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
