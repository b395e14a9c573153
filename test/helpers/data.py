"""Where the real images are, for the tests that use them, and what stands in for them elsewhere."""

import functools
import os
import tempfile
from pathlib import Path

import cv2
import pytest

from multimodal_fusion.scene import Scene

DATA = Path(os.environ.get('MULTIMODAL_FUSION_DATA', Path(__file__).parents[3] / 'shared' / 'data'))
REAL = (DATA / 'ivif').is_dir()

needs_data = pytest.mark.skipif(
    not REAL,
    reason='what it asserts is of real images: set MULTIMODAL_FUSION_DATA to a folder with ivif/',
)


@functools.cache
def _rendered() -> tempfile.TemporaryDirectory:
    """Eight pairs of the synthetic road, laid out as the real ones; gone when Python ends."""
    folder = tempfile.TemporaryDirectory(prefix='pairs')
    for kind in ('vis', 'ir'):
        (Path(folder.name) / kind).mkdir()
    for i in range(8):
        scene, t = Scene(seed=i), 3.0 * i
        cv2.imwrite(f'{folder.name}/vis/road_{i}.jpg', scene.visible(t))
        cv2.imwrite(f'{folder.name}/ir/road_{i}.png', scene.thermal(t))
    return folder


def validation_pairs() -> Path:
    """A folder with vis/STEM.jpg and ir/STEM.png: real pairs where they are, else rendered."""
    return DATA / 'ivif/val' if REAL else Path(_rendered().name)


def every(paths, step: int) -> list[Path]:
    """Each ``step``-th of many real files; of the few rendered ones all."""
    return sorted(paths)[:: step if REAL else 1]
