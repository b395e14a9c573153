"""What thermal cameras hide in their JPEGs: raw counts, a photo, the constants for degrees.

FLIR: APP1 segments "FLIR" hold a file of records (raw data, camera, photo). DJI: APP3 segments are
the counts, 16 bits, of the picture's own size. Every length is checked before it is believed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import BadImage
from .image_codec import MAX_PIXELS, check_size, decode, read_header

RAW, CAMERA, PHOTO = 0x01, 0x20, 0x0E  # records
HEAD = 32  # bytes, of a record of the first or third kind
PNG = b'\x89PNG'
MOST_RECORDS = 1000


@dataclass(frozen=True)
class Radiometric:
    """counts: uint16 (H, W). photo: the file of the visible image beside it, empty if there is
    none. planck: R1, B, F, O, R2 for `pipeline.temperature`; None where the camera doesn't say."""

    counts: np.ndarray
    photo: bytes
    planck: tuple[float, float, float, float, float] | None


def radiometric(content: bytes, max_pixels: int = MAX_PIXELS) -> Radiometric | None:
    """What a JPEG holds beside its picture; None if it is no radiometric one. Raises BadImage where
    it says that it is and is damaged."""
    if content[:2] != b'\xff\xd8':
        return None
    flir, dji = {}, []
    for marker, data in _segments(content):
        if marker == 0xE1 and data[:5] == b'FLIR\x00' and len(data) > 8:
            flir[data[6]] = data[8:]
        elif marker == 0xE3:
            dji.append(data)
    if flir:
        if sorted(flir) != list(range(len(flir))):
            raise BadImage('truncated', 'parts of its radiometric data are missing')
        return _flir(b''.join(flir[number] for number in sorted(flir)), max_pixels)
    if dji:
        raw = b''.join(dji)
        height, width, _ = read_header(np.frombuffer(content, np.uint8))
        if len(raw) == 2 * height * width:  # else it is something else that uses these segments
            check_size(height, width, max_pixels)
            return Radiometric(np.frombuffer(raw, '<u2').reshape(height, width).copy(), b'', None)
    return None


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, data) of what stands before the picture."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] not in (0xDA, 0xD9):
        if content[at + 1] == 0xFF:  # padding
            at += 1
            continue
        length = int.from_bytes(content[at + 2 : at + 4], 'big')
        if length < 2 or at + 2 + length > len(content):
            return
        yield content[at + 1], content[at + 4 : at + 2 + length]
        at += 2 + length


def _flir(file: bytes, max_pixels: int) -> Radiometric:
    records = _records(file)
    if RAW not in records:
        raise BadImage('encoding', 'its radiometric data hold no raw counts')
    planck = _planck(records[CAMERA]) if CAMERA in records else None
    photo = records.get(PHOTO, b'')[HEAD:]
    return Radiometric(_raw(records[RAW], max_pixels), photo, planck)


def _records(file: bytes) -> dict[int, bytes]:
    """{kind: data}, the first of each."""
    if file[:4] not in (b'FFF\x00', b'AFF\x00') or len(file) < 0x40:
        raise BadImage('encoding', 'its radiometric data have no directory')
    order = '>' if 100 <= struct.unpack_from('>I', file, 0x14)[0] < 200 else '<'
    start, count = struct.unpack_from(f'{order}II', file, 0x18)
    found: dict[int, bytes] = {}
    for number in range(min(count, MOST_RECORDS)):
        at = start + 32 * number
        if at + 32 > len(file):
            raise BadImage('truncated', 'the directory of its radiometric data is cut off')
        kind, *_ = struct.unpack_from(f'{order}H', file, at)
        offset, length = struct.unpack_from(f'{order}II', file, at + 12)
        if kind in (RAW, CAMERA, PHOTO) and length:
            if offset + length > len(file):
                raise BadImage('truncated', 'its radiometric data are cut off')
            found.setdefault(kind, file[offset : offset + length])
    return found


def _order(record: bytes) -> str:
    """By the record's first number, which is 2."""
    return '<' if record[:2] == b'\x02\x00' else '>'


def _raw(record: bytes, max_pixels: int) -> np.ndarray:
    if len(record) < HEAD:
        raise BadImage('truncated', 'its raw counts are cut off')
    order = _order(record)
    width, height = struct.unpack_from(f'{order}HH', record, 2)
    check_size(height, width, max_pixels)
    data = record[HEAD:]
    if data[:4] != PNG:
        if len(data) < 2 * height * width:
            raise BadImage('truncated', 'its raw counts are cut off')
        return np.frombuffer(data, '<u2', height * width).reshape(height, width).copy()
    counts = decode(np.frombuffer(data, np.uint8), max_pixels)
    if counts.shape != (height, width) or counts.dtype != np.uint16:
        raise BadImage('encoding', 'its raw counts are no 16-bit image of the size it says')
    # Most cameras write the bytes of a count the other way round than PNG has them: the picture
    # that is smoother is the one that was seen.
    swapped = counts.byteswap()
    return min(counts, swapped, key=_roughness)


def _roughness(counts: np.ndarray) -> float:
    return float(np.abs(np.diff(counts.astype(np.int32), axis=1)).mean())


def _planck(record: bytes) -> tuple[float, float, float, float, float] | None:
    if len(record) < 0x310:
        return None
    order = _order(record)
    r1, b, f = struct.unpack_from(f'{order}fff', record, 0x58)
    o, r2 = struct.unpack_from(f'{order}if', record, 0x308)
    good = np.isfinite([r1, b, f, r2]).all() and min(r1, b, r2) > 0
    return (r1, b, f, float(o), r2) if good else None


def photo_of(found: Radiometric, max_pixels: int = MAX_PIXELS) -> np.ndarray | None:
    """The visible image beside the counts, uint8 (H, W, 3) BGR or (H, W); None if there is none.
    Raises BadImage."""
    if not found.photo:
        return None
    pixels = decode(np.frombuffer(found.photo, np.uint8), max_pixels)
    if pixels.dtype != np.uint8:
        raise BadImage('encoding', 'the photo beside its counts has more than 8 bits')
    # Some cameras keep it as YCrCb in a PNG.
    is_png = found.photo[:4] == PNG and pixels.ndim == 3
    return cv2.cvtColor(pixels[..., ::-1], cv2.COLOR_YCrCb2BGR) if is_png else pixels
