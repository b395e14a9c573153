"""What a person sees of the shipped models, on made pictures: the bars that hold."""

import numpy as np
import pytest

from multimodal_fusion.fusers.fuser import Fuser
from tools.results.pictures import black_hot_person, off_flat, overshoot, sign_kept


@pytest.fixture(scope='module')
def fuse():
    return Fuser.load('mmdrfuse_pyramid').fuse


def test_no_halos(fuse):
    """At step edges of 190 levels at most 8 beyond the plateaus, within rounding none from 12
    pixels on; the classical pyramid, which has them, is seen to."""
    near, far = overshoot(fuse)
    assert near <= 8 and far <= 1
    assert overshoot(Fuser.load('laplacian').fuse)[0] > 30


def test_flat_stays_flat(fuse):
    assert off_flat(fuse) <= 2


def test_a_black_hot_person_is_dark_but_there(fuse):
    assert black_hot_person(fuse) >= 20


def test_a_sign_below_bright_thermal_keeps_a_little_of_its_letters(fuse):
    """Letters of 60 levels under thermal that is brighter than both: max has none of them.

    It is little, and less the broader the letters are; laplacian keeps all.
    """
    visible = np.full((64, 96), 90, np.uint8)
    visible[20:44:4, 20:76] = 150
    thermal = np.full_like(visible, 180)
    rows = fuse(visible, thermal)[20:44, 30:66].astype(int).mean(axis=1)
    assert rows[::4].mean() - rows[2::4].mean() > 8
    assert np.ptp(np.maximum(visible, thermal)[20:44, 30:66]) == 0
    shares = sign_kept(fuse)
    assert shares[0] > 0.25 and list(shares) == sorted(shares, reverse=True)
    assert min(sign_kept(Fuser.load('laplacian').fuse)) > 0.9
    assert max(sign_kept(Fuser.load('max').fuse)) == 0
