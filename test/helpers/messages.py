"""Image messages for tests of the codec: plain objects with the fields of sensor_msgs."""

import sys
from types import SimpleNamespace

import numpy as np


def image(pixels, encoding, padding=0, big_endian=False):
    """An Image message with ``padding`` bytes after each row."""
    rows = np.ascontiguousarray(pixels)
    if rows.dtype == np.uint16:
        rows = rows.astype('>u2' if big_endian else '<u2')
    rows = rows.view(np.uint8).reshape(rows.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=rows.shape[1],
        data=rows.tobytes(),
    )


def compressed(content, name='jpeg'):
    """A CompressedImage message."""
    return SimpleNamespace(format=name, data=bytes(content))


NATIVE_BIG = sys.byteorder == 'big'
