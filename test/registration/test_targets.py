"""Targets that both cameras see: each kind, warm and cold, small and turned."""

import cv2
import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.registration.calibrate import calibrate
from multimodal_fusion.registration.search import gap
from multimodal_fusion.registration.targets import target

MATRIX = np.array([[1.9, 0.04, 30], [-0.03, 1.95, 20], [0, 0, 1]])  # thermal to visible pixels


def board(kind):
    """A target in a visible image of 480x640, black on white."""
    image = np.full((480, 640), 235, np.uint8)
    if kind == 'aruco':
        book = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000)
        for number in range(6):
            x, y = 130 + number % 3 * 140, 120 + number // 3 * 140
            image[y : y + 100, x : x + 100] = cv2.aruco.generateImageMarker(book, number, 100)
    elif kind == 'chessboard':
        for row in range(6):
            for column in range(7):
                if (row + column) % 2:
                    y, x = 110 + row * 44, 150 + column * 44
                    image[y : y + 44, x : x + 44] = 20
    else:
        for row in range(7 if kind == 'acircles' else 4):
            for column in range(4):
                shift = row % 2 * 30 if kind == 'acircles' else 0
                x, y = 160 + column * 60 + shift, 110 + row * (30 if kind == 'acircles' else 60)
                cv2.circle(image, (x, y), 11, 20, -1, cv2.LINE_AA)
    return image


KIND = {
    'chessboard': 'chessboard:6x5', 'circles': 'circles:4x4', 'acircles': 'acircles:4x7',
    'aruco': 'aruco',
}  # fmt: skip


def pair(kind, warm):
    visible = board(kind)
    thermal = cv2.warpPerspective(
        visible, np.linalg.inv(MATRIX), (320, 240), flags=cv2.INTER_AREA, borderValue=235
    )
    return visible, 255 - thermal if warm else thermal


@pytest.mark.parametrize('warm', [False, True])
@pytest.mark.parametrize('kind', KIND)
def test_a_target_gives_the_matrix(kind, warm):
    found = calibrate([pair(kind, warm)], matcher=target(KIND[kind]), exact=True).estimate
    assert found.sure and found.residuals[0] < 0.5
    inner = np.array([[0.5, 0, 80], [0, 0.5, 60], [0, 0, 1]])  # the middle of the thermal image
    assert gap(found.matrix @ inner, MATRIX @ inner, (240, 320)) < 1.5
    assert found.words().startswith('its points are off by')


def test_a_target_that_one_camera_does_not_see():
    visible, _ = pair('chessboard', False)
    blank = np.full((240, 320), 100, np.uint8)
    with pytest.raises(UserError, match='target was seen in 0 of 1 frames, 0 points in all'):
        calibrate([(visible, blank)], matcher=target('chessboard:6x5'), exact=True)


@pytest.mark.parametrize('text', ['chess', 'chessboard', 'chessboard:6', 'circles:0x4', 'x:3x3'])
def test_kinds_that_are_none(text):
    with pytest.raises(UserError, match=r'--target is .*; expected chessboard:COLUMNSxROWS'):
        target(text)
