"""Lenses and pose from a target held near and far: planted cameras, and a real pair of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from multimodal_fusion.cli import main
from multimodal_fusion.errors import UserError
from multimodal_fusion.registration.camera import Lens
from multimodal_fusion.registration.intrinsics import camera, rig, write_camera
from multimodal_fusion.registration.stored import Stored
from multimodal_fusion.registration.targets import target

SQUARE = 0.04
BOARD = target('chessboard:7x5').board(SQUARE)
VISIBLE = Lens(
    (480, 640), (620.0, 0, 322.0, 0, 618.0, 236.0, 0, 0, 1.0), 'plumb_bob',
    (-0.12, 0.05, 0.0, 0.0, 0.0),
)  # fmt: skip
THERMAL = Lens(
    (240, 320), (380.0, 0, 158.0, 0, 381.0, 121.0, 0, 0, 1.0), 'plumb_bob',
    (-0.3, 0.1, 0.0, 0.0, 0.0),
)  # fmt: skip
TURN = cv2.Rodrigues(np.deg2rad([1.0, -2.0, 0.5]))[0]
SHIFT = np.array([-0.08, 0.01, 0.005])  # thermal to RGB, m


def poses(count, seed=0):
    """(rotation, place) of the board before the RGB camera, near and far, tilted."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        turn = cv2.Rodrigues(np.deg2rad(random.uniform(-30, 30, 3) * (1, 1, 0.4)))[0]
        far = random.uniform(0.55, 1.1)
        at = np.array([random.uniform(-0.1, 0.1), random.uniform(-0.08, 0.08), 1.0]) * far
        yield turn, at - turn @ BOARD.mean(0)


def seen(lens, turn, at, points):
    matrix, bent = np.reshape(lens.matrix, (3, 3)), np.array(lens.bent)
    return cv2.projectPoints(points, cv2.Rodrigues(turn)[0], at, matrix, bent)[0].reshape(-1, 2)


def both(turn, at, points=BOARD):
    inverse = TURN.T
    return seen(VISIBLE, turn, at, points), seen(
        THERMAL, inverse @ turn, inverse @ (at - SHIFT), points
    )


def test_planted_cameras_come_back():
    random = np.random.default_rng(1)
    views = [
        tuple(points + random.normal(0, 0.1, points.shape) for points in both(*pose))
        for pose in poses(16)
    ]
    shown = camera('rgb', [v for v, _ in views], BOARD, VISIBLE.size)
    warm = camera('thermal', [t for _, t in views], BOARD, THERMAL.size)
    assert abs(shown.lens.matrix[0] - 620) < 5 and abs(warm.lens.matrix[0] - 380) < 5
    assert shown.error < 0.3 and warm.unsure < 0.02
    spoilt = views[:12] + [(v, t + 25) for v, t in views[12:]]  # the board moved in between
    found = rig(warm, shown, spoilt, BOARD)
    assert np.allclose(found.pose.translation, SHIFT, atol=0.005)
    assert found.agreeing == 12 and found.views == 16 and 0.5 < found.distance < 1.2
    moving = [(v, t + random.uniform(-40, 40, 2)) for v, t in views]
    with pytest.raises(UserError, match='hold the target still'):
        rig(warm, shown, moving, BOARD)


def test_views_that_do_not_tell():
    few = [both(*pose)[0] for pose in poses(5)]
    with pytest.raises(UserError, match='seen by rgb in 5 views, and 8 are needed'):
        camera('rgb', few, BOARD, VISIBLE.size)
    flat = [
        seen(VISIBLE, np.eye(3), np.array([x, 0.0, 1.0]), BOARD) for x in np.linspace(-0.2, 0, 9)
    ]
    noise = np.random.default_rng(0)
    flat = [points + noise.normal(0, 0.3, points.shape) for points in flat]
    with pytest.raises(UserError, match=r'do not tell the lens of rgb .* tilted'):
        camera('rgb', flat, BOARD, VISIBLE.size)
    with pytest.raises(UserError, match='markers may lie anywhere'):
        target('aruco').board(SQUARE)


