"""The link of the robot: sizes of real encodings, and the sums that are made of them."""

import cv2
import numpy as np
import pytest

from multimodal_fusion.benchmark.bandwidth import Link, Sizes, coded_size, links, measure
from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked


def test_vga_raw_at_30_hz_by_hand():
    """640x480: visible and fused 921,600 bytes, thermal 307,200; 30 of each a second.

    Remote: up 30 x 1,228,800 = 36.864 MB/s, down 27.648. Edge: up 27.648, down nothing.
    """
    found = links([Sizes(921_600, 307_200, 921_600)], 30.0)
    assert found['remote'].up == pytest.approx(36.864)
    assert found['remote'].down == pytest.approx(27.648)
    assert found['edge'] == Link(pytest.approx(27.648), 0.0)


def test_the_mean_of_pairs_of_different_size():
    """Visible 1 and 3 MB, thermal 2 and 2, fused 1 and 2: means 2, 2 and 1.5 MB, ten a second."""
    found = links([Sizes(10**6, 2 * 10**6, 10**6), Sizes(3 * 10**6, 2 * 10**6, 2 * 10**6)], 10.0)
    assert (found['remote'].up, found['remote'].down) == pytest.approx((40.0, 15.0))
    assert (found['edge'].up, found['edge'].down) == pytest.approx((15.0, 0.0))


def test_no_pairs_are_told():
    with pytest.raises(UserError, match='no pairs'):
        links([], 30.0)


def test_coded_sizes_are_those_of_files_that_decode():
    ramp = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    colour, counts = cv2.merge([ramp] * 3), ramp.astype(np.uint16) * 256
    assert coded_size(colour, 'raw') == 48 * 64 * 3 and coded_size(counts, 'raw') == 48 * 64 * 2
    for pixels, coding, name in (
        (colour, 'jpeg', '.jpg'),
        (ramp, 'png', '.png'),
        (counts, 'png', '.png'),
    ):
        options = [cv2.IMWRITE_JPEG_QUALITY, 80] if name == '.jpg' else []
        assert coded_size(pixels, coding) == len(cv2.imencode(name, pixels, options)[1])
    assert coded_size(counts, 'jpeg') == coded_size(counts, 'png')
    assert coded_size(colour, 'jpeg', 20) < coded_size(colour, 'jpeg', 95)


def test_measured_on_real_arrays_the_thermal_image_may_be_smaller():
    """Raw, by hand: 64x48 colour 9,216 bytes up and down, 32x24 counts of two bytes 1,536."""
    rng = np.random.default_rng(3)
    visible = rng.integers(0, 256, (48, 64, 3), np.uint8)
    thermal = rng.integers(7000, 9000, (24, 32)).astype(np.uint16)
    pipeline = build(checked({'model.name': 'max', 'registration.mode': 'resize'}))
    found = measure([(visible, thermal)] * 3, pipeline, 1000.0)
    assert found['raw']['remote'].up == pytest.approx(9.216 + 1.536)
    assert found['raw']['edge'] == Link(pytest.approx(9.216), 0.0)
    assert found['jpeg']['remote'].up < found['raw']['remote'].up
