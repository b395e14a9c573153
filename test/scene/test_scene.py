"""The synthetic night road: deterministic, registered, and true to its own ground truth."""

import cv2
import numpy as np
import pytest

from multimodal_fusion.scene import CLASSES, IGNORE, Box, Scene
from multimodal_fusion.scene.world import WHITE

TIMES = (0.0, 2.2, 4.0, 11.0, 14.9, 20.0, 3601.3)
EDGE = 92  # grey level half way between a shoe and the road


@pytest.fixture(scope='module')
def clean():
    return Scene(noise=False)


@pytest.fixture(scope='module')
def small():
    return Scene(160, 120)


def alone(box, boxes, gap=6):
    return all(
        other is box
        or other.x0 >= box.x1 + gap
        or other.x1 <= box.x0 - gap
        or other.y0 >= box.y1 + gap
        or other.y1 <= box.y0 - gap
        for other in boxes
    )


def people(scene, t, least=50):
    """Whole people, at least ``least`` rows tall, with nobody and no car near them."""
    boxes = scene.boxes(t)
    return [
        box
        for box in boxes
        if box.label == 'person'
        and box.y1 - box.y0 >= least
        and box.x0 > 12
        and box.x1 < scene.width - 12
        and alone(box, boxes)
    ]


def cut(image, box, margin=0):
    x0, x1 = max(0, int(box.x0) - margin), int(box.x1) + margin
    return image[int(box.y0) : int(box.y1), x0:x1]


def open_times(scene, count=24):
    """Times at which the thermal shutter is open, over more than a lap."""
    return [t for t in np.linspace(0.1, 31.0, count) if not scene.frozen(t)]


@pytest.mark.parametrize('size', [(320, 240), (641, 487), (1280, 1024), (64, 64), (200, 90)])
def test_shapes_and_types_at_any_size(size):
    width, height = size
    scene = Scene(width, height)
    visible, thermal = scene.visible(4.0), scene.thermal(4.0)
    assert (visible.shape, visible.dtype) == ((height, width, 3), np.uint8)
    assert (thermal.shape, thermal.dtype) == ((height, width), np.uint8)
    assert visible.flags.c_contiguous and thermal.flags.c_contiguous
    assert visible.std() > 10 and thermal.std() > 10


def test_output_depends_only_on_the_arguments_and_the_time(small):
    other = Scene(160, 120)
    for t in reversed(TIMES):  # asked for in another order
        other.visible(t)
    for t in TIMES:
        np.testing.assert_array_equal(small.visible(t), other.visible(t))
        np.testing.assert_array_equal(small.thermal(t), other.thermal(t))
        assert small.boxes(t) == other.boxes(t)
    assert (Scene(160, 120, seed=1).visible(1.0) != small.visible(1.0)).any()


def test_pictures_are_the_callers_to_change(small):
    for take in (small.visible, small.thermal):
        first = take(7.5)
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(take(7.5), kept)


def test_everything_moves_and_noise_never_repeats(small):
    still = Scene(160, 120, noise=False)
    for take in ('visible', 'thermal'):
        assert (getattr(still, take)(1.0) != getattr(still, take)(1.5)).mean() > 0.1
        noisy = [getattr(small, take)(i / 30).tobytes() for i in range(60)]
        assert len(set(noisy)) == 60


def test_boxes_lie_inside_the_image_and_are_named():
    for scene in (Scene(160, 120), Scene(200, 90)):
        for t in np.linspace(0, 60, 80):
            for box in scene.boxes(t):
                assert isinstance(box, Box) and box.label in ('person', 'car')
                assert 0 <= box.x0 < box.x1 <= scene.width
                assert 0 <= box.y0 < box.y1 <= scene.height


def test_there_are_people_of_many_sizes(clean):
    found = [
        [box.y1 - box.y0 for box in clean.boxes(t) if box.label == 'person']
        for t in np.linspace(0, 96, 120)
    ]
    heights = np.concatenate(found)
    assert np.mean([len(row) for row in found]) >= 3
    assert np.percentile(heights, 10) < 50 and 180 < heights.max() < 260


def test_people_are_warm_in_thermal_and_dark_in_colour(clean):
    hot, seen = [], []
    for t in open_times(clean):
        thermal, grey = clean.thermal(t), cv2.cvtColor(clean.visible(t), cv2.COLOR_BGR2GRAY)
        for box in people(clean, t):
            body = cut(thermal, box) > EDGE
            around = np.ones_like(cut(thermal, box, 8), bool)
            around[:, 8:-8] = False
            hot.append(cut(thermal, box)[body].mean() - cut(thermal, box, 8)[around].mean())
            seen.append(cut(grey, box)[body].mean() - cut(grey, box, 8)[around].mean())
    assert len(hot) > 15
    assert min(hot) > 60
    assert np.median(np.abs(seen)) < 12 and np.mean(seen) < 0


def test_boxes_are_the_extents_of_what_is_drawn(clean):
    checked = 0
    for t in open_times(clean):
        thermal = clean.thermal(t)
        for box in people(clean, t, least=60):
            rows, cols = np.nonzero(cut(thermal, box) > EDGE)
            gaps = rows.min(), cols.min(), box.y1 - box.y0 - 1 - rows.max()
            assert max(*gaps, box.x1 - box.x0 - 1 - cols.max()) <= 1.5, (t, box)
            checked += 1
    assert checked > 10


