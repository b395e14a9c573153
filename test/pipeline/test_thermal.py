"""The thermal stage: golden values, steadiness over time, settings that cannot be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline.stall import FreezeDetector
from multimodal_fusion.pipeline.thermal import ThermalRange, ThermalSettings, to_white_hot

SECOND = 1_000_000_000
rng = np.random.default_rng(0)


def follow(frames, rate=30, **options):
    """The 8-bit images of a sequence of frames."""
    settings_ = ThermalSettings(**options)
    stage = ThermalRange(settings_)
    return [
        to_white_hot(f, stage.update(f, i * SECOND // rate), settings_.polarity, settings_.clahe)
        for i, f in enumerate(frames)
    ]


def test_fixed_range_in_counts():
    """1000..2000: 1000 is black, 1500 is 255 * 0.5 = 127.5, rounded to even 128; 2000 is white."""
    frame = np.array([[900, 1000, 1500, 2000, 3000]], np.uint16)
    assert follow([frame], range='fixed', fixed_min=1000, fixed_max=2000)[0].tolist() == [
        [0, 0, 128, 255, 255]
    ]


def test_fixed_range_in_degrees():
    """0.04 K a count, offset -273.15: 20 C is count 7328.75, 40 C is 7828.75."""
    frame = np.array([[7328, 7329, 7579, 7829]], np.uint16)
    out = follow([frame], range='fixed', fixed_min=20, fixed_max=40, scale=0.04, offset=-273.15)[0]
    assert out[0, 0] == 0 and out[0, 1] == 0 and abs(int(out[0, 2]) - 128) <= 1 and out[0, 3] == 255


def test_a_negative_lower_limit_works():
    frame = np.array([[0, 100]], np.uint16)
    assert to_white_hot(frame, (-100, 155)).tolist() == [[100, 200]]


@pytest.mark.parametrize('limits', [(10.5, 74.5), (10.5, 74.0), (0.0, 3.3), (7000.3, 7200.9)])
def test_fractional_limits_are_met_to_one_level(limits):
    """255 (x - low) / (high - low), rounded and clipped, at both ends and in between."""
    kind = np.uint8 if limits[1] < 255 else np.uint16
    frame = (
        np.arange(64 * 64).reshape(64, 64).clip(0, 255)
        if kind == np.uint8
        else (np.arange(64 * 64).reshape(64, 64) + 5000)
    )
    expected = np.clip(255 * (frame - limits[0]) / (limits[1] - limits[0]), 0, 255)
    assert np.abs(to_white_hot(frame.astype(kind), limits) - expected).max() <= 0.51


@given(st.floats(-1000, 65000), st.floats(50, 70_000), st.sampled_from([np.uint8, np.uint16]))
def test_every_count_is_rounded_and_clipped(low, span, dtype):
    """Nothing below the limit comes back as a grey, whatever part of a count the limit is."""
    counts = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(256, -1)
    exact = np.clip(255 * (counts - low) / span, 0, 255)
    grey = to_white_hot(counts, (low, low + span))
    assert grey.dtype == np.uint8 and np.abs(grey - exact).max() < 0.52


def test_auto_leaves_8_bit_as_it_is_and_stretches_16_bit():
    grey = rng.integers(0, 256, (40, 50), np.uint8)
    assert follow([grey])[0] is grey
    wide = rng.integers(8000, 9000, (40, 50)).astype(np.uint16)
    out = follow([wide])[0]
    assert out.dtype == np.uint8 and out.min() == 0 and out.max() == 255


def test_polarity_black_hot_is_inverted():
    frame = np.array([[0, 255, 100]], np.uint8)
    assert follow([frame], polarity='black_hot')[0].tolist() == [[255, 0, 155]]


def test_a_flat_warm_scene_stays_flat():
    """Noise of 3 counts around 8000: with a span of at least 200 counts it is under 5 levels."""
    frames = [rng.normal(8000, 3, (100, 120)).astype(np.uint16) for _ in range(20)]
    assert max(image.std() for image in follow(frames)) < 5
    assert follow(frames, min_span=0)[0].std() > 30


def test_nothing_flickers_when_something_hot_comes_in():
    """A hot object fills 2% of the picture from one frame to the next: the rest moves slowly."""
    scene = rng.normal(8000, 100, (100, 120)).astype(np.uint16)
    hot = scene.copy()
    hot[:20, :12] = 12000
    frames = [scene] * 30 + [hot] * 30
    steady = [image[50:].mean() for image in follow(frames)]
    jumpy = [image[50:].mean() for image in follow(frames, memory=0)]
    assert np.abs(np.diff(steady)).max() < 20
    assert np.abs(np.diff(jumpy)).max() > 60


def test_memory_is_in_seconds_whatever_the_frame_rate():
    """After one time constant 63% of the step is done: 1000 + 0.632 * 1000 = 1632."""
    low, high = np.full((40, 40), 1000, np.uint16), np.full((40, 40), 2000, np.uint16)
    for rate in (9, 30, 60):
        stage = ThermalRange(ThermalSettings(memory=2.0, min_span=0))
        for i in range(2 * rate + 1):
            limits = stage.update(low if i == 0 else high, i * SECOND // rate)
        assert limits[0] == pytest.approx(1632, abs=1)


def test_a_backward_jump_of_the_clock_forgets():
    stage = ThermalRange(ThermalSettings(min_span=0))
    stage.update(np.full((40, 40), 1000, np.uint16), 100 * SECOND)
    assert stage.update(np.full((40, 40), 5000, np.uint16), 50 * SECOND) == (5000, 5000)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 60000), st.integers(1, 5000), st.sampled_from(['percentile', 'minmax']),
    st.integers(0, 3),
)  # fmt: skip
def test_hotter_is_never_darker(base, spread, kind, seed):
    values = np.random.default_rng(seed).integers(0, spread, (40, 40)) + base
    frame = values.clip(0, 65535).astype(np.uint16)
    out = follow([frame], range=kind)[0]
    order = np.argsort(frame, axis=None, kind='stable')
    assert (np.diff(out.reshape(-1)[order].astype(int)) >= 0).all()


BAD = [
    ({'range': 'auo'}, r"thermal\.range is 'auo'; use one of auto, fixed, percentile, minmax"),
    ({'polarity': 'hot'}, r"thermal\.polarity is 'hot'; use one of white_hot, black_hot"),
    ({'range': 'fixed', 'fixed_min': 5, 'fixed_max': 5}, r'fixed_min \(5\) must be below'),
    ({'low': 60, 'high': 40}, r'thermal\.low \(60\) must be below thermal\.high \(40\)'),
    ({'scale': 0}, r'thermal\.scale is 0; it must be above 0'),
]


@pytest.mark.parametrize(('options', 'text'), BAD)
def test_bad_settings_say_what_was_wrong(options, text):
    with pytest.raises(UserError, match=text):
        ThermalSettings(**options)


def test_16_bit_without_a_range_is_refused():
    with pytest.raises(UserError, match='uint16 thermal data needs a range'):
        to_white_hot(np.zeros((2, 2), np.uint16), None)


def test_freeze_is_seen_after_the_time_set_and_ends_with_a_new_image():
    """30 Hz, frozen from frame 10 to 29: noticed 0.3 s after the image first came."""
    frames = [rng.integers(0, 256, (20, 20), np.uint8) for _ in range(11)]
    sequence = frames + [frames[10]] * 20 + [rng.integers(0, 256, (20, 20), np.uint8)]
    detector = FreezeDetector(after=0.3)
    frozen = [detector.update(f.copy(), round(i / 30 * SECOND)) for i, f in enumerate(sequence)]
    assert not any(frozen[:19]) and not any(frozen[31:])
    assert frozen[19:31] == pytest.approx([n / 30 for n in range(9, 21)])
