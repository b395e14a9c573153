"""Tiles against the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.tiles import LEAST, tiled

random = np.random.default_rng(0)


def noise(*shape):
    return random.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize('name', ['mmdrfuse_plus', 'mmdrfuse_pyramid', 'mobilefuse_colour'])
def test_models_that_see_no_farther_than_the_overlap_give_the_whole_image(name):
    """Within a level on 99.9% of the pixels, at sizes that tiles do not divide."""
    load = dict(compiled=False, mask_scale=1.0)
    whole, parts = Fuser.load(name, **load), Fuser.load(name, **load, tile=256)
    for shape in ((300, 500), (257, 256), (256, 256)):
        visible, thermal = noise(*shape, 3), noise(*shape)
        off = np.abs(whole.fuse(visible, thermal).astype(int) - parts.fuse(visible, thermal))
        assert (off <= 1).mean() > 0.999


@settings(max_examples=25, deadline=None)
@given(height=st.integers(32, 900), width=st.integers(32, 900))
def test_every_pixel_is_covered_and_no_tile_is_longer(height, width):
    """A fuser that returns its images gives them back, whatever the size, mask included."""
    sizes = []

    def run(visible, thermal):
        sizes.append(thermal.shape)
        return visible, thermal

    visible, thermal = noise(height, width, 3), noise(height, width)
    fused, mask = tiled(run, LEAST)(visible, thermal)
    assert np.array_equal(fused, visible) and np.array_equal(mask, thermal)
    assert max(max(size) for size in sizes) <= LEAST


def test_where_tiles_differ_they_fade():
    """Each tile its own grey: no step of more than a level or two anywhere."""
    levels = iter(range(0, 250, 20))
    fused, none = tiled(lambda v, t: (np.full_like(v, next(levels)), None), LEAST)(
        noise(LEAST, 1000), noise(LEAST, 1000)
    )
    assert none is None and np.ptp(fused) >= 60
    assert np.abs(np.diff(fused.astype(int), axis=1)).max() <= 2


def test_a_tile_that_is_too_small():
    with pytest.raises(UserError, match=r'the tile \(model.tile\) must be 0 or at least 256'):
        Fuser.load('mobilefuse', tile=100)
