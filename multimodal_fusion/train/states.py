"""Nested states in a safetensors file: tensors as they are, everything else as JSON. No pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

_KEY = 'state'


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a tree of mappings, lists, tensors, arrays, numbers, texts, booleans and None.

    Keys are texts or whole numbers. Raises TypeError for anything else in it.
    """
    tensors: dict[str, Tensor] = {}
    tree = _taken_apart(state, tensors)
    save_file(tensors, path, {_KEY: json.dumps(tree)})


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote. Raises what safetensors and json do for anything else."""
    with safe_open(path, 'pt') as file:
        tree = json.loads((file.metadata() or {})[_KEY])
        return _put_together(tree, file.get_tensor)


def _taken_apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, np.ndarray):
        return {'array': _taken_apart(torch.from_numpy(value.copy()), tensors)}
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy each: two parts of a state may share memory, which the format refuses.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {'tensor': name}
    if isinstance(value, Mapping):
        return {'items': [[key, _taken_apart(v, tensors)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_taken_apart(v, tensors) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f'a state holds tensors, arrays, numbers and texts, not {type(value).__name__}')


def _put_together(value: Any, tensor) -> Any:
    if isinstance(value, list):
        return [_put_together(v, tensor) for v in value]
    if isinstance(value, dict):
        if 'tensor' in value:
            return tensor(value['tensor'])
        if 'array' in value:
            return _put_together(value['array'], tensor).numpy()
        return {key: _put_together(v, tensor) for key, v in value['items']}
    return value
