"""Results by content hash: what was measured once is not measured again."""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from ..io.whole_files import whole_file

_PACKAGE = Path(__file__).parent.parent
# Whole packages: a list of files would miss the one that is added next.
_CODE = ('io', 'runtime', 'fusers', 'registration', 'detect', 'pipeline', 'evaluate')


def _libraries() -> dict[str, str]:
    """Versions of what computes the pixels and the figures, of those that are there."""
    names = ('numpy', 'opencv-python-headless', 'opencv-python', 'onnxruntime', 'PyWavelets')
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@lru_cache
def code_hash(package: Path = _PACKAGE) -> str:
    """Changes with every change of the code that makes or measures fused images."""
    digest = hashlib.sha256(str(sorted(_libraries().items())).encode())
    files = [path for name in _CODE for path in (package / name).rglob('*')]
    for path in sorted([*files, *package.glob('*.py')]):
        if path.suffix in ('.py', '.c', '.h', '.so'):
            digest.update(f'{path.relative_to(package)}\0'.encode() + path.read_bytes())
    return digest.hexdigest()


class Cache:
    """A folder of small JSON files; without a folder it remembers nothing."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    @staticmethod
    def default_folder() -> Path:
        base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
        return Path(base) / 'multimodal_fusion' / 'metrics'

    def key(self, *parts: str) -> str:
        """The hash of everything a result depends on."""
        return hashlib.sha256('\0'.join((code_hash(), *parts)).encode()).hexdigest()

    def get(self, key: str) -> dict[str, float] | None:
        """The metrics stored under a key; None if there are none, or they cannot be read."""
        if self.folder is None:
            return None
        try:
            stored = json.loads(self._path(key).read_text())
        except (OSError, ValueError):
            return None
        return {name: math.nan if value is None else value for name, value in stored.items()}

    def put(self, key: str, values: dict[str, float]) -> None:
        """Store metrics; a cache that cannot be written is no reason to stop."""
        if self.folder is None:
            return
        stored = {name: None if math.isnan(value) else value for name, value in values.items()}
        try:
            with whole_file(self._path(key)) as temporary:
                temporary.write_text(json.dumps(stored))
        except (OSError, UserError):
            self.folder = None

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f'{key[2:]}.json'
