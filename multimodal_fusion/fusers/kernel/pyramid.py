"""Does a model file hold the pyramid that pyramid.c computes, and with which weights?

Its graph has hundreds of nodes. All of it but the weights must be, byte for byte, what
`train.export.onnx` writes for `networks.pyramid.MMDRFusePyramid`; anything else is left to ONNX
Runtime.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from ...runtime.onnx_file import fields
from .weights import OtherShape, read_tensor, require

LEVELS = 4
# Multiply-adds a pixel: the layers and 22 local means on blocks; of each level two gains and three
# squares; the gap's gain, the sources' squares; what is held back. Medians multiply nothing.
MACS = round((4 * (5 * 8 + 3 * 8) + 22 * 6) / 16 + 4 * (2 * 2 + 2 + 3) + 2 + 1 + 4 + 2 * 2 + 1)
#: Of the graph without its weights, by `_skeleton`; test_pyramid.py says how it comes about.
SKELETON = '78e00f23207eb9eb8af1ea6a5652585fe297632513f144cae095add3a8d98e9e'
_REMARKS = (2, 10, 13, 16)  # name, text, shapes on the way, metadata: nothing is computed by them
_SHAPES = {
    'enter.weight': (8, 5, 1, 1),
    **{f'level.{k}': (8, 1, 1) for k in range(LEVELS)},
    'leave.weight': (3, 8, 1, 1),
    'leave.bias': (3,),
    'limit': (),
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
