"""Depth images: millimetres and metres, both byte orders, broken lengths."""

from types import SimpleNamespace

import numpy as np
import pytest

from multimodal_fusion.errors import BadImage
from multimodal_fusion.io.depth import read_depth


def message(pixels, encoding, pad=0, big=False):
    rows = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder('>' if big else '<')))
    data = np.pad(rows.view(np.uint8).reshape(len(pixels), -1), ((0, 0), (0, pad)))
    return SimpleNamespace(
        height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=big,
        step=data.shape[1], data=data.tobytes(),
    )  # fmt: skip


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('pad', [0, 3])
def test_millimetres_and_metres(big, pad):
    counts = np.array([[0, 1500], [65535, 20]], np.uint16)
    metres = np.array([[np.nan, 1.5], [65.535, 0.02]], np.float32)
    found = read_depth(message(counts, '16UC1', pad, big))
    assert found.dtype == np.float32 and np.allclose(found, metres, equal_nan=True)
    raw = np.array([[np.inf, 1.5], [-1.0, 0.02]], np.float32)
    found = read_depth(message(raw, '32FC1', pad, big))
    assert np.allclose(found, [[np.nan, 1.5], [np.nan, 0.02]], equal_nan=True)


def test_what_is_no_depth():
    good = message(np.ones((4, 6), np.uint16), '16UC1')
    for change, words in (
        ({'encoding': 'rgb8'}, "depth comes as 'rgb8'"),
        ({'step': 6}, 'rows of at least 12 bytes; step is 6'),
        ({'data': good.data[:-1]}, '47 bytes came'),
        ({'width': 60000, 'height': 60000}, 'pixels'),
    ):
        with pytest.raises(BadImage, match=words):
            read_depth(SimpleNamespace(**{**vars(good), **change}))
