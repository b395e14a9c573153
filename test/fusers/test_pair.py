"""The two ways in which colour comes back."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.fusers.pair import MOST_COLOUR, keep_colour, return_colour
from multimodal_fusion.io.pixels import luma


def patch(colour, level):
    """A patch of one BGR colour, its luma, and fused luma of one level."""
    visible = np.full((4, 5, 3), colour, np.uint8)
    return visible, luma(visible), np.full((4, 5), level, np.uint8)


@pytest.mark.parametrize('bring_back', [return_colour, keep_colour])
def test_what_is_not_changed_stays(bring_back):
    visible = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    grey = luma(visible)
    assert np.abs(bring_back(visible, grey, grey).astype(int) - visible).max() <= 1
    assert bring_back(grey, grey, grey // 2) is not None
    np.testing.assert_array_equal(bring_back(grey, grey, grey // 2), grey // 2)


def test_kept_colour_by_hand():
    """BGR (20, 40, 60), Y 44, at F 88: twice as much of all; added: 44 more of each."""
    visible, grey, fused = patch((20, 40, 60), 88)
    assert grey[0, 0] == 44
    np.testing.assert_array_equal(keep_colour(visible, grey, fused)[0, 0], (40, 80, 120))
    np.testing.assert_array_equal(return_colour(visible, grey, fused)[0, 0], (64, 84, 104))


def test_no_channel_clips_and_hue_stays():
    """BGR (0, 0, 200), Y 60, at F 180: s would be 3, but red has room for 75 / 140."""
    visible, grey, fused = patch((0, 0, 200), 180)
    blue, green, red = keep_colour(visible, grey, fused)[0, 0].astype(int)
    assert (red, blue) == (255, green) and blue == round(180 - 60 * 75 / 140)


def test_black_noise_does_not_become_colour():
    visible, grey, fused = patch((4, 0, 0), 200)
    kept = keep_colour(visible, grey, fused)[0, 0].astype(int)
    assert np.ptp(kept) <= 4 * MOST_COLOUR


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_kept_colour_has_the_fused_luma(seed):
    """`add` may clip; `keep` is within rounding."""
    random = np.random.default_rng(seed)
    visible = random.integers(0, 256, (9, 11, 3), np.uint8)
    fused = random.integers(0, 256, (9, 11), np.uint8)
    kept = keep_colour(visible, luma(visible), fused)
    assert kept.dtype == np.uint8 and kept.shape == visible.shape
    assert np.abs(luma(kept).astype(int) - fused).max() <= 2


def test_hue_of_bright_and_dark_changes():
    visible, grey, _ = patch((30, 90, 150), 0)
    hue = cv2.cvtColor(visible, cv2.COLOR_BGR2HSV)[0, 0, 0]
    for level in (40, 120, 160, 220):
        kept = keep_colour(visible, grey, np.full_like(grey, level))
        assert abs(int(cv2.cvtColor(kept, cv2.COLOR_BGR2HSV)[0, 0, 0]) - int(hue)) <= 2
