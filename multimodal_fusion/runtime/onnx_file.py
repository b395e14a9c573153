"""Model files: found by name, checked before they reach the runtime.

A malformed or swapped ONNX file can crash the runtime or read other files through external data,
so a file is read once, its outer structure walked, its hash compared with ``models.yaml``, and only
those bytes are loaded.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError

MAX_FIELDS = 2_000_000  # of nodes and tensors; large networks have some ten thousand


def metadata(content: bytes) -> dict[str, str]:
    """The metadata properties of a checked model file's bytes."""
    pairs = (dict(fields(value)) for n, value in fields(memoryview(content)) if n == 14)
    return {_text(pair.get(1, b'')): _text(pair.get(2, b'')) for pair in pairs}


def _text(value: bytes | memoryview) -> str:
    return bytes(value).decode(errors='replace')


def check_onnx(content: bytes, path: Path) -> None:
    """Refuse what is not an ONNX model and what keeps weights in other files. Raises UserError."""
    try:
        model = dict(fields(memoryview(content)))
        if not isinstance(model.get(1), int) or not isinstance(model.get(7), memoryview):
            raise ValueError('no IR version or no graph')
        metadata(content)  # refused here, if it can't be read
        external = _has_external_data(memoryview(content), _MODEL, itertools.count(1))
    except (ValueError, IndexError, TypeError, RecursionError) as error:
        raise UserError(
            f'{path} is not an ONNX model ({error}); export one with '
            '"python -m multimodal_fusion export"'
        ) from error
    if external:
        raise UserError(
            f'{path} keeps its weights in another file (ONNX external data), which is refused; '
            'save it as one file'
        )


# The protobuf fields of ONNX through which a tensor can be reached: {field: what it holds}.
_TENSOR: dict = {'external': (13, 14)}
_SPARSE = {1: _TENSOR, 2: _TENSOR}
_GRAPH: dict = {5: _TENSOR, 15: _SPARSE}
_ATTRIBUTE = {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE}
_NODE = {5: _ATTRIBUTE}
_GRAPH[1] = _NODE
# Of functions, attribute_proto holds attributes with their defaults.
_MODEL = {7: _GRAPH, 20: {1: _GRAPH, 2: _GRAPH}, 25: {7: _NODE, 11: _ATTRIBUTE}}


def _has_external_data(message: memoryview, layout: dict, seen: Iterator[int]) -> bool:
    """Whether any tensor below has data_location EXTERNAL or names an external file.

    seen: counts the fields; of too many ValueError is raised.
    """
    if layout is _TENSOR:
        entries, location = layout['external']
        return any(
            n == entries or (n == location and value == 1) for n, value in _counted(message, seen)
        )
    return any(
        _has_external_data(value, layout[number], seen)
        for number, value in _counted(message, seen)
        if number in layout and isinstance(value, memoryview)
    )


def _counted(message: memoryview, seen: Iterator[int]) -> Iterator[tuple[int, Any]]:
    for field in fields(message):
        if next(seen) > MAX_FIELDS:
            raise ValueError(f'it has more than {MAX_FIELDS} fields')
        yield field


def fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Walk the fields of one protobuf message: (number, int or memoryview). Raises ValueError."""
    at = 0
    value: int | memoryview
    while at < len(message):
        key, at = _varint(message, at)
        if key >> 32:  # protobuf would read the lower 32 bits as another field
            raise ValueError('not a protobuf message: a field tag has more than 32 bits')
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
        else:
            if wire == 2:
                length, at = _varint(message, at)
            elif wire in (1, 5):
                length = {1: 8, 5: 4}[wire]
            else:
                raise ValueError('not a protobuf message')
            if at + length > len(message):
                raise ValueError('the file is cut off')
            value, at = message[at : at + length], at + length
        if number == 0:
            raise ValueError('not a protobuf message')
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError('not a protobuf message')
