"""Records on disk, one per training patch, mapped into memory: nothing of them stays in RAM."""

import os
import struct
from pathlib import Path

import numpy as np

from ...errors import UserError

_HEAD = struct.Struct('<qq')  # magic, step of the checkpoint that the log leads back to
_MAGIC = 0x4D4D44525F31


class Store:
    """``count`` records of a numpy type, in one file; new ones are all zero.

    The space is reserved at once, so that a full disk is told at the start, in a sentence.
    """

    def __init__(self, path: Path, count: int, dtype: np.dtype):
        self.path, dtype = Path(path), np.dtype(dtype)
        size = count * dtype.itemsize
        if not self.path.exists() or self.path.stat().st_size != size:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with open(self.path, 'wb') as file:
                    os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                self.path.unlink(missing_ok=True)
                raise UserError(
                    f'{path} needs {size / 1e6:.0f} MB: {error.strerror}; free some space, choose '
                    'another --out, or lower "patches" in the configuration'
                ) from error
        self.records = np.memmap(self.path, dtype, 'r+', shape=(count,))

    def __getitem__(self, keys: np.ndarray) -> np.ndarray:
        return self.records[keys]

    def __setitem__(self, keys: np.ndarray, values: np.ndarray) -> None:
        self.records[keys] = values


class RewindingStore(Store):
    """A store that goes back to its last checkpoint when the run was killed after it.

    Before a record changes for the first time since the checkpoint, its old content goes to a log
    beside the store. `rewind` puts the logged contents back.
    """

    def __init__(self, path: Path, count: int, dtype: np.dtype):
        self.log = Path(path).with_suffix('.undo')
        super().__init__(path, count, dtype)
        self.entry = np.dtype([('key', '<i8'), ('record', self.records.dtype)])
        self.logged = np.zeros(count, bool)
        self.file = None

    def rewind(self, step: int) -> None:
        """Go back to the checkpoint of this step. Step 0 empties the store."""
        if step == 0:
            self.records[:] = np.zeros((), self.records.dtype)
        elif self.log.exists():
            content = self.log.read_bytes()
            whole = len(content) >= _HEAD.size
            if whole and _HEAD.unpack_from(content) == (_MAGIC, step):
                # What was being logged when the run was killed had not changed yet.
                count = (len(content) - _HEAD.size) // self.entry.itemsize
                old = np.frombuffer(content, self.entry, count, _HEAD.size)
                self.records[old['key']] = old['record']
        self.checkpoint(step)

    def checkpoint(self, step: int) -> None:
        """Call once the checkpoint of this step is sealed: from now on it is led back to."""
        self.records.flush()
        if self.file is not None:
            self.file.close()
        self.file = open(self.log, 'wb', buffering=0)  # noqa: SIM115
        self.file.write(_HEAD.pack(_MAGIC, step))
        self.logged[:] = False

    def __setitem__(self, keys: np.ndarray, values: np.ndarray) -> None:
        new = np.unique(keys[~self.logged[keys]])
        if len(new):
            old = np.zeros(len(new), self.entry)
            old['key'], old['record'] = new, self.records[new]
            self.file.write(old.tobytes())
            self.logged[new] = True
        super().__setitem__(keys, values)
