"""A task network that was trained before: where another run begins."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from ...errors import UserError, told
from ...runtime.manifest import Manifest
from ..methods.fusion import begin_from


class HeldNorm(nn.BatchNorm2d):
    """Batch normalisation that keeps the statistics that it has: few crops would spoil them."""

    def train(self, mode: bool = True) -> 'HeldNorm':
        return super().train(False)


def begin_trained(start: str, network: nn.Module) -> str:
    """Take the weights of a run, or of a model file that `export` made (a name that ``models``
    lists, or a path), and hold the statistics; a phrase about it. Raises UserError."""
    if not start:
        return ''
    listed = Manifest.load()
    if entry := {**listed.detectors, **listed.segmenters}.get(start):
        start = str(listed.folder / entry.file)
    if Path(start).suffix == '.onnx':
        _read(Path(start), network)
        phrase = f'; the task began from {Path(start).stem}'
    else:
        phrase = begin_from(start, network).replace('started', 'the task began')
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = HeldNorm
    return phrase


@torch.no_grad()
def _read(path: Path, network: nn.Module) -> None:
    """Weights by name, out of a file where the normalisation is part of the convolutions: it is
    left with nothing to do but to add the bias. Raises UserError."""
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # whatever protobuf raises
        raise UserError(f'{path} cannot be read: {told(error)}') from error
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == 'Conv' and len(node.input) == 3 and node.input[1] in arrays:
            name = node.input[1].removeprefix('network.').removesuffix('.weight')
            found[name] = arrays[node.input[1]], arrays.get(node.input[2])
    modules = dict(network.named_modules())
    for name, module in modules.items():
        if not isinstance(module, nn.Conv2d):
            continue
        weight, bias = found.get(name, (None, None))
        if weight is None or bias is None or weight.shape != tuple(module.weight.shape):
            raise UserError(
                f'{path} does not hold the weights of this network ({name}): give a model file '
                'that was exported from a run of the same task and classes'
            )
        module.weight.copy_(torch.from_numpy(np.array(weight)))
        shift = torch.from_numpy(np.array(bias))
        if module.bias is not None:
            module.bias.copy_(shift)
            continue
        place, _, number = name.rpartition('.')
        norm = modules[f'{place}.{int(number) + 1}']
        assert isinstance(norm, nn.BatchNorm2d)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.fill_(1)
        norm.bias.copy_(shift)
