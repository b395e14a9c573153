"""A camera that repeats itself is frozen only while the other one goes on; acts and their ends."""

import numpy as np
import pytest

from multimodal_fusion.pipeline.stall import FreezeDetector, StallSettings

MS = 1_000_000


def images(count, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8))


def watch(thermal, rgb, after=0.3):
    """Both at 30 Hz; returns the answers."""
    detector, found = FreezeDetector(after), []
    for i, (warm, shown) in enumerate(zip(thermal, rgb, strict=True)):
        detector.witness(shown)
        found.append(detector.update(warm.copy(), i * 33 * MS))
    return found


def test_a_shutter_freezes_thermal_alone():
    found = watch(images(5) + images(1, 9) * 20, images(25, 1))
    assert not any(found[:15]) and found[15] == pytest.approx(10 * 0.033)
    assert found[-1] == pytest.approx(19 * 0.033)


def test_a_still_scene_of_pictures_is_not_frozen():
    """The same two pictures published again and again, or cameras without noise."""
    assert not any(watch(images(1) * 40, images(1, 1) * 40))


def test_a_scene_that_stood_still_before_the_shutter_closed():
    """RGB moves from frame 30 on: frozen from then on, for as long as thermal has stood still."""
    found = watch(images(1) * 50, images(1, 1) * 30 + images(20, 2))
    assert not any(found[:30]) and found[30] == pytest.approx(30 * 0.033)


def test_without_the_other_camera_repetition_is_all_there_is():
    detector = FreezeDetector(0.3)
    image = images(1)[0]
    assert [detector.update(image, i * 100 * MS) > 0 for i in range(6)] == [False] * 3 + [True] * 3


def test_a_clock_that_loops_is_a_new_beginning():
    detector = FreezeDetector(0.3)
    image = images(1)[0]
    detector.update(image, 10_000 * MS)
    assert detector.update(image, 5 * MS) == 0.0


@pytest.mark.parametrize('name', ['rgb', 'thermal'])
def test_hold_ends_in_pass(name):
    stall = StallSettings(rgb='hold', thermal='hold', hold_for=1.5)
    assert [stall.act(name, t) for t in (0.0, 1.5, 1.6)] == ['hold', 'hold', 'pass']
    assert StallSettings(rgb='drop', thermal='drop').act(name, 99.0) == 'drop'
