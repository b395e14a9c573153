"""Text and YAML that a user hands in: one encoding, a byte-order mark or none, bounded work."""

from __future__ import annotations

import codecs
import stat
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError

MAX_BYTES = 64 * 2**20
MAX_NODES = 100_000  # of a YAML file
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_bytes(path: Path, what: str, most: int = MAX_BYTES) -> bytes:
    """A regular file whole. what: names it in messages. Raises UserError.

    A pipe would be waited for, and a device has no end.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f'{what} {path} is no regular file')
        if status.st_size > most:
            raise UserError(
                f'{what} {path} has {status.st_size} bytes; more than {most} are not read'
            )
        return path.read_bytes()
    except OSError as error:
        raise UserError(f'{what} {path} cannot be read: {error.strerror}') from error


def read_text(path: Path, what: str) -> str:
    """UTF-8, with a byte-order mark or without. Raises UserError."""
    content = read_bytes(path, what)
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        kind = 'UTF-16' if content.startswith(_UTF_16) else 'another encoding'
        raise UserError(
            f'{what} {path} is text in {kind}, not UTF-8 (byte {error.start}): save it as UTF-8'
        ) from error


class _Loader(yaml.SafeLoader):
    """Plain data of a bounded size: a few lines of aliases may stand for gigabytes."""

    def __init__(self, stream):
        super().__init__(stream)
        self._nodes, self._behind = 0, {}  # so far, aliases written out; and of each anchor

    def compose_node(self, parent, index):
        before, anchor = self._nodes, self.peek_event().anchor
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._nodes += self._behind.get(anchor, 1) if is_alias else 1
        if self._nodes > MAX_NODES:
            raise yaml.YAMLError(f'it stands for more than {MAX_NODES} values')
        if anchor and not is_alias:
            self._behind[anchor] = self._nodes - before
        return node


def parse_yaml(text: str, what: str) -> Any:
    """The value of a YAML text. what: names it in messages. Raises UserError."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f'{what} is not valid YAML: {" ".join(str(error).split())}') from error


def read_yaml(path: Path, what: str) -> Any:
    """The value in a YAML file. Raises UserError."""
    return parse_yaml(read_text(path, what), f'{what} {path}')
