"""Counts to degrees: by a line, by Planck's law, and where nobody knows."""

import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline.temperature import celsius, hottest
from multimodal_fusion.pipeline.thermal import ThermalSettings

COUNTS = np.array([[7326, 7576], [7426, 8000]], np.uint16)


def test_a_line_in_kelvin_and_in_celsius():
    """0.04 K a count: 7326 are 293.04 K, 19.89 degrees; with the offset in celsius the same."""
    kelvin = celsius(COUNTS, ThermalSettings(scale=0.04, unit='kelvin'))
    direct = celsius(COUNTS, ThermalSettings(scale=0.04, offset=-273.15, unit='celsius'))
    assert kelvin.dtype == np.float32 and kelvin[0, 0] == pytest.approx(19.89, abs=0.01)
    assert direct == pytest.approx(kelvin, abs=1e-3)
    assert celsius(COUNTS, ThermalSettings(scale=0.04)) is None


def test_plancks_law_by_hand():
    """A FLIR i7: R1 16327.7, B 1424.8, F 1.35, O -6872, R2 0.023158. 12000 counts: R2 (x + O) is
    118.75; R1 over it 137.49; ln(138.84) = 4.9333; 1424.8 / 4.9333 = 288.81 K, 15.66 degrees."""
    planck = [16327.72265625, 1424.80004882812, 1.35000002384186, -6872.0, 0.0231583472341299]
    found = celsius(np.array([[12000, 6000]], np.uint16), ThermalSettings(planck=planck))
    assert found[0, 0] == pytest.approx(15.66, abs=0.05)
    assert found[0, 1] == pytest.approx(-273.15)  # below the camera's zero
    warmer = celsius(np.array([[12100]], np.uint16), ThermalSettings(planck=planck))
    assert warmer > found[0, 0]


@pytest.mark.parametrize(
    'planck', [[1.0], [0.0, 1.0, 1.0, 0.0, 1.0], [-1.0, 1400.0, 1.0, 0.0, 1.0]]
)
def test_constants_that_are_refused(planck):
    with pytest.raises(UserError, match=r'must be R1, B, F, O and R2'):
        ThermalSettings(planck=planck)


def test_the_hottest_pixel():
    found = hottest(celsius(COUNTS, ThermalSettings(scale=0.04, unit='kelvin')))
    assert (found.x, found.y) == (1, 1) and found.celsius == pytest.approx(46.85, abs=0.01)
