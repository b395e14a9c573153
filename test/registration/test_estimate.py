"""Calibration without a target: planted warps are found, unlike pictures are refused."""

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.errors import UserError
from multimodal_fusion.registration.calibrate import calibrate, checkerboard
from multimodal_fusion.registration.estimate import estimate
from multimodal_fusion.registration.features import features, grey
from multimodal_fusion.registration.refine import Aligner
from multimodal_fusion.registration.search import gap, grid
from multimodal_fusion.registration.stored import Stored

cv2.setNumThreads(1)


def street(seed, shape=(240, 320)):
    """Boxes and bars of random places and sizes, as a visible and a thermal camera might see them:
    half of them with the opposite contrast, some in one alone."""
    random = np.random.default_rng(seed)
    visible, thermal = (np.full(shape, level, np.uint8) for level in (90, 120))
    for _ in range(60):
        x, y = random.integers(0, shape[1]), random.integers(0, shape[0])
        w, h = random.integers(6, 70, 2)
        for image in (visible, thermal):
            if random.random() < 0.85:
                level = int(random.integers(0, 256))
                cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), level, -1)
    noise = random.normal(0, 4, shape)
    return np.clip(visible + noise, 0, 255).astype(np.uint8), cv2.GaussianBlur(thermal, (0, 0), 1)


def planted(scale=0.8, degrees=4.0, shift=(25, -14), size=(240, 320)):
    """Thermal pixels to visible ones."""
    turn = cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), degrees, scale)
    turn[:, 2] += shift
    return np.vstack((turn, (0, 0, 1)))


def filmed(matrix, seeds):
    """Frames of a rig whose thermal pixels lie on visible ones by a matrix."""
    frames = []
    for seed in seeds:
        visible, thermal = street(seed)
        size = thermal.shape[::-1]
        frames.append((visible, cv2.warpPerspective(thermal, np.linalg.inv(matrix), size)))
    return frames


def test_a_planted_warp_is_found_in_one_pair():
    matrix = planted()
    found = estimate(filmed(matrix, [1]))
    assert found.sure and found.model == 'affine', found.words()
    assert gap(found.matrix, matrix, (240, 320)) < 1.5


def test_a_homography_is_told_by_many_frames():
    matrix = planted(1.2, -3.0, (-20, 16))
    matrix[2, :2] = 1e-4, -8e-5
    found = estimate(filmed(matrix, range(5)))
    assert found.sure and found.model == 'homography', found.words()
    assert gap(found.matrix, matrix, (240, 320)) < 2.0
    assert found.frames == 5


@pytest.mark.parametrize('seed', range(2))
def test_pictures_of_two_places_are_refused(seed):
    visible, _ = street(seed)
    _, thermal = street(seed + 100)
    found = estimate([(visible, thermal)])
    assert not found.sure and 'give more frames' in found.reason


def test_an_empty_thermal_image_is_refused():
    visible, _ = street(1)
    found = estimate([(visible, np.full((120, 160), 7, np.uint8))])
    assert not found.sure and np.isfinite(found.matrix).all()


def test_frames_of_two_sizes_and_none():
    visible, thermal = street(1)
    with pytest.raises(UserError, match='of one size a camera, got 2'):
        estimate([(visible, thermal), (visible[:200], thermal)])
    with pytest.raises(UserError, match='at least one pair of frames, got none'):
        estimate([])


def test_features_are_blind_to_polarity_and_know_the_angle():
    """An edge turned round has the same channels; across, the first is opposite, the second not."""
    image = np.tile(np.where(np.arange(64) < 32, 40, 200).astype(np.uint8), (64, 1))
    one, other, across = (features(i).channels[:, 32, 32] for i in (image, 255 - image, image.T))
    assert other == pytest.approx(one, abs=1e-3)
    assert across[0] == pytest.approx(-one[0], abs=1e-3)
    assert across[1] == pytest.approx(one[1], abs=1e-3)


