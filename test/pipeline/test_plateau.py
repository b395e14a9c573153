"""Plateau equalisation: lamps, flat scenes, order, memory; and repairs of the sensor's faults."""

import numpy as np
import pytest

from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.plateau import Curve, curve
from multimodal_fusion.pipeline.preparation import Preparation
from multimodal_fusion.pipeline.repair import without_dead_pixels, without_stripes
from multimodal_fusion.pipeline.settings import checked
from multimodal_fusion.pipeline.thermal import ThermalRange, ThermalSettings


def room(lamp=0):
    """A ramp of 400 counts with texture, 14 bits; a lamp far above it, if asked."""
    random = np.random.default_rng(1)
    frame = 7000 + np.tile(np.linspace(0, 400, 160), (120, 1)) + random.normal(0, 2, (120, 160))
    frame = frame.astype(np.uint16)
    if lamp:
        frame[10:22, 20:40] = lamp
    return frame


def still(frame, **settings):
    return Preparation(ThermalSettings(**settings)).still(frame, frame.shape)


def test_one_lamp_leaves_a_linear_picture_black_and_not_this_one():
    lit = room(15000)
    linear, plateau = still(lit, range='percentile'), still(lit, range='plateau')
    assert linear[60:].std() < 8
    assert plateau[60:].std() > 50 and plateau[15, 30] > 240
    ramp = plateau[60:].mean(0)
    assert (np.diff(ramp[::16]) > 0).all()  # what is warmer is brighter


def test_a_flat_scene_stays_flat():
    noise = 7000 + np.random.default_rng(2).normal(0, 3, (120, 160))
    found = still(noise.astype(np.uint16), range='plateau')
    assert found.std() < 8 and abs(found.mean() - 127) < 20


def test_of_a_flat_picture_and_of_eight_bits():
    flat = still(np.full((64, 64), 9000, np.uint16), range='plateau')
    assert flat.std() == 0
    grey = np.tile(np.arange(64, dtype=np.uint8) + 100, (64, 1))
    assert still(grey, range='plateau').std() > 40


def test_two_counts_far_apart():
    frame = np.zeros((64, 64), np.uint16)
    frame[:32] = 65535
    found = still(frame, range='plateau')
    assert found[5:27].min() == 255 and found[37:].max() == 0


def test_curves_rise_and_mix():
    found = curve(room(), 200.0)
    assert (np.diff(found.levels) >= 0).all() and 0 <= found.levels[0] <= found.levels[-1] <= 255
    low, high = Curve(np.zeros(65536, np.float32), 1.0), Curve(np.ones(65536, np.float32), 3.0)
    mixed = low.mixed(high, 0.75)
    assert mixed.detail == 1.5 and (mixed.levels == 0.25).all()


def test_a_lamp_that_enters_moves_the_picture_slowly():
    """Without memory the wall behind changes at once; with it by a little a frame."""
    changes = {}
    for memory in (0.0, 2.0):
        settings = ThermalSettings(range='plateau', memory=memory)
        prepared, follow = Preparation(settings), ThermalRange(settings)
        pictures = [
            prepared.white_hot(frame, follow.update(frame, number * 33_000_000), frame.shape)
            for number, frame in enumerate([room()] * 3 + [room(15000)] * 2)
        ]
        moved = pictures[3][60:].astype(int) - pictures[2][60:]
        changes[memory] = np.abs(moved).mean()
    assert changes[2.0] < 0.1 * changes[0.0] + 0.5


def test_dead_pixels_go_and_edges_stay():
    """Two single ones, hot and cold, and a pair; a step edge and a warm spot of 3x3 stay."""
    frame = room().astype(np.int32)
    frame[:, 100:] += 300
    frame[80:83, 40:43] += 250
    clean = frame.astype(np.uint16)
    spoilt = clean.copy()
    for place in ((30, 30), (50, 70), (50, 71)):
        spoilt[place] = 16000
    spoilt[90, 20] = 0
    found = without_dead_pixels(spoilt).astype(int)
    bad = spoilt != clean
    assert np.abs(found - clean)[bad].max() < 15
    assert (found == clean)[~bad].mean() > 0.99
    assert np.abs(found - clean)[80:83, 40:43].max() < 15


@pytest.mark.parametrize('which', ['rows', 'columns', 'both'])
def test_stripes_go_and_the_scene_stays(which):
    clean = room()
    random = np.random.default_rng(4)
    rows, columns = random.normal(0, 6, (120, 1)), random.normal(0, 6, (1, 160))
    stripes = rows * (which != 'columns') + columns * (which != 'rows')
    spoilt = np.rint(clean + stripes).astype(np.uint16)
    found = without_stripes(spoilt, which).astype(float) - clean
    assert found.std() < 0.5 * stripes.std()


def test_an_edge_over_the_whole_height_is_no_stripe():
    frame = np.full((60, 80), 7000, np.uint16)
    frame[:, 40:] = 7500
    found = without_stripes(frame, 'both')
    assert np.abs(found.astype(int) - frame).max() < 5


def test_the_pipeline_repairs_what_comes_in():
    settings = {'model.name': 'max', 'thermal.dead_pixels': True, 'thermal.destripe': 'both'}
    frame = room()
    frame[30, 30] = 16000
    observed = build(checked(settings)).observe(frame, 0)
    assert observed.counts[30, 30] < 7500 and not observed.frozen
    plain = build(checked({'model.name': 'max'})).observe(frame, 0)
    assert plain.counts is frame
