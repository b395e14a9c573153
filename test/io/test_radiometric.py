"""Radiometric JPEGs: counts, photo and constants of files made here, damage, and real ones."""

import contextlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.errors import BadImage
from multimodal_fusion.io.image_files import read_thermal, read_visible
from multimodal_fusion.io.radiometric import radiometric

SHARED = Path(__file__).parents[2].parent / 'shared/data/raw16/train'
COUNTS = np.linspace(7000, 9000, 48 * 64).reshape(48, 64).astype(np.uint16)
PHOTO = np.full((96, 128, 3), (30, 90, 200), np.uint8)


def picture():
    return cv2.imencode('.jpg', np.full((48, 64, 3), 77, np.uint8))[1].tobytes()


def inserted(*segments):
    """A JPEG with (marker, data) before the picture."""
    jpeg = picture()
    found = b''.join(
        b'\xff' + bytes([marker]) + struct.pack('>H', len(data) + 2) + data
        for marker, data in segments
    )
    return jpeg[:2] + found + jpeg[2:]


def record(data, order='<', size=(64, 48)):
    return struct.pack(f'{order}HHH', 2, *size).ljust(32, b'\0') + data


def camera():
    data = bytearray(0x400)
    struct.pack_into('<H', data, 0, 2)
    struct.pack_into('<fff', data, 0x58, 16327.5, 1424.5, 1.25)
    struct.pack_into('<if', data, 0x308, -6872, 0.0231)
    return bytes(data)


def records(parts, order='>'):
    """A file of records, {kind: data}."""
    start, entries, body = 0x40, b'', b''
    offset = start + 32 * len(parts)
    for kind, data in parts.items():
        entry = struct.pack(f'{order}HHIIII', kind, 1, 100, 1, offset + len(body), len(data))
        entries, body = entries + entry.ljust(32, b'\0'), body + data
    version = struct.pack(f'{order}I', 100)
    head = b'FFF\0' + b'test'.ljust(16, b'\0') + version
    head += struct.pack(f'{order}II', start, len(parts))
    return head.ljust(start, b'\0') + entries + body


def flir(parts, order='>', size=30_000):
    """A JPEG whose records come in segments of so many bytes."""
    file = records(parts, order)
    chunks = [file[i : i + size] for i in range(0, len(file), size)]
    last = len(chunks) - 1
    return inserted(
        *((0xE1, b'FLIR\0\x01' + bytes([i, last]) + chunk) for i, chunk in enumerate(chunks))
    )


def png(counts):
    return cv2.imencode('.png', counts)[1].tobytes()


RAW = {
    'plain': record(COUNTS.astype('<u2').tobytes()),
    'png': record(png(COUNTS)),
    'png with swapped bytes': record(png(COUNTS.byteswap())),
    'big endian': record(COUNTS.astype('<u2').tobytes(), '>'),
}


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('kind', RAW)
def test_counts_of_a_flir_file(kind, order):
    found = radiometric(flir({1: RAW[kind], 0x20: camera()}, order, 1000))
    assert np.array_equal(found.counts, COUNTS) and found.counts.dtype == np.uint16
    assert found.planck == pytest.approx((16327.5, 1424.5, 1.25, -6872, 0.0231))
    assert found.photo == b''


def test_files_on_disk(tmp_path, capsys):
    """Its counts are thermal, its photo is visible: one file is a pair."""
    photo = record(cv2.imencode('.jpg', PHOTO)[1].tobytes(), size=(128, 96))
    path = tmp_path / 'flir.jpg'
    path.write_bytes(flir({1: RAW['png'], 0x0E: photo}))
    assert np.array_equal(read_thermal(path), COUNTS)
    assert np.abs(read_visible(path).astype(int) - PHOTO).max() < 6
    out = tmp_path / 'fused.png'
    words = ['fuse', str(path), str(path), '-o', str(out), '--registration', 'resize']
    assert cli.main([*words, '--model', 'max']) == 0
    assert cv2.imread(str(out)).shape == PHOTO.shape


def test_counts_of_a_dji_file(tmp_path):
    raw = COUNTS.astype('<u2').tobytes()
    path = tmp_path / 'dji.jpg'
    path.write_bytes(inserted((0xE3, raw[:4000]), (0xE3, raw[4000:])))
    assert np.array_equal(read_thermal(path), COUNTS)
    assert (read_visible(path) == 77).all()  # it has no photo
    path.write_bytes(inserted((0xE3, raw[:4000])))  # of other makers
    assert (read_thermal(path) == 77).all()


def test_a_plain_jpeg_is_none():
    assert radiometric(picture()) is None
    assert radiometric(png(COUNTS)) is None
    assert radiometric(inserted((0xE1, b'Exif\0\0'))) is None


GOOD = records({1: RAW['plain']})


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        (flir({0x20: camera()}), 'hold no raw counts'),
        (inserted((0xE1, b'FLIR\0\x01\x00\x00' + GOOD[:-9])), 'are cut off'),
        (inserted((0xE1, b'FLIR\0\x01\x00\x00' + b'nothing')), 'have no directory'),
        (inserted((0xE1, b'FLIR\0\x01\x01\x01' + GOOD)), 'parts of its radiometric data'),
        (flir({1: RAW['plain'][:2000]}), 'raw counts are cut off'),
        (flir({1: record(png(COUNTS), size=(65, 48))}), 'no 16-bit image of the size it says'),
        (flir({1: record(b'', size=(60000, 60000))}), 'over the cap'),
        (flir({1: b'\x02\0'}), 'raw counts are cut off'),
    ],
)
def test_damage_is_told(tmp_path, content, text):
    path = tmp_path / 'bad.jpg'
    path.write_bytes(content)
    with pytest.raises(BadImage, match=rf'bad\.jpg: .*{text}'):
        read_thermal(path)


def test_nothing_but_bad_image_comes_of_bytes_that_were_changed():
    good = bytearray(flir({1: RAW['png'], 0x20: camera()}))
    random = np.random.default_rng(5)
    for _ in range(300):
        bad = bytearray(good)
        for place in random.integers(2, 400, 4):
            bad[place] = int(random.integers(256))
        with contextlib.suppress(BadImage):
            radiometric(bytes(bad))


@pytest.mark.skipif(not SHARED.is_dir(), reason='the shared data are not here')
def test_real_ones():
    """A FLIR ONE with its photo; a DJI file whose counts somebody else has read, too."""
    path = SHARED / 'flirone_rjpeg.jpg'
    counts = read_thermal(path)
    assert counts.shape == (320, 240) and (counts.min(), counts.max()) == (12501, 20042)
    assert read_visible(path).shape == (640, 480, 3)
    counts = read_thermal(SHARED / 'dji_m3t_0001_R.JPG')
    known = cv2.imread(str(SHARED / 'dji_m3t_0001.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(counts, known)
