"""Does a model file hold the network that the kernel computes, and with which weights?

The graph is walked backwards from ``fused`` and must be, node for node, what `train.export.onnx`
writes for `networks.mmdrfuse.MMDRFuse`; anything else is left to ONNX Runtime.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.onnx_file import fields

_FLOAT, _UINT8, _INT64 = 1, 2, 7  # ONNX TensorProto.DataType
_PADS = [0, 0, 1, 1, 0, 0, 1, 1]


@dataclass(frozen=True)
class TwoLayer:
    """Weights as in the model file: float32, for images in [0, 1].

    first: (4, 2, 3, 3), inputs thermal, visible. bias: (4,). second: (1, 4, 3, 3). last_bias: (1,).
    tanh: whether the output is tanh, else linear; either is clipped to [0, 1].
    """

    first: np.ndarray
    bias: np.ndarray
    second: np.ndarray
    last_bias: np.ndarray
    tanh: bool


def read_two_layer(content: bytes) -> TwoLayer | None:
    """The weights in an ONNX file's bytes, checked by `model_file`; None for any other network."""
    try:
        return _Graph(content).two_layer()
    except (OtherShape, ValueError, TypeError, KeyError, IndexError):  # or damaged
        return None


class OtherShape(Exception):  # noqa: N818 (no error: the model is simply another one)
    pass


@dataclass(frozen=True)
class _Node:
    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class _Graph:
    """The nodes and initialisers of a model, by the names of what they give."""

    def __init__(self, content: bytes):
        model = list(fields(memoryview(content)))
        domains = [_text(_only(value, 1)) for number, value in model if number == 8]
        require(domains == [''])
        graph = list(fields(next(value for number, value in model if number == 7)))
        self.nodes, self.tensors = {}, {}
        for number, value in graph:
            if number == 1:
                node = _node(value)
                require(len(node.outputs) == 1)
                self.nodes[node.outputs[0]] = node
            elif number == 5:
                name, tensor = read_tensor(value)
                self.tensors[name] = tensor

    def two_layer(self) -> TwoLayer:
        left = len(self.nodes)
        at = self._step('fused', 'Transpose', perm=[0, 2, 3, 1])
        at = self._step(at, 'Round', skip=('Cast', {'to': _UINT8}))
        at = self._scaled(at, 'Mul')
        node = self._node(at, 'Clip', 3)
        require([self._scalar(name) for name in node.inputs[1:]] == [0.0, 1.0])
        at, tanh = node.inputs[0], False
        if self.nodes[at].kind == 'Tanh':
            at, tanh = self._step(at, 'Tanh'), True
        at, second, last_bias = self._convolution(at, (1, 4, 3, 3))
        at = self._step(at, 'Relu')
        at, first, bias = self._convolution(at, (4, 2, 3, 3))
        node = self._node(at, 'Concat', 2, axis=1)
        for name, source in zip(node.inputs, ('thermal', 'visible'), strict=True):
            at = self._scaled(name, 'Div')
            at = self._step(at, 'Transpose', skip=('Cast', {'to': _FLOAT}), perm=[0, 3, 1, 2])
            require(at == source)
        require(left == 17 + tanh)  # nothing else is computed
        return TwoLayer(first, bias, second, last_bias, tanh)

    def _node(self, name: str, kind: str, inputs: int, **attributes) -> _Node:
        node = self.nodes[name]
        require(node.kind == kind and len(node.inputs) == inputs)
        require(all(node.attributes.get(key) == value for key, value in attributes.items()))
        return node

    def _step(self, name: str, kind: str, skip=None, **attributes) -> str:
        """The one input of a node of this kind, or of one behind a node to be skipped."""
        if skip is not None:
            name = self._node(name, skip[0], 1, **skip[1]).inputs[0]
        return self._node(name, kind, 1, **attributes).inputs[0]

    def _scaled(self, name: str, kind: str) -> str:
        node = self._node(name, kind, 2)
        require(self._scalar(node.inputs[1]) == 255.0)
        return node.inputs[0]

    def _convolution(self, name: str, shape: tuple[int, ...]):
        node = self._node(name, 'Conv', 3)
        plain = {
            'auto_pad': b'NOTSET', 'dilations': [1, 1], 'group': 1, 'kernel_shape': [3, 3],
            'pads': [0, 0, 0, 0], 'strides': [1, 1],
        }  # fmt: skip
        require(all(plain.get(key) == value for key, value in node.attributes.items()))
        weight, bias = (self.tensors[name] for name in node.inputs[1:])
        require(weight.shape == shape and bias.shape == shape[:1])
        require(weight.dtype == bias.dtype == np.float32)
        require(np.isfinite(weight).all() and np.isfinite(bias).all())
        pad = self._node(node.inputs[0], 'Pad', 2, mode=b'reflect')
        require(self.tensors[pad.inputs[1]].tolist() == _PADS)
        return pad.inputs[0], weight, bias

    def _scalar(self, name: str) -> float:
        value = self.tensors[name]
        require(value.size == 1)
        return float(value.reshape(()))


def require(condition: bool) -> None:
    if not condition:
        raise OtherShape


def _only(message: memoryview, wanted: int) -> memoryview:
    """The last field of this number; empty if it is missing, as protobuf defines it."""
    found = memoryview(b'')
    for number, value in fields(message):
        if number == wanted:
            found = value
    return found


def _text(value: memoryview) -> str:
    return bytes(value).decode()


def _node(message: memoryview) -> _Node:
    kind, inputs, outputs, attributes = '', [], [], {}
    for number, value in fields(message):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            kind = _text(value)
        elif number == 5:
            name, attribute = _attribute(value)
            attributes[name] = attribute
        elif number == 7:
            require(len(value) == 0)  # an operator of somebody else's
    return _Node(kind, inputs, outputs, attributes)


def _attribute(message: memoryview) -> tuple[str, Any]:
    name = ''
    value: Any = None
    for number, content in fields(message):
        if number == 1:
            name = _text(content)
        elif number == 3:
            value = content
        elif number == 4:
            value = bytes(content)
        elif number == 8:
            value = [*(value or []), *_integers(content)]
    return name, value


def read_tensor(message: memoryview) -> tuple[str, np.ndarray]:
    name, kind, raw = '', 0, b''
    shape: list[int] = []
    listed: list[int] = []
    for number, value in fields(message):
        if number == 1:
            shape += _integers(value)
        elif number == 2:
            kind = value
        elif number == 4:  # float_data, packed or one by one
            raw += bytes(value)
        elif number == 7:
            listed += _integers(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = bytes(value)
    dtype = {_FLOAT: '<f4', _INT64: '<i8'}.get(kind)
    if dtype is None:
        return name, np.zeros(0)
    values = np.array(listed, dtype) if listed else np.frombuffer(raw, dtype)
    return name, values.astype(np.dtype(dtype).newbyteorder('=')).reshape(shape)


def _integers(value: int | memoryview) -> Iterator[int]:
    """A repeated integer field: one value, or many packed ones."""
    if isinstance(value, int):
        yield value
        return
    number = shift = 0
    for byte in value:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
