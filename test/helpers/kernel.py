"""What the tests of the compiled kernel share."""

import numpy as np
import pytest

from multimodal_fusion.fusers.kernel.library import library
from multimodal_fusion.runtime.manifest import Manifest

SHIPPED = ['mmdrfuse', 'mmdrfuse_plus']
# One tile and several, whole vectors and not, odd and even.
SIZES = [(32, 32), (33, 47), (48, 63), (101, 641), (50, 1283), (480, 640)]

needs_kernel = pytest.mark.skipif(
    library() is None,
    reason='the kernel is not built: python setup.py build_ext --inplace, with a C compiler',
)
random = np.random.default_rng(3)


def noise(*shape):
    return random.integers(0, 256, shape, np.uint8)


def shipped(name):
    manifest = Manifest.load()
    return (manifest.folder / manifest.models[name].file).read_bytes()
