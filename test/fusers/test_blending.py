"""Blending by a mask, whole or enlarged from a smaller one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multimodal_fusion.fusers.blending import blend, enlarge, reduced

IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(*[arrays(np.uint8, shape)] * 3)
)


@settings(max_examples=60, deadline=None)
@given(IMAGES)
def test_every_pixel_is_the_rounded_blend_and_between_its_sources(images):
    thermal, visible, mask = images
    share = mask / 255
    exact = thermal * share + visible * (1 - share)
    for shown in (visible, np.dstack([visible] * 3)):
        fused = blend(thermal, shown, mask)
        assert fused.shape == shown.shape
        assert fused.dtype == np.uint8
        grey = fused if fused.ndim == 2 else fused[..., 1]
        assert np.abs(grey - exact).max() <= 0.5 + 1e-6
        assert (grey >= np.minimum(thermal, visible)).all()
        assert (grey <= np.maximum(thermal, visible)).all()


@settings(max_examples=30, deadline=None)
@given(IMAGES)
def test_no_mask_and_full_mask_give_the_sources_and_equal_sources_the_source(images):
    thermal, visible, mask = images
    np.testing.assert_array_equal(blend(thermal, visible, np.zeros_like(mask)), visible)
    np.testing.assert_array_equal(blend(thermal, visible, np.full_like(mask, 255)), thermal)
    np.testing.assert_array_equal(blend(visible, visible, mask), visible)


def test_colour_is_blended_channel_by_channel():
    """Mask 51 is a fifth: 0.2 x 100 + 0.8 x (0, 50, 250) = (20, 60, 220)."""
    visible = np.full((2, 2, 3), (0, 50, 250), np.uint8)
    thermal, mask = np.full((2, 2), 100, np.uint8), np.full((2, 2), 51, np.uint8)
    np.testing.assert_array_equal(blend(thermal, visible, mask)[0, 0], (20, 60, 220))


@pytest.mark.parametrize(
    ('shape', 'scale', 'expected'),
    [((480, 640), 0.5, (240, 320)), ((481, 99), 0.25, (120, 32)), ((32, 40), 0.1, (32, 32))],
)
def test_reduced_images_are_never_below_what_a_model_takes(shape, scale, expected):
    assert reduced(np.zeros(shape, np.uint8), scale).shape == expected
    assert reduced(np.zeros((*shape, 3), np.uint8), scale).shape == (*expected, 3)


def test_enlarging_keeps_a_flat_mask_and_the_place_of_an_edge():
    flat = np.full((60, 80), 77, np.uint8)
    assert (enlarge(flat, (240, 320)) == 77).all()
    edge = np.zeros((240, 320), np.uint8)
    edge[:, 160:] = 255
    back = enlarge(reduced(edge, 0.25), edge.shape)
    assert (back[:, :157] == 0).all()
    assert (back[:, 163:] == 255).all()
