"""Depth images of ROS (REP 118) to metres, without importing ROS."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BadImage, quoted
from .image_codec import MAX_PIXELS, check_size

_KINDS = {'16UC1': ('u2', 1e-3), 'mono16': ('u2', 1e-3), '32FC1': ('f4', 1.0)}
"""Encoding: how a pixel lies in the bytes, and what one unit of it is in metres."""


def read_depth(message: Any) -> np.ndarray:
    """message: like sensor_msgs/Image. Returns float32 (H, W), metres; nan where nothing is known.

    Raises BadImage.
    """
    if message.encoding not in _KINDS:
        raise BadImage(
            'encoding',
            f'depth comes as {quoted(message.encoding)}; publish 16UC1 (millimetres) or 32FC1 '
            '(metres)',
        )
    kind, unit = _KINDS[message.encoding]
    pixel = np.dtype('>' + kind if message.is_bigendian else '<' + kind)
    height, width, step = message.height, message.width, message.step
    check_size(height, width, MAX_PIXELS)
    data = np.frombuffer(memoryview(message.data).cast('B'), np.uint8)
    if step < width * pixel.itemsize or len(data) < step * height:
        raise BadImage(
            'truncated',
            f'a {width}x{height} depth image of {message.encoding} takes {height} rows of at least '
            f'{width * pixel.itemsize} bytes; step is {step}, and {len(data)} bytes came',
        )
    rows = data[: step * height].reshape(height, step)[:, : width * pixel.itemsize]
    metres = np.ascontiguousarray(rows).view(pixel).astype(np.float32) * np.float32(unit)
    metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    return metres