def test_the_points_of_an_asymmetric_grid():
    """Rows a square apart, points of a row two squares, odd rows shifted by one."""
    assert np.array_equal(
        target('acircles:2x3').board(1.0)[:, :2], [[0, 0], [2, 0], [1, 1], [3, 1], [0, 2], [2, 2]]
    )


def test_a_file_that_is_no_camera_is_left_alone(tmp_path):
    path = tmp_path / 'rgb.yaml'
    path.write_text('mine: 1')
    views = [both(*pose)[0] for pose in poses(10)]
    found = camera('rgb', views, BOARD, VISIBLE.size)
    with pytest.raises(UserError, match='is left alone'):
        write_camera(path, 'rgb', found)
    assert path.read_text() == 'mine: 1'


def picture(lens, turn, at, warm):
    """The board through a lens, drawn square by square: what a camera sees."""
    scale, big = 4, np.full((lens.size[0] * 4, lens.size[1] * 4), 200, np.uint8)
    for row in range(-1, 5):
        for column in range(-1, 7):
            edge = np.linspace(0, 1, 5)[:-1]
            x = np.concatenate((edge, np.ones(4), 1 - edge, np.zeros(4))) + column
            y = np.concatenate((np.zeros(4), edge, np.ones(4), 1 - edge)) + row
            corners = np.stack((x, y, np.zeros(16)), 1) * SQUARE
            if (row + column) % 2:
                places = (seen(lens, turn, at, corners) + 0.5) * scale - 0.5
                cv2.fillPoly(big, [np.rint(places).astype(int)], 30)
    small = cv2.resize(big, lens.size[::-1], interpolation=cv2.INTER_AREA)
    return 255 - small if warm else small


def test_the_command_makes_the_files_of_a_rig(tmp_path, capsys):
    for name in ('vis', 'ir'):
        (tmp_path / name).mkdir()
    for number, (turn, at) in enumerate(poses(14, seed=3)):
        cv2.imwrite(str(tmp_path / f'vis/{number:02d}.png'), picture(VISIBLE, turn, at, False))
        thermal = picture(THERMAL, TURN.T @ turn, TURN.T @ (at - SHIFT), True)
        cv2.imwrite(str(tmp_path / f'ir/{number:02d}.png'), thermal)
    out = tmp_path / 'rig.yaml'
    command = ['calibrate', '--data', str(tmp_path), '-o', str(out), '--intrinsics']
    assert main([*command, '--target', 'chessboard:7x5']) == 2
    assert '--intrinsics needs --target KIND and --square' in capsys.readouterr().err
    assert main([*command, '--target', 'chessboard:7x5', '--square', str(SQUARE)]) == 0
    assert 'registration.mode:=calibrated' in capsys.readouterr().out
    stored = Stored.read(out)
    assert np.allclose(stored.pose.translation, SHIFT, atol=0.008)
    lens = yaml.safe_load((tmp_path / 'rig_thermal.yaml').read_text())
    assert lens['image_width'] == 320 and lens['distortion_model'] == 'plumb_bob'
    assert lens['camera_matrix']['data'][0] == pytest.approx(380, rel=0.02)
    assert (tmp_path / 'rig_pictures/index.html').exists()


CIRCLES = Path(__file__).parents[3] / 'shared/data/registration/train/circlegrid_200512.npz'


@pytest.mark.skipif(not CIRCLES.exists(), reason='needs shared/data/registration')
def test_a_real_rig_says_the_same_by_either_half_of_its_views():
    """A heated circle grid, moved by hand while two cameras took it: half of the views agree."""
    points, board = np.load(CIRCLES), target('acircles:4x13').board(0.04)
    found = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        warm, shown = points['thermal_points'][half], points['left_points'][half]
        lenses = (
            camera('thermal', warm, board, (480, 640)), camera('rgb', shown, board, (960, 1280)),
        )  # fmt: skip
        assert lenses[0].error < 0.6 and lenses[1].error < 0.6
        found.append(rig(*lenses, list(zip(shown, warm, strict=True)), board))
    apart = np.subtract(found[0].pose.translation, found[1].pose.translation)
    assert np.abs(apart).max() < 0.012  # m, of 14 cm
    assert all(one.error < 2 for one in found)
