"""EXIF orientation: a camera held on its side writes pixels as they come, and a note."""

from __future__ import annotations

import struct

import cv2
import numpy as np

_TAG = 0x0112
_HEAD = 2**18  # bytes of a file in which a JPEG's or PNG's note stands


def orientation(content: bytes | memoryview) -> int:
    """1 to 8, as EXIF numbers them; 1, upright, where a JPEG, PNG or WebP file says nothing."""
    head = bytes(content[:_HEAD])
    if head.startswith(b'\xff\xd8'):
        at = head.find(b'Exif\x00\x00')
        return _of_tiff(head, at + 6) if 0 <= at < _scan(head) else 1
    if head.startswith(b'\x89PNG'):
        at = head.find(b'eXIf')
        return _of_tiff(head, at + 4) if at >= 0 else 1
    if head[8:12] == b'WEBP':
        whole = bytes(content)
        at = whole.rfind(b'EXIF')
        return _of_tiff(whole, at + 8) if at >= 0 else 1
    return 1


def _scan(head: bytes) -> int:
    """Where a JPEG's pixels begin: what looks like a note behind that is none."""
    at = head.find(b'\xff\xda')
    return at if at >= 0 else len(head)


def _of_tiff(data: bytes, start: int) -> int:
    """The orientation in the first directory of a TIFF structure; 1 if it cannot be read."""
    order = {b'II': '<', b'MM': '>'}.get(data[start : start + 2])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(f'{order}I', data, start + 4)
        (count,) = struct.unpack_from(f'{order}H', data, start + offset)
        for entry in range(min(count, 512)):
            tag, kind, _, value = struct.unpack_from(
                f'{order}HHIH', data, start + offset + 2 + 12 * entry
            )
            if tag == _TAG and kind == 3:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(pixels: np.ndarray, number: int) -> np.ndarray:
    """Pixels turned and mirrored so that the scene stands upright. number: of `orientation`."""
    if number in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(number)
    return pixels if flip is None else cv2.flip(pixels, flip)
