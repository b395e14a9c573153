"""Kept contrast against a plain float64 form, values by hand, and where it has none."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from multimodal_fusion.evaluate.metrics import METRICS, evaluate_triple
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.io.pixels import luma

from ..helpers.data import needs_data, validation_pairs

NAMES = ('KC', 'KC_thermal', 'KC_visible', 'amplified', 'saturated')


def kept(thermal, visible, fused):
    return evaluate_triple(thermal, visible, fused, metrics=NAMES)


def windows(image):
    """(N, 49), float64."""
    return sliding_window_view(image.astype(float), (7, 7)).reshape(-1, 49)


def plain(thermal, visible, fused):
    """The equations, one after another."""
    fused_windows, halves, spreads = windows(fused), [], []
    for source in map(windows, (thermal, visible)):
        v = source.var(axis=1)
        c = (source * fused_windows).mean(1) - source.mean(1) * fused_windows.mean(1)
        some = v > 16
        halves.append(np.clip(c[some] / v[some], 0, 1).mean() if some.any() else math.nan)
        spreads.append(v)
    larger = np.maximum(*spreads)
    some = larger > 16
    over = np.sqrt(fused_windows.var(axis=1)) > 1.1 * np.sqrt(larger)
    ends = [np.isin(image, (0, 255)).mean() for image in (fused, np.maximum(thermal, visible))]
    return {
        'KC': np.nanmin(halves) if not np.isnan(halves).all() else math.nan,
        'KC_thermal': halves[0],
        'KC_visible': halves[1],
        'amplified': over[some].mean() if some.any() else math.nan,
        'saturated': ends[0] - ends[1],
    }


@settings(max_examples=60, deadline=None)
@given(
    st.integers(7, 60), st.integers(7, 60), st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from([0, 3, 6, 30, 120, 400]), min_size=3, max_size=3),
)  # fmt: skip
def test_as_the_equations_say(height, width, seed, contrasts):
    random = np.random.default_rng(seed)
    images = [
        np.clip(random.normal(128, contrast, (height, width)), 0, 255).astype(np.uint8)
        for contrast in contrasts
    ]
    assert kept(*images) == pytest.approx(plain(*images), abs=1e-9, nan_ok=True)


def stripes(low, high, shape=(14, 14)):
    """Rows in turn low and high."""
    return np.where(np.arange(shape[0])[:, None] % 2, high, low) + np.zeros(shape, int)


def test_values_by_hand():
    """Stripes of +-s about a mean: in 7 rows 4 of one and 3 of the other, v = s^2 48/49.

    A = 100 +- 40, B flat: B has no window.  F = 100 +- 10 keeps a quarter of A; 100 +- 50 is
    clipped to 1, and 50 > 1.1 * 40 is amplified everywhere; against A the sign is lost: 0.
    """
    thermal, visible = stripes(60, 140).astype(np.uint8), np.full((14, 14), 30, np.uint8)
    for low, high, half, share in ((90, 110, 0.25, 0), (50, 150, 1, 1), (110, 90, 0, 0)):
        found = kept(thermal, visible, stripes(low, high).astype(np.uint8))
        assert found['KC'] == found['KC_thermal'] == pytest.approx(half, abs=1e-12)
        assert math.isnan(found['KC_visible'])
        assert (found['amplified'], found['saturated']) == (share, 0)


def test_the_threshold_of_contrast_is_not_met_by_itself():
    """v = 16 exactly is not above 16: rows of +-4 would be 16 * 48/49, +-5 are 24.5."""
    flat = np.full((14, 14), 90, np.uint8)
    for spread, missing in ((4, True), (5, False)):
        image = stripes(90 - spread, 90 + spread).astype(np.uint8)
        assert math.isnan(kept(image, flat, image)['KC']) == missing


def test_copying_one_source_does_not_win_and_either_half_is_named():
    random = np.random.default_rng(0)
    thermal, visible = random.integers(0, 256, (2, 40, 40), np.uint8)
    copy = kept(thermal, visible, thermal)
    assert copy['KC_thermal'] == 1 and copy['KC'] == copy['KC_visible'] < 0.2
    average = (thermal.astype(int) + visible) // 2
    assert kept(thermal, visible, average.astype(np.uint8))['KC'] > 0.35


def test_saturated_counts_against_the_maximum():
    """8 x 8: max has 16 pixels of 255; F has 32 at an end, or none."""
    thermal, visible = np.full((8, 8), 9, np.uint8), np.full((8, 8), 5, np.uint8)
    thermal[:2] = 255
    fused = thermal.copy()
    fused[2:4] = 0
    assert kept(thermal, visible, fused)['saturated'] == 16 / 64
    assert kept(thermal, visible, np.clip(fused, 1, 254))['saturated'] == -16 / 64


def test_only_one_figure_of_the_family_takes_part_in_ranks():
    assert {name for name in NAMES if METRICS[name].ranked} == {'KC'}


@needs_data
@pytest.mark.parametrize(('model', 'mean'), [('max', 0.543), ('guided_filter', 0.565)])
def test_means_on_the_validation_pairs(model, mean):
    """Worked out apart from this package, of fused luma, to three digits."""
    fuser, values = Fuser.load(model), []
    for path in sorted((validation_pairs() / 'ir').iterdir()):
        thermal = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        visible = luma(cv2.imread(str(validation_pairs() / f'vis/{path.stem}.jpg')))
        values.append(kept(thermal, visible, fuser.fuse(visible, thermal))['KC'])
    assert len(values) == 64
    assert np.mean(values) == pytest.approx(mean, abs=0.0015)
