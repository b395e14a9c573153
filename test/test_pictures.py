"""What a person sees of the shipped models, on made pictures: the bars that hold."""

import pytest

from multimodal_fusion.fusers.fuser import Fuser
from tools.results.pictures import black_hot_person, off_flat, overshoot, sign_kept


@pytest.fixture(scope='module')
def fuse():
    return Fuser.load('mmdrfuse_pyramid').fuse


def test_no_halos(fuse):
    """At step edges of 190 levels nothing beyond the plateaus but rounding; the classical
    pyramid, which has them, is seen to."""
    near, far = overshoot(fuse)
    assert near <= 1 and far <= 1
    assert overshoot(Fuser.load('laplacian').fuse)[0] > 30


def test_flat_stays_flat(fuse):
    assert off_flat(fuse) <= 2


def test_a_black_hot_person_is_dark_but_there(fuse):
    assert black_hot_person(fuse) >= 20


def test_a_sign_below_bright_thermal_keeps_its_letters(fuse):
    """Bars of 2, 4 and 8 pixels and 60 levels under thermal that is brighter than both: max has
    none of them. Broad ones come out a little stronger than they are."""
    assert all(0.9 < share < 1.3 for share in sign_kept(fuse))
    assert max(sign_kept(Fuser.load('max').fuse)) == 0
