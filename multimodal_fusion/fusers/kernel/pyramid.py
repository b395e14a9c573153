"""Does a model file hold the pyramid that pyramid.c computes, and with which weights?

Its graph has a hundred nodes. All of it but the weights must be, byte for byte, what
`train.export.onnx` writes for `networks.pyramid.MMDRFusePyramid`; anything else is left to ONNX
Runtime.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from ...runtime.onnx_file import fields
from .weights import OtherShape, read_tensor, require

LEVELS = 3
CHANNELS = 8
# Multiply-adds a pixel: of a level 3x3 from 2, 1x1 from 2 and 3x3 to 1 channels, three images made
# larger and two smaller; levels have 1, 1/4, 1/16 of the pixels, the base network 1/64.
MACS = round((20 * CHANNELS + 9 * CHANNELS + 3 * 3.75 + 2 * 3.75) * 21 / 16 + 108 / 64)
#: Of the graph without its weights, by `_skeleton`; test_pyramid.py says how it comes about.
SKELETON = 'd97f5d769c3623725f2b8b1588d12f5060babbf7523f501b94610290b1231a82'
_REMARKS = (2, 10, 13, 16)  # name, text, shapes on the way, metadata: nothing is computed by them
_SHAPES = {
    'base.conv1.weight': (4, 2, 3, 3),
    'base.conv1.bias': (4,),
    'base.conv2.weight': (1, 4, 3, 3),
    'base.conv2.bias': (1,),
    'detail1.weight': (CHANNELS, 2, 3, 3),
    'detail1.bias': (CHANNELS,),
    'local.weight': (CHANNELS, 2, 1, 1),
    'detail2.weight': (1, CHANNELS, 3, 3),
    'detail2.bias': (1,),
}


@dataclass(frozen=True)
class PyramidWeights:
    """As in the model file: float32, for images in [0, 1], by their names in the network."""

    tensors: dict[str, np.ndarray]


def read_pyramid(content: bytes) -> PyramidWeights | None:
    """The weights in an ONNX file's bytes, checked by `model_file`; None for any other network."""
    try:
        digest, tensors = skeleton(content)
        require(digest == SKELETON)
        require({name: value.shape for name, value in tensors.items()} == _SHAPES)
        require(all(value.dtype == np.float32 for value in tensors.values()))
        require(all(np.isfinite(value).all() for value in tensors.values()))
    except (OtherShape, ValueError, TypeError, KeyError, IndexError, StopIteration):  # or damaged
        return None
    return PyramidWeights(tensors)


def skeleton(content: bytes) -> tuple[str, dict[str, np.ndarray]]:
    """A hash of a model but for the values of the pyramid's weights, and these values."""
    digest, tensors = hashlib.sha256(), {}
    for number, value in fields(memoryview(content)):
        if number == 8:  # operator sets
            digest.update(b'8' + bytes(value))
        if number != 7:
            continue
        for part, message in fields(value):
            if part == 5:
                name, tensor = read_tensor(message)
                own = name.removeprefix('network.')
                if own in _SHAPES:
                    tensors[own] = tensor
                    message = memoryview(own.encode())
            if part in (1, 5, 11, 12):  # nodes, constants, inputs, outputs
                digest.update(b'%d %d ' % (part, len(message)) + bytes(message))
            else:
                require(part in _REMARKS)
    return digest.hexdigest(), tensors
