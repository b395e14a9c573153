"""From a checkpoint to a model file: one ONNX graph from 8-bit pixels to 8-bit pixels."""

import contextlib
import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from ...errors import UserError
from ...io.whole_files import whole_file
from ...networks.mobilefuse import blend
from ..data.pairs import Pair, eight_bit
from ..run import Checkpoint
from .card import LICENCE, _name, _table, card, count_parameters

OPSET = 18  # the lowest that torch's exporter writes; onnxruntime reads it from 1.14 (2023) on
IR_VERSION = 8  # the one that came with opset 18: older runtimes refuse newer ones
MIN_SIDE = 32


LUMA = (0.299, 0.587, 0.114)  # BT.601, of RGB


class Pixels(nn.Module):
    """A luma network between 8-bit images: (1, H, W, 1) uint8 in, the same out."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        return _pixels(self.network(_unit(thermal), _unit(visible)))


class BlendPixels(nn.Module):
    """A blending network between 8-bit images: the fused one and its mask (1, H, W, 1).

    visible: luma, (1, H, W, 1), or RGB, (1, H, W, 3), which is blended by the mask of its luma with
    thermal as grey.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        thermal, visible = _unit(thermal), _unit(visible)
        grey = visible
        if visible.shape[1] == 3:
            luma = sum(w * visible[:, i : i + 1] for i, w in enumerate(LUMA))
            grey = (luma * 255).round() / 255  # as 8-bit luma would come in
        mask = self.network.mask(thermal, grey)
        return _pixels(blend(thermal, visible, mask)), _pixels(mask)


def _unit(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2).float() / 255


def _pixels(image: Tensor) -> Tensor:
    return eight_bit(image).permute(0, 2, 3, 1)


def export(
    network: nn.Module, path: Path, metadata: dict[str, str], kind: str | None = None
) -> None:
    """Write a luma network as a model file.

    network: called as ``network(thermal, visible)``, float (1, 1, H, W) in [0, 1].
    metadata: goes into the file's metadata properties; kind, parameters and opset are added.
    kind: ``luma``, or for blending networks also ``colour``; None: the network's own.
    Raises UserError.
    """
    kind = kind or network.kind
    blends = getattr(network, 'output', None) == 'blend'
    if kind != network.kind and not (kind == 'colour' and blends):
        raise UserError(f'this network has no {kind} form: it is of the {network.kind} kind')
    sides = {1: torch.export.Dim('H', min=MIN_SIDE), 2: torch.export.Dim('W', min=MIN_SIDE)}
    # Two tensors, not one twice: the exporter would take them for the same input.
    channels = (3 if kind == 'colour' else 1, 1)
    images = tuple(torch.zeros(1, 47, 61, c, dtype=torch.uint8) for c in channels)
    with quiet():
        program = torch.onnx.export(
            (BlendPixels if blends else Pixels)(network).eval(),
            images,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=['visible', 'thermal'],
            output_names=['fused', 'mask'] if blends else ['fused'],
            dynamic_shapes=(sides, sides),
        )
    model = without_traces(program.model_proto)
    model.ir_version = IR_VERSION
    for port in model.graph.output:  # where the exporter names a side by how it came about
        for axis, side in ((1, 'H'), (2, 'W')):
            port.type.tensor_type.shape.dim[axis].dim_param = side
    properties = {
        **metadata,
        'kind': kind,
        'parameters': str(count_parameters(network)),
        'opset': str(OPSET),
    }
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def export_checkpoint(
    source: Path,
    path: Path,
    name: str | None = None,
    kind: str | None = None,
    judge: list[Pair] | None = None,
) -> tuple[Checkpoint, dict[str, dict[str, float]]]:
    """Write the model file of a checkpoint or run folder, and its card beside it as .md.

    name: of the model (default: the recipe's). kind: as for `export`. judge: pairs whose metrics go
    on the card, beside those of the pixel maximum and average. Returns the checkpoint and these
    metrics. Raises UserError.
    """
    checkpoint = Checkpoint.load(source)
    config, kind = checkpoint.config, kind or checkpoint.network.kind
    name = name or _name(checkpoint, kind)
    if judge and kind != 'luma':
        raise UserError(f'--scores measures luma models; leave it out for one of the {kind} kind')
    export(
        checkpoint.network,
        path,
        {
            'name': name,
            'trained_on': checkpoint.trained_on,
            'config_hash': config.hash,
            'commit': checkpoint.commit,
            'licence': LICENCE,
        },
        kind,
    )
    table = _table(name, checkpoint.network, judge) if judge else {}
    with whole_file(Path(path).with_suffix('.md')) as temporary:
        temporary.write_text(card(checkpoint, name, kind, table))
    return checkpoint, table


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes for debugging: stack traces name files of this machine."""
    model.doc_string = ''
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.graph.doc_string = ''
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        part.doc_string = ''
        del part.metadata_props[:]
    return model


@contextlib.contextmanager
def quiet():
    """Silence the exporter's remarks about itself; they are not for the person who exports."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            yield
        finally:
            logger.setLevel(level)
