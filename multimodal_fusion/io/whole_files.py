"""Files on disk that are either whole or absent."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError


class FullDisk(UserError):  # noqa: N818 (as BadImage)
    """There is no room for a file."""


def make_folder(path: Path) -> Path:
    """Create a folder for output, with a plain sentence where that is not possible."""
    if re.match(r'[a-z][a-z0-9+.-]+:/', str(path)):  # as pathlib makes of s3://
        raise UserError(f'{path} is remote: output is written to this machine, give a folder here')
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(
            f'the output folder {path} cannot be written to ({error.strerror}); choose another '
            'with -o'
        ) from error
    return path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write to the temporary path that is yielded; it becomes ``path`` only if nothing failed.

    The temporary name keeps the suffix, because image and video writers go by it.
    """
    path = Path(path)
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=f'.{path.stem}-', suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FullDisk(f'{path} cannot be written ({error.strerror}): make room') from error
    finally:
        temporary.unlink(missing_ok=True)


def room_for(folder: Path, wanted: float) -> str:
    """An estimate in words. wanted: bytes. Raises UserError where the disk has less."""
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise UserError(
            f'about {_told(wanted)} would be written to {folder}, and {_told(free)} are free: make '
            'room, or choose fewer'
        )
    return f'about {_told(wanted)} will be written, {_told(free)} are free'


def _told(size: float) -> str:
    return f'{size * 1e-9:.2f} GB' if size >= 1e9 else f'{size * 1e-6:.1f} MB'
