"""The fusers there are: what the command `models` lists."""

from dataclasses import dataclass

from ..runtime.manifest import Manifest
from .classical import CLASSICAL


@dataclass(frozen=True)
class ModelInfo:
    """What a fuser is, for people: shown by ``models``, ``doctor`` and the node's diagnostics."""

    name: str
    kind: str
    source: str
    licence: str
    parameters: int = 0
    bytes: int = 0
    description: str = ''


def available(manifest: Manifest | None = None) -> list[ModelInfo]:
    """Everything that loads by name: classical fusers, then ``models.yaml``, fusers first."""
    manifest = manifest or Manifest.load()
    found = [
        ModelInfo(name, 'luma', 'classical', 'Apache-2.0', description=first_line(method.__doc__))
        for name, method in CLASSICAL.items()
    ]
    for entry in manifest.entries():
        path = manifest.folder / entry.file
        found.append(
            ModelInfo(
                entry.name,
                entry.kind,
                f'learned: {entry.made_by}' if entry.made_by else 'learned',
                entry.licence,
                entry.parameters,
                path.stat().st_size if path.is_file() else 0,
                entry.description,
            )
        )
    return found


def first_line(text: str | None) -> str:
    return (text or '').strip().splitlines()[0]
