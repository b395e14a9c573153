"""Distances of range finders and depth cameras: wild ones are outvoted, nothing stays nothing."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from multimodal_fusion.registration.camera import Lens
from multimodal_fusion.registration.distance import Distance, of_depth, of_range


def test_the_median_of_five():
    distance = Distance()
    assert distance.add(None, 0.0) is None and distance.last is None
    assert [distance.add(d, 1.0) for d in (2.0, 2.2, 90.0, 2.1, 2.1)] == [
        2.0, 2.1, 2.2, pytest.approx(2.15), 2.1,
    ]  # fmt: skip
    assert distance.add(None, 9.0) == 2.1 and distance.last == 1.0


@pytest.mark.parametrize(
    ('range_', 'found'), [(2.0, 2.0), (math.inf, None), (math.nan, None), (0.0, None), (50.0, None)]
)
def test_ranges(range_, found):
    assert of_range(SimpleNamespace(range=range_, min_range=0.1, max_range=40.0)) == found
    if range_ == 50.0:  # a driver that fills in no limits
        assert of_range(SimpleNamespace(range=range_, min_range=0.0, max_range=0.0)) == 50.0


def test_depth_where_thermal_looks():
    """A wall at 3 m in the middle third, at 9 m elsewhere; thermal sees a third."""
    depth = np.full((90, 120), 9.0, np.float32)
    depth[30:60, 40:80] = 3.0
    depth[40:50, 40:60] = np.nan
    assert of_depth(depth, None, None) == 9.0
    camera = Lens((90, 120), (100.0, 0, 59.5, 0, 100.0, 44.5, 0, 0, 1.0), 'plumb_bob', ())
    thermal = Lens((150, 200), (500.0, 0, 99.5, 0, 500.0, 74.5, 0, 0, 1.0), 'plumb_bob', ())
    assert of_depth(depth, camera, thermal) == 3.0
    assert of_depth(np.full((90, 120), np.nan, np.float32), camera, thermal) is None
