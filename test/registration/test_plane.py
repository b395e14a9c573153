"""Two calibrated cameras before a plane: points land where the geometry puts them."""

import cv2
import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked
from multimodal_fusion.registration.camera import Lens
from multimodal_fusion.registration.plane import Pose, rounded, through_plane
from multimodal_fusion.registration.stored import Stored

from .test_camera import info

VISIBLE = Lens((480, 640), (600.0, 0, 319.5, 0, 600.0, 239.5, 0, 0, 1.0), 'plumb_bob', ())
THERMAL = Lens((240, 320), (400.0, 0, 159.5, 0, 400.0, 119.5, 0, 0, 1.0), 'plumb_bob', ())
TURN = cv2.Rodrigues(np.deg2rad([2.0, -3.0, 1.5]))[0]
POSE = Pose(tuple(TURN.ravel()), (0.1, -0.02, 0.015))


def seen(lens, points):
    found = points @ np.reshape(lens.matrix, (3, 3)).T
    return found[:, :2] / found[:, 2:]


@pytest.mark.parametrize('distance', [0.7, 3.0, 200.0])
def test_points_of_the_plane(distance):
    distance = rounded(distance)
    x, y = np.meshgrid(np.linspace(-0.3, 0.3, 5), np.linspace(-0.2, 0.2, 5))
    points = np.stack((x.ravel(), y.ravel(), np.ones(25)), 1) * distance  # of the RGB camera
    of_thermal = (points - POSE.translation) @ TURN  # X_t = R^T (X_v - t)
    matrix = through_plane(THERMAL, VISIBLE, POSE, distance)
    places = cv2.perspectiveTransform(seen(THERMAL, of_thermal)[:, None], matrix)[:, 0]
    assert np.allclose(places, seen(VISIBLE, points), atol=1e-6)


def test_side_by_side_the_shift_is_focal_length_times_base_over_distance():
    """600 pixels x 0.1 m / 3 m = 20 pixels; distances within a hundredth count as the same."""
    beside = Pose(tuple(np.eye(3).ravel()), (0.1, 0.0, 0.0))
    matrix = through_plane(VISIBLE, VISIBLE, beside, 3.0)
    assert matrix[0, 2] == pytest.approx(20, rel=0.01)
    again = through_plane(VISIBLE, VISIBLE, beside, 3.0 * 1.005)
    assert np.array_equal(matrix, again) or abs(again[0, 2] - matrix[0, 2]) < 0.5


def test_poses_by_quaternion_and_such_that_are_none():
    quarter = Pose.of_quaternion((0.0, 0.0, 1.0, 1.0), (1.0, 2.0, 3.0))  # 90 degrees about z
    assert np.allclose(np.reshape(quarter.rotation, (3, 3)), [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for turn in ([2.0, 0, 0, 0, 1, 0, 0, 0, 1], [1.0, 0, 0, 0, 1, 0, 0, 0, -1], [np.nan] * 9):
        with pytest.raises(UserError, match='must be a rotation'):
            Pose(tuple(turn), (0.0, 0.0, 0.0))
    with pytest.raises(UserError, match='zero or not finite'):
        Pose.of_quaternion((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    with pytest.raises(UserError, match='is not before the thermal camera'):
        through_plane(THERMAL, VISIBLE, Pose(tuple(np.eye(3).ravel()), (0.0, 0.0, 5.0)), 3.0)


def rig_file(path, pose=POSE):
    Stored(np.eye(3), (240, 320), (480, 640), {}, pose).write(path)
    return path


def test_the_pipeline_takes_lenses_pose_and_distance(tmp_path):
    """A dot on a wall, as both cameras see it: it lies on itself, at the distance that is set."""
    path = rig_file(tmp_path / 'rig.yaml')
    assert np.allclose(Stored.read(path).pose.rotation, POSE.rotation, atol=1e-8)
    settings = {
        'model.name': 'max', 'registration.mode': 'calibrated', 'registration.file': str(path),
        'registration.distance': 2.0,
    }  # fmt: skip
    pipeline = build(checked(settings))
    wall = np.array([[0.25, -0.1, 2.0]])
    at, at_thermal = seen(VISIBLE, wall)[0], seen(THERMAL, (wall - POSE.translation) @ TURN)[0]
    counts = np.zeros((240, 320), np.uint8)
    cv2.circle(counts, tuple(np.rint(at_thermal * 16).astype(int)), 3 * 16, 255, -1, shift=4)
    visible = np.zeros((480, 640), np.uint8)
    frame = pipeline.observe(counts, 0)
    with pytest.raises(UserError, match='lacks camera_info of rgb and thermal'):
        pipeline.fuse(visible, frame)
    registration = pipeline.preparation.registration
    registration.look('rgb', info(size=(480, 640), k=VISIBLE.matrix))
    registration.look('thermal', info(k=THERMAL.matrix))

    def middle(fused):
        y, x = np.nonzero(fused > 60)
        return np.array([x.mean(), y.mean()])

    assert np.hypot(*(middle(pipeline.fuse(visible, frame)) - at)) < 0.6
    far = build(checked(settings | {'registration.distance': 50.0}), pipeline)
    assert np.hypot(*(middle(far.fuse(visible, frame)) - at)) > 20
    measured = build(
        checked(settings | {'registration.distance': 50.0, 'registration.distance_from': 'range'}),
        pipeline,
    )
    measured.preparation.registration.known.distance = 2.0
    assert np.hypot(*(middle(measured.fuse(visible, frame)) - at)) < 0.6


def test_what_mode_calibrated_cannot_do_without(tmp_path):
    mode = {'registration.mode': 'calibrated'}
    plain = rig_file(tmp_path / 'plain.yaml', None)
    with pytest.raises(UserError, match='has no rotation and translation'):
        build(checked(mode | {'registration.file': str(plain)}))
    broken = rig_file(tmp_path / 'broken.yaml')
    broken.write_text(broken.read_text().replace('translation:', 'translated:'))
    with pytest.raises(UserError, match='is damaged: "rotation" has the nine numbers'):
        build(checked(mode | {'registration.file': str(broken)}))
    tf = build(checked(mode))
    assert 'the transform between the cameras' in tf.preparation.registration.missing()
