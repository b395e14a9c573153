"""models.yaml: which model files are known, and which may be loaded."""

import hashlib
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..host.share import share_file
from ..io.text_files import read_yaml
from .onnx_file import check_onnx

MAX_BYTES = 512 * 2**20


@dataclass(frozen=True)
class ModelEntry:
    """One line of ``models.yaml``."""

    name: str
    file: str
    sha256: str
    kind: str = 'luma'
    parameters: int = 0
    licence: str = ''
    description: str = ''
    made_by: str = ''
    trained_on: str = ''
    scores: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """``models.yaml``: the fusers that are known, which is the default, detectors, segmenters."""

    folder: Path
    default: str
    models: dict[str, ModelEntry]
    detectors: dict[str, ModelEntry] = field(default_factory=dict)
    segmenters: dict[str, ModelEntry] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None = None) -> 'Manifest':
        """Read a manifest, the package's own by default. Raises UserError."""
        path = path or share_file('models/models.yaml')
        try:
            content = read_yaml(path, 'the model manifest')
            models, detectors, segmenters = (
                {name: ModelEntry(name, **entry) for name, entry in group.items()}
                for group in (
                    content['models'],
                    content.get('detectors', {}),
                    content.get('segmenters', {}),
                )
            )
            return cls(path.parent, content['default'], models, detectors, segmenters)
        except (TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f'{path} is not a model manifest (models: name: {{file, sha256, ...}}, '
                f'default: name): {error}'
            ) from error

    def entries(self) -> list[ModelEntry]:
        """Every file, fusers first."""
        return [*self.models.values(), *self.detectors.values(), *self.segmenters.values()]

    def lists(self, sha256: str) -> bool:
        """Whether it has a file of this hash."""
        return any(entry.sha256 == sha256 for entry in self.entries())


@dataclass(frozen=True)
class Origin:
    """The file that a model was read from, and its hash then."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path, content: bytes) -> 'Origin':
        return cls(path, hashlib.sha256(content).hexdigest())

    def changed(self) -> bool:
        """Whether the file holds something else now, or cannot be read."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest() != self.sha256
        except OSError:
            return True


def read_model(path: Path, manifest: Manifest, allow_unlisted: bool = False) -> bytes:
    """The bytes of a model file that may be loaded.

    Raises UserError if the file is missing, too large, not ONNX, keeps weights in other files, has
    another hash than the manifest says, or is not listed and ``allow_unlisted`` is false.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise UserError(f'{path} is no regular file; give the path of an .onnx file')
        size = status.st_size
        if size > MAX_BYTES:
            raise UserError(f'{path} has {size} bytes; models over {MAX_BYTES} bytes are refused')
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f'the model file {path} cannot be read: {error.strerror}') from error
    check_onnx(content, path)
    sha256 = hashlib.sha256(content).hexdigest()
    if manifest.lists(sha256):
        return content
    for entry in manifest.entries():
        if path.resolve() == (manifest.folder / entry.file).resolve():
            raise UserError(
                f'{path} has sha256 {sha256[:12]}…, but models.yaml lists {entry.sha256[:12]}…: '
                'the file was damaged or exchanged; install the package again, or correct '
                'models.yaml if you retrained it'
            )
    if not allow_unlisted:
        raise UserError(
            f'{path} is not listed in models.yaml; if you trust the file, allow it with '
            '--allow-unlisted (node: model.allow_unlisted)'
        )
    return content
