"""Lenses by camera_info: what is bent becomes straight, regions and bins have their own matrix."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline.frames import misfit
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked
from multimodal_fusion.registration.camera import Lens, image_size

K = [300.0, 0.0, 159.5, 0.0, 300.0, 119.5, 0.0, 0.0, 1.0]


def info(d=(), model='plumb_bob', size=(240, 320), k=K, roi=(0, 0, 0, 0), bins=(0, 0)):
    return SimpleNamespace(
        height=size[0], width=size[1], k=k, d=d, distortion_model=model,
        roi=SimpleNamespace(x_offset=roi[0], y_offset=roi[1], width=roi[2], height=roi[3]),
        binning_x=bins[0], binning_y=bins[1],
    )  # fmt: skip


LENSES = {
    'plumb_bob': (-0.3, 0.1, 0.001, -0.001, 0.0),
    'rational_polynomial': (-0.25, 0.08, 0.0, 0.0, 0.0, 0.05, 0.01, 0.0),
    'equidistant': (-0.05, 0.01, 0.0, 0.0),
}


def bent(model, d):
    """A board as this lens sees it, and as a pinhole does."""
    board = np.indices((240, 320)).sum(0) // 20 % 2 * 150 + 50
    board = cv2.GaussianBlur(board.astype(np.uint8), (0, 0), 2)
    y, x = np.indices((240, 320)).astype(np.float32)
    points = np.stack((x.ravel(), y.ravel()), 1)[:, None]
    matrix = np.reshape(K, (3, 3))
    undo = cv2.fisheye.undistortPoints if model == 'equidistant' else cv2.undistortPoints
    from_ = undo(points, matrix, np.array(d), P=matrix).reshape(240, 320, 2)
    return cv2.remap(board, from_, None, cv2.INTER_LINEAR), board


@pytest.mark.parametrize('model', LENSES)
def test_what_a_lens_bends_becomes_straight(model):
    seen, straight = bent(model, LENSES[model])
    lens = Lens.of(info(LENSES[model], model))
    inner = np.s_[40:200, 50:270]
    before = np.abs(seen[inner].astype(int) - straight[inner]).mean()
    after = np.abs(lens.straighten(seen)[inner].astype(int) - straight[inner]).mean()
    assert before > 5 and after < 0.2 * before


def test_a_lens_that_bends_nothing_costs_nothing():
    image = np.zeros((240, 320), np.uint8)
    assert Lens.of(info()).straighten(image) is image
    assert Lens.of(info((0.0,) * 5)).straighten(image) is image


def test_regions_and_bins():
    """A region of 160x120 at (80, 60), binned by 2: images of 80x60. The middle (159.5, 119.5) of
    the sensor is (79.5, 59.5) of the region: (39.5, 29.5) of what is sent."""
    part = info(roi=(80, 60, 160, 120), bins=(2, 2))
    assert image_size(part) == (60, 80)
    lens = Lens.of(part)
    assert lens.size == (60, 80)
    assert lens.matrix[2] == pytest.approx(39.5) and lens.matrix[5] == pytest.approx(29.5)
    assert lens.matrix[0] == 150
    assert misfit(part, np.zeros((60, 80, 3))) == ''
    assert 'is for 80x60 images' in misfit(part, np.zeros((240, 320, 3)))


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        (info((1.0,) * 5, 'fancy'), "distortion model 'fancy'; known are plumb_bob"),
        (info((1.0,) * 3), 'has 3 numbers of distortion; plumb_bob has 5'),
        (info(k=[0.0] * 9), 'is not calibrated'),
    ],
)
def test_camera_infos_that_are_refused(given, text):
    with pytest.raises(UserError, match=text):
        Lens.of(given)


def test_images_of_another_size_are_refused():
    lens = Lens.of(info(LENSES['plumb_bob']))
    with pytest.raises(UserError, match='is for 320x240 images, this one is 64x48'):
        lens.straighten(np.zeros((48, 64), np.uint8))


def test_the_pipeline_straightens_both():
    seen, straight = bent('plumb_bob', LENSES['plumb_bob'])
    settings = checked({'model.name': 'max', 'registration.undistort': True})
    pipeline = build(settings)
    registration = pipeline.preparation.registration
    frame, inner = pipeline.observe(seen, 0), np.s_[40:200, 50:270]
    assert np.array_equal(pipeline.fuse(seen, frame), seen)  # no lens is known yet
    for name in ('rgb', 'thermal'):
        registration.look(name, info(LENSES['plumb_bob']))
    fused = pipeline.fuse(seen, frame)
    assert np.abs(fused[inner].astype(int) - straight[inner]).mean() < 3
    again = build(settings, pipeline)  # lenses stay known
    assert np.array_equal(again.fuse(seen, frame), fused)
    plain = build(checked({'model.name': 'max'}), pipeline)
    assert np.array_equal(plain.fuse(seen, frame), seen)
