"""EXIF orientation of files, made here byte by byte; OpenCV, which applies it, is the reference."""

import struct

import cv2
import numpy as np
import pytest

from multimodal_fusion.io.image_files import read_pixels
from multimodal_fusion.io.orientation import orientation, upright

# No two of its eight turns and mirrorings look alike.
IMAGE = np.zeros((16, 24, 3), np.uint8)
IMAGE[:8, :8], IMAGE[8:, 8:16] = 250, 120


def note(number, order='<'):
    """A TIFF structure of one entry: the orientation."""
    mark = b'II' if order == '<' else b'MM'
    return mark + struct.pack(f'{order}HIHHHIHHI', 42, 8, 1, 0x0112, 3, 1, number, 0, 0)


def jpeg(number, order='<', quality=100):
    plain = cv2.imencode('.jpg', IMAGE, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    body = b'Exif\0\0' + note(number, order)
    return plain[:2] + b'\xff\xe1' + struct.pack('>H', len(body) + 2) + body + plain[2:]


@pytest.mark.parametrize('number', range(1, 9))
@pytest.mark.parametrize('order', ['<', '>'])
def test_every_orientation_as_opencv_applies_it(tmp_path, number, order):
    content = jpeg(number, order)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    (tmp_path / 'a.jpg').write_bytes(content)
    assert orientation(content) == number
    assert np.array_equal(read_pixels(tmp_path / 'a.jpg'), expected)


def test_png_and_webp_have_it_too():
    png = cv2.imencode('.png', IMAGE)[1].tobytes()
    body = b'eXIf' + note(6, '>')
    chunk = struct.pack('>I', len(body) - 4) + body + b'crc_'
    assert orientation(png[:33] + chunk + png[33:]) == 6
    webp = cv2.imencode('.webp', IMAGE)[1].tobytes()
    assert orientation(webp + b'EXIF' + struct.pack('<I', 26) + note(8)) == 8


@pytest.mark.parametrize('number', [0, 9, 255])
def test_what_says_nothing_is_upright(number):
    assert orientation(jpeg(number)) == 1
    assert orientation(jpeg(6)[:20]) == 1
    assert orientation(cv2.imencode('.jpg', IMAGE)[1].tobytes()) == 1
    behind = cv2.imencode('.jpg', IMAGE)[1].tobytes() + b'Exif\0\0' + note(6)
    assert orientation(behind) == 1
    assert orientation(b'') == 1


def test_sixteen_bits_and_grey_are_turned_alike():
    deep = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert upright(deep, 6).tolist() == [[3, 0], [4, 1], [5, 2]]
    assert upright(deep, 8).tolist() == [[2, 5], [1, 4], [0, 3]]
    assert upright(deep, 3).tolist() == [[5, 4, 3], [2, 1, 0]]