def test_what_is_not_known_has_no_edges():
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :40] = 1
    image = np.where(mask, 100, 0).astype(np.uint8)
    assert np.abs(features(image, mask).channels).max() < 0.1
    assert np.abs(features(image).channels).max() > 0.5


def test_grey_of_counts_and_colours():
    counts = np.linspace(3000, 6900, 400, dtype=np.uint16).reshape(20, 20)
    found = grey(counts)
    assert found.dtype == np.uint8 and found.min() == 0 and found.max() == 255
    assert grey(np.zeros((4, 4, 3), np.uint8)).shape == (4, 4)


def test_pixels_of_an_image_at_another_size():
    """The middle of pixel 0 of two is at 0.5 of four."""
    assert grid((2, 2), (4, 4)) @ [0, 0, 1] == pytest.approx([0.5, 0.5, 1])


def test_climbing_from_nearby():
    matrix = planted(1.1, 2.0, (6, 4))
    start = planted(1.12, 1.0, (9, 1))
    found, score = Aligner(filmed(matrix, [4]), 160).climb(start, 'similarity', 60.0)
    assert gap(found, matrix, (240, 320)) < 1.5 < gap(start, matrix, (240, 320))
    assert score > 0.5
    stays, _ = Aligner(filmed(matrix, [4]), 160).climb(start, 'similarity', 0.1)
    assert np.array_equal(stays, start)  # it would have moved farther than it may


def test_a_checkerboard_shows_both():
    board = checkerboard(np.zeros((64, 320), np.uint8), np.full((64, 320), 255, np.uint8))
    assert board[0, 0] == 255 and board[0, 20] == 0 and board.mean() == pytest.approx(127.5)


def match(visible, thermal):
    """A stand-in for a learned matcher: it knows."""
    random = np.random.default_rng(1)
    warm = random.uniform(20, 200, (60, 2))
    shown = cv2.perspectiveTransform(warm[:, None], planted())[:, 0]
    shown[:6] += 60  # and is wrong at times
    return shown, warm


def test_a_matcher_of_ones_own():
    frames = filmed(planted(), [2])
    found = calibrate(frames, matcher=match).estimate
    assert found.sure and gap(found.matrix, planted(), (240, 320)) < 0.1
    with pytest.raises(UserError, match=r'must return points of visible and thermal'):
        calibrate(frames, matcher=lambda v, t: (np.zeros((3, 2)), np.zeros((2, 2))))
    with pytest.raises(
        UserError, match='found something in 1 of 1 frames, 2 points in all, and 12'
    ):
        calibrate(frames, matcher=lambda v, t: (np.zeros((2, 2)), np.zeros((2, 2))))


def test_the_command(tmp_path, capsys):
    """From pictures to a file that the node takes; from others, none."""
    for seed, (visible, thermal) in enumerate(filmed(planted(), [1])):
        for kind, image in (('vis', visible), ('ir', thermal)):
            (tmp_path / 'rig' / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / f'rig/{kind}/{seed}.png'), image)
    out = tmp_path / 'registration.yaml'
    assert cli.main(['calibrate', '--data', str(tmp_path / 'rig'), '-o', str(out)]) == 0
    said = capsys.readouterr().out
    assert '1 pair, affine:' in said and f'-p registration.file:={out}' in said
    stored = Stored.read(out)
    assert gap(stored.matrix, planted(), (240, 320)) < 1.5
    assert stored.visible_size == (240, 320) and stored.about['frames'] == 1
    page = (tmp_path / 'registration_pictures/index.html').read_text()
    assert 'after-0.jpg' in page and (tmp_path / 'registration_pictures/after-0.jpg').is_file()
    before = out.read_bytes()
    cv2.imwrite(str(tmp_path / 'rig/ir/0.png'), street(50)[1])
    assert cli.main(['calibrate', '--data', str(tmp_path / 'rig'), '-o', str(out)]) == 2
    assert 'not sure, so' in capsys.readouterr().err and out.read_bytes() == before
