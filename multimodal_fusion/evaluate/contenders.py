"""What is compared: fusers, each source alone, and somebody else's fused images."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..fusers.classical import CLASSICAL
from ..fusers.fuser import MASK_SCALE, Fuser
from ..io.datasets import images_in
from ..io.image_files import read_visible
from ..io.pixels import luma
from ..runtime.manifest import Manifest

BASELINES = ('visible', 'thermal', *CLASSICAL)
SOURCES = ('visible', 'thermal')


@dataclass(frozen=True)
class Contender:
    """One row of the table. Picklable: worker processes load it on their own.

    source: ``classical``, ``learned``, ``source`` (one image as it is) or ``images`` (a folder).
    identity: changes whenever the fused pixels may change; part of the cache's key.
    """

    name: str
    source: str
    identity: str
    spec: str
    kind: str = 'luma'
    parameters: int = 0
    sha256: str | None = None
    baseline: bool = False
    allow_unlisted: bool = False
    mask_scale: float = MASK_SCALE

    def loader(self) -> Callable[[str, np.ndarray, np.ndarray], np.ndarray]:
        """A function (stem, visible, thermal) -> fused, uint8 of visible's shape."""
        if self.name in SOURCES and self.source == 'source':
            return lambda stem, visible, thermal: visible if self.name == 'visible' else thermal
        if self.source == 'images':
            files = images_in(Path(self.spec))
            return lambda stem, visible, thermal: read_fused(files, stem, Path(self.spec), thermal)
        fuser = Fuser.load(
            self.spec, allow_unlisted=self.allow_unlisted, mask_scale=self.mask_scale
        )
        return lambda stem, visible, thermal: fuser.fuse(visible, thermal)


def read_fused(files: dict[str, Path], stem: str, folder: Path, thermal: np.ndarray) -> np.ndarray:
    """A fused image that somebody else made. Raises UserError if it is missing or of other size."""
    if stem not in files:
        raise UserError(f'{folder} has no fused image for {stem}')
    fused = read_visible(files[stem])
    if fused.shape[:2] != thermal.shape:
        raise UserError(
            f'{files[stem]} is {fused.shape[1]}x{fused.shape[0]}, its sources are '
            f'{thermal.shape[1]}x{thermal.shape[0]}: fused images must have the size of their pair'
        )
    return fused


def contenders(
    models: list[str],
    fused: list[Path],
    baselines: bool,
    allow_unlisted: bool,
    mask_scale: float = MASK_SCALE,
) -> list[Contender]:
    """The rows that were asked for, baselines first, each once. Raises UserError."""
    manifest = Manifest.load()
    names = [*(BASELINES if baselines else ()), *models]
    found = [_model(name, manifest, allow_unlisted, mask_scale) for name in dict.fromkeys(names)]
    found += [_folder(path) for path in fused]
    seen: dict[str, Contender] = {}
    for contender in found:
        if contender.name in seen and contender != seen[contender.name]:
            raise UserError(
                f'two of the methods to compare are called {contender.name}: '
                f'{seen[contender.name].spec} and {contender.spec}; rename one'
            )
        seen[contender.name] = contender
    return list(seen.values())


def _model(name: str, manifest: Manifest, allow_unlisted: bool, mask_scale: float) -> Contender:
    baseline = name in BASELINES
    if name in SOURCES:
        return Contender(name, 'source', name, name, baseline=True)
    fuser = Fuser.load(name, allow_unlisted=allow_unlisted, manifest=manifest)
    if name in CLASSICAL:
        return Contender(name, 'classical', name, name, fuser.kind, baseline=baseline)
    if name == 'default':
        name = manifest.default
    assert fuser.origin is not None  # it is learned
    sha256 = fuser.origin.sha256
    return Contender(
        fuser.name,
        'learned',
        f'{sha256} {mask_scale:g}' if fuser.blends else sha256,
        name,
        fuser.kind,
        int(fuser.metadata.get('parameters') or 0),
        sha256,
        allow_unlisted=allow_unlisted,
        mask_scale=mask_scale,
    )


def _folder(path: Path) -> Contender:
    """Fused images: identified by their contents, so that a changed file is measured anew."""
    digest = hashlib.sha256()
    for file in images_in(path).values():
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return Contender(path.resolve().name, 'images', digest.hexdigest(), str(path))


def to_luma(fused: np.ndarray) -> np.ndarray:
    """The channel that the metrics see."""
    return luma(fused)