def test_nothing_of_a_person_is_drawn_outside_the_box(clean, monkeypatch):
    traffic = clean._traffic
    items = traffic.items
    for t in (2.2, 12.0, 19.0):
        everything = clean.thermal(t)
        monkeypatch.setattr(
            traffic, 'items', lambda t: [item for item in items(t) if item.label != 'person']
        )
        changed = cv2.absdiff(everything, clean.thermal(t)) > 20
        monkeypatch.undo()
        assert changed.any()
        for box in clean.boxes(t):
            if box.label == 'person':
                cut(changed, box, 1)[:] = False
                changed[max(0, int(box.y0) - 1) : int(box.y1) + 1, int(box.x0) : int(box.x1)] = (
                    False
                )
        # Where less than a quarter of somebody shows, that is too little for a box.
        assert changed[:, 40:-40].sum() < 250


def test_texture_is_seen_in_colour_only(clean):
    t = 2.0  # the crossing fills the foreground
    road = np.s_[-100:, 100:-100]
    assert clean.visible(t)[road].std() > 8
    assert clean.thermal(t)[road].std() < 5


def test_headlights_saturate_in_colour_only(clean):
    assert (clean.visible(14.9) == 255).all(axis=2).sum() > 500
    assert (clean.thermal(14.9) == 255).sum() < 3000


def test_freeze_repeats_the_bytes_of_its_start(small):
    start = 8.0 - 0.7
    assert not small.frozen(start - 0.01) and small.frozen(start)
    held = small.thermal(start)
    for t in (7.4, 7.7, 7.99):
        assert small.frozen(t)
        assert small.thermal(t).tobytes() == held.tobytes()
        assert small.visible(t).tobytes() != small.visible(start).tobytes()
    assert not small.frozen(8.0)
    for t in (start - 0.05, 8.0, 8.1):
        assert small.thermal(t).tobytes() != held.tobytes()


def test_freeze_recurs_for_hours_and_can_be_set_or_disabled(small):
    assert [small.frozen(8.0 * k + 7.6) for k in (1, 450, 4500)] == [True] * 3
    assert [small.frozen(8.0 * k + 1.0) for k in (1, 450, 4500)] == [False] * 3
    never = Scene(64, 64, freeze_for=0)
    assert not any(never.frozen(t) for t in np.arange(0, 40, 0.1))
    often = Scene(64, 64, freeze_every=2, freeze_for=1.5)
    assert np.mean([often.frozen(t) for t in np.arange(0, 40, 0.01)]) == pytest.approx(
        0.75, abs=0.01
    )


@pytest.mark.parametrize(('bits', 'kelvin'), [(14, 0.04), (16, 0.01)])
def test_counts_are_temperatures_and_agree_with_grey_levels(bits, kelvin):
    grey = Scene(160, 120, noise=False).thermal(3.0).astype(float)
    counts = Scene(160, 120, noise=False, thermal_bits=bits).thermal(3.0)
    assert counts.dtype == np.uint16 and counts.shape == grey.shape and counts.max() < 2**bits
    celsius = counts * kelvin - 273.15
    inside = (grey > 0) & (grey < 255)
    assert inside.mean() > 0.5
    assert np.abs(celsius * 255 / WHITE - grey)[inside].max() < 1
    assert celsius.min() < -10  # the sky


def test_noise_hardly_changes_the_mean():
    for bits, most in ((8, 2.0), (14, 5.0), (16, 20.0)):
        pair = [Scene(160, 120, thermal_bits=bits, noise=on).thermal(3.0) for on in (True, False)]
        road = [frame[60:].astype(float) for frame in pair]
        assert abs(road[0].mean() - road[1].mean()) < most
        assert (road[0] - road[1]).std() > most / 5


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'width': 0}, 'width must be an integer from 64 to 4096, got 0'),
        ({'height': 480.0}, 'height must be an integer from 64 to 4096, got 480.0'),
        ({'height': 5000}, 'height must be an integer from 64 to 4096, got 5000'),
        ({'seed': -1}, 'seed must be an integer from 0 to .*, got -1'),
        ({'seed': True}, 'seed must be an integer from 0 to .*, got True'),
        ({'thermal_bits': 12}, 'thermal_bits must be 8, 14 or 16, got 12'),
        ({'freeze_every': 0}, 'freeze_every must be a number from 0.001 to 1e.09, got 0'),
        ({'freeze_for': -1}, 'freeze_for must be a number from 0 to 1e.09, got -1'),
        ({'freeze_for': float('nan')}, 'freeze_for must be a number from 0 to 1e.09, got nan'),
        ({'freeze_for': 8.0}, 'freeze_for must be shorter than freeze_every, got 8.0 s of 8.0 s'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Scene(**arguments)


@pytest.mark.parametrize('t', [-0.1, float('nan'), float('inf'), 'now'])
def test_bad_times_are_named(small, t):
    for method in (small.visible, small.thermal, small.boxes, small.frozen):
        with pytest.raises(ValueError, match=r't must be a number from 0 to 1e.12, got'):
            method(t)


def test_the_mask_agrees_with_the_boxes_and_the_street(small):
    """Every boxed object shows in the mask within its box; below is road, above is sky."""
    for t in TIMES:
        mask = small.mask(t)
        assert mask.shape == (120, 160) and mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {*range(len(CLASSES)), IGNORE}
        for box in small.boxes(t):
            part = mask[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
            assert (part == CLASSES.index(box.label)).any()
    mask = small.mask(4.0)
    assert (mask[-6:] == CLASSES.index('road')).mean() > 0.6
    assert (mask[:6, 70:90] == CLASSES.index('sky')).mean() > 0.9
    assert (mask == CLASSES.index('building')).mean() > 0.1
