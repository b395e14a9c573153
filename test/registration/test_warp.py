"""Registration in use: matrices for any sizes, the nudge, what lies outside the overlap."""

import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked
from multimodal_fusion.registration.stored import Stored
from multimodal_fusion.registration.warp import Registration, RegistrationSettings, blend

HALF = [1.0, 0.0, 20.0, 0.0, 1.0, 10.0, 0.0, 0.0, 1.0]


def of(**settings):
    return Registration.of(RegistrationSettings(**settings))


def test_none_and_resize_warp_nothing():
    thermal = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert of().apply(thermal, (6, 8)) is thermal
    assert of().weights((6, 8), (6, 8)) is None
    assert of(mode='resize').apply(thermal, (12, 16)).shape == (12, 16)
    assert of(mode='resize').weights((6, 8), (12, 16)) is None


def test_the_nudge_moves_any_mode():
    """By (3, 2): pixel (0, 0) lies at (3, 2). A quarter turn about the middle of 8x6, (3.5, 2.5),
    clockwise: (0, 0), which is (-3.5, -2.5) from there, goes to (2.5, -3.5): (6, -1)."""
    thermal = np.random.default_rng(1).integers(1, 256, (6, 8), np.uint8)
    moved = of(dx=3.0, dy=2.0).apply(thermal, (6, 8))
    assert np.array_equal(moved[2:, 3:], thermal[:4, :5]) and not moved[:2].any()
    turned = of(rotation=90.0).matrix((6, 8), (6, 8)) @ [0, 0, 1]
    assert turned == pytest.approx([6, -1, 1])
    larger = of(mode='resize', scale=2.0).matrix((6, 8), (6, 8)) @ [3.5, 2.5, 1]
    assert larger == pytest.approx([3.5, 2.5, 1])  # the middle stays
    both = of(mode='homography', homography=HALF, dx=-20.0, dy=-10.0)
    assert both.matrix((6, 8), (6, 8)) == pytest.approx(np.eye(3))


def test_weights_rise_from_the_edge_of_the_overlap():
    """Thermal of 40x60 at (20, 10) in 60x100: 0 outside, 1 from the feather on; the image's own
    border is no edge of the overlap."""
    weights = of(mode='homography', homography=HALF, feather=4).weights((40, 60), (60, 100))
    assert weights.shape == (60, 100) and weights.dtype == np.float32
    assert not weights[:10].any() and not weights[:, :20].any() and not weights[:, 80:].any()
    line = weights[30, 20:28]
    assert (np.diff(line[:5]) > 0).all() and line[5] == 1 and weights[30, 50] == 1
    sharp = of(mode='homography', homography=HALF, feather=0).weights((40, 60), (60, 100))
    assert set(np.unique(sharp)) == {0, 1} and sharp.sum() == 40 * 60
    cover = of(mode='homography', homography=[1, 0, -5.0, 0, 1, -5.0, 0, 0, 1])
    assert cover.weights((80, 120), (60, 100)) is None


def test_outside_of_the_overlap_the_visible_image_stays():
    settings = {
        'model.name': 'average', 'registration.mode': 'homography', 'registration.feather': 3,
        'registration.homography': HALF,
    }  # fmt: skip
    pipeline = build(checked(settings))
    visible = np.random.default_rng(2).integers(0, 256, (60, 100, 3), np.uint8)
    frame = pipeline.observe(np.full((40, 60), 200, np.uint8), 0)
    fused = pipeline.fuse(visible, frame)
    assert np.array_equal(fused[:10], visible[:10])
    assert np.array_equal(fused[:, 80:], visible[:, 80:])
    assert np.abs(fused[30, 50].astype(int) - visible[30, 50]).max() > 5
    grey = pipeline.fuse(visible[..., 0], frame)
    assert np.array_equal(grey[:10], visible[:10, :, 0])


def test_blend_by_hand():
    """A quarter of 100 and three quarters of 200: 175."""
    first, second = np.full((1, 1, 3), 100, np.uint8), np.full((1, 1, 3), 200, np.uint8)
    assert (blend(first, second, np.full((1, 1), 0.25, np.float32)) == 175).all()


def test_a_stored_registration_fits_other_sizes(tmp_path):
    """Half the pixels of both cameras: the centre of thermal pixel (10, 20) of the small image is
    (20.5, 40.5) of the large one."""
    path = tmp_path / 'r.yaml'
    matrix = np.array([[1.5, 0.1, 7], [-0.1, 1.4, 9], [1e-4, 2e-4, 1]])
    Stored(matrix, (240, 320), (480, 640), {'frames': 3}).write(path)
    registration = of(mode='homography', file=str(path))
    assert registration.matrix((240, 320), (480, 640)) == pytest.approx(matrix, rel=1e-6)
    small = registration.matrix((120, 160), (240, 320)) @ [10, 20, 1]
    large = matrix @ [20.5, 40.5, 1]
    assert 2 * small[:2] / small[2] + 0.5 == pytest.approx(large[:2] / large[2], rel=1e-6)
    assert registration.stored.about == {'frames': 3}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a: 1', 'is no registration: expected a file that'),
        ('multimodal_fusion_registration: 2', 'is of version 2; this package reads 1'),
        ('multimodal_fusion_registration: 1\nmatrix: [1, 2]', 'is damaged: a registration has'),
        (
            'multimodal_fusion_registration: 1\nmatrix: [0, 0, 0, 0, 0, 0, 0, 0, 0]\n'
            'thermal_size: [4, 4]\nvisible_size: [4, 4]',
            'cannot be inverted; calibrate again',
        ),
        (
            'multimodal_fusion_registration: 1\nmatrix: [1, 0, 0, 0, 1, 0, 0, 0, 1]\n'
            'thermal_size: [0, 4]\nvisible_size: [4, 4]',
            'sizes are of at least one pixel',
        ),
    ],
)
def test_files_that_are_refused_and_left_alone(tmp_path, text, message):
    path = tmp_path / 'r.yaml'
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        of(mode='homography', file=str(path))
    with pytest.raises(UserError, match='no registration of ours, so it is left alone'):
        Stored(np.eye(3), (4, 4), (4, 4)).write(path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'homography': [1.0]}, 'needs nine numbers .* got 1'),
        ({'homography': [0.0] * 9}, 'cannot be inverted'),
        ({}, 'is the identity: give the nine numbers'),
        ({'file': 'nowhere.yaml'}, r'nowhere\.yaml cannot be read'),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        of(mode='homography', **settings)
