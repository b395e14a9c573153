"""Tests of the flicker that a fuser adds to a sequence."""

import numpy as np
import pytest

from multimodal_fusion.evaluate.metrics import flicker

from ..helpers.golden import A, B


def still_scene(frames=12, sigma=2.0, seed=0):
    """Return thermal and visible frames of a still scene under camera noise, uint8."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    thermal = 60 + 40 * np.sin(x / 17) + 30 * np.cos(y / 11)
    visible = 90 + 50 * np.cos(x / 13 + y / 9)
    return tuple(
        [levels(scene + chance.normal(0, sigma, scene.shape)) for _ in range(frames)]
        for scene in (thermal, visible)
    )


def levels(image):
    """Return an image rounded and clipped to 8 bit."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize('sigma', [0.5, 2.0, 5.0])
def test_stretching_each_frame_flickers(sigma):
    """Min-max stretching per frame scores several times a fixed mapping of the same gain."""
    thermal, visible = still_scene(sigma=sigma)
    means = [(a.astype(float) + b) / 2 for a, b in zip(thermal, visible, strict=True)]
    low, high = np.mean([mean.min() for mean in means]), np.mean([mean.max() for mean in means])
    fixed = flicker(thermal, visible, [levels((m - low) / (high - low) * 255) for m in means])
    stretched = flicker(
        thermal,
        visible,
        [levels((m - m.min()) / (m.max() - m.min()) * 255) for m in means],
    )
    plain = flicker(thermal, visible, [levels(mean) for mean in means])
    assert stretched > 4 * fixed
    assert stretched > 0.2
    assert plain < 0.02


def test_flicker_of_pixel_rules_is_none():
    """Per-pixel average, maximum, minimum and a copy add no change of their own."""
    thermal, visible = still_scene()
    for rule in (np.maximum, np.minimum, lambda a, b: a, lambda a, b: (a.astype(int) + b) // 2):
        pairs = zip(thermal, visible, strict=True)
        fused = (np.asarray(rule(a, b), np.uint8) for a, b in pairs)
        assert flicker(thermal, visible, fused, block=1) == 0


def test_flicker_by_hand():
    """A step of 10 levels where the sources step by 4 and 1 is 6; over two steps the mean is 3."""
    frames = [np.full((20, 30), level, np.uint8) for level in range(256)]
    thermal = [frames[100], frames[104], frames[104]]
    visible = [frames[50], frames[49], frames[49]]
    fused = [frames[80], frames[70], frames[70]]
    assert flicker(thermal, visible, fused) == 3
    assert flicker(thermal, visible, fused, block=1) == 3
    assert flicker(np.array(thermal), np.array(visible), np.array(fused), block=64) == 3


def test_flicker_refuses_bad_sequences():
    """Too few frames, unlike numbers of frames and changing sizes are refused."""
    with pytest.raises(ValueError, match='at least two frames'):
        flicker([A], [B], [A])
    with pytest.raises(ValueError, match='fewer fused frames'):
        flicker([A, A], [B, B], [A])
    with pytest.raises(ValueError, match='visible and the first thermal frame: expected the same'):
        flicker([A, A], [B, B[1:]], [A, A])
    with pytest.raises(ValueError, match='fused: expected an 8-bit grey image'):
        flicker([A, A], [B, B], [A / 255, A / 255])
    with pytest.raises(ValueError, match='block: expected a side of 1'):
        flicker([A, A], [B, B], [A, A], block=0)
