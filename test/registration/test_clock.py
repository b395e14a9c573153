"""Clock offsets from motion: planted ones are found, still and periodic scenes are refused."""

import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.io.bag import type_store
from multimodal_fusion.registration.clock import Motion, clock_offset

from ..helpers import bags


def walker(seed, seconds=14.0):
    """Where somebody is at a time, 0 to 1: stop and go."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.2, 0.9, 60))
    times = times[times < seconds]
    places = np.repeat(random.uniform(0.1, 0.9, len(times)), 2)[: len(times)]
    return lambda t: float(np.interp(t, times, places))


def picture(place, warm, random):
    """A noisy picture of 48x64 with somebody in it."""
    image = np.full((48, 64), 60.0)
    x = round(place * 50)
    image[14:40, x : x + 8] = 220 if warm else 110
    return np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def streams(place, offset, rate, seconds=14.0):
    random = np.random.default_rng(9)
    rgb, thermal = Motion(), Motion()
    for i in range(int(seconds * 30)):
        rgb.add(i / 30, picture(place(i / 30), False, random))
    for i in range(int(seconds * rate)):
        t = i / rate + 0.01
        thermal.add(t - offset, picture(place(t), True, random))
    return rgb, thermal


@pytest.mark.parametrize(('offset', 'rate'), [(0.0, 9.0), (0.12, 9.0), (-0.5, 30.0), (0.3, 25.0)])
def test_a_planted_offset_is_found_to_half_a_frame(offset, rate):
    found = clock_offset(*streams(walker(1), offset, rate))
    assert not found.reason
    assert found.seconds == pytest.approx(offset, abs=0.5 / rate)


def test_a_still_scene_is_refused():
    found = clock_offset(*streams(lambda t: 0.5, 0.1, 9.0))
    assert 'stop and go' in found.reason


def test_motion_that_repeats_itself_is_refused():
    found = clock_offset(*streams(lambda t: abs(t % 1.0 - 0.5) * 1.6, 0.1, 9.0))
    assert 'repeats itself' in found.reason


def test_streams_of_different_times_are_refused():
    rgb, thermal = streams(walker(1), 0.0, 9.0)
    thermal.times = [t + 100 for t in thermal.times]
    assert 'did not record at the same time' in clock_offset(rgb, thermal).reason
    assert 'too few frames' in clock_offset(rgb, Motion()).reason


def test_repeated_frames_and_stamps_say_nothing():
    motion, image = Motion(), np.zeros((48, 64), np.uint8)
    for seconds, level in ((0.0, 1), (0.1, 1), (0.1, 2), (0.05, 3), (0.2, 4)):
        motion.add(seconds, image + level)
    assert motion.times == [0.0, 0.1, 0.2]  # at 0.1 the shutter's repeat is left out


def test_the_command(tmp_path, capsys):
    """Thermal stamps 0.2 s early: 0.2 is to be added."""
    place, random, store = walker(2), np.random.default_rng(3), type_store()
    with bags.writer(tmp_path / 'bag') as bag:
        kind = 'sensor_msgs/msg/Image'
        ports = {
            name: bag.add_connection(f'/{name}/image_raw', kind, typestore=store)
            for name in ('rgb', 'thermal')
        }
        frames = [(i / 15, 'rgb', 0.0) for i in range(15 * 12)]
        frames += [(i / 9, 'thermal', -0.2) for i in range(9 * 12)]
        for t, name, early in sorted(frames):
            image = picture(place(t), name == 'thermal', random)
            now = bags.START + round(t * 1e9)
            message = bags.message(store, name, image, now + round(early * 1e9))
            bag.write(ports[name], now, store.serialize_cdr(message, kind))
    assert cli.main(['calibrate', '--bag', str(tmp_path / 'bag'), '--time-offset']) == 0
    said = capsys.readouterr().out
    value = float(said.rsplit(':=', 1)[1])
    assert value == pytest.approx(0.2, abs=0.055) and 'thermal stamps are -' in said
    assert cli.main(['calibrate', '--data', str(tmp_path), '--time-offset']) == 2
    assert '--time-offset goes with --bag' in capsys.readouterr().err
