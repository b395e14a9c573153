"""From a checkpoint to a model file: one ONNX graph from 8-bit pixels to 8-bit pixels."""

import contextlib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from ...errors import UserError
from ...io.whole_files import whole_file
from ...networks.mobilefuse import blend
from ...networks.yolo import Exported
from ..data.pairs import ImagePair, eight_bit
from ..run import Checkpoint
from .card import (
    LICENCE,
    card,
    count_parameters,
    default_name,
    detector_card,
    scores_table,
    segmenter_card,
)

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


class ToldPixels(nn.Module):
    """A network that is told a text, float (1, numbers), between 8-bit images."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, visible: Tensor, thermal: Tensor, text: Tensor) -> Tensor:
        return _pixels(self.network(_unit(thermal), _unit(visible), text))


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
    own = getattr(network, 'kind', 'luma')
    kind = kind or own
    blends = getattr(network, 'output', None) == 'blend'
    if kind != own and not (kind == 'colour' and blends):
        raise UserError(f'this network has no {kind} form: it is of the {own} kind')
    sides = {1: torch.export.Dim('H', min=MIN_SIDE), 2: torch.export.Dim('W', min=MIN_SIDE)}
    # Two tensors, not one twice: the exporter would take them for the same input.
    channels = (3 if kind == 'colour' else 1, 1)
    images = tuple(torch.zeros(1, 47, 61, c, dtype=torch.uint8) for c in channels)
    wrapper = BlendPixels if blends else Pixels
    inputs, shapes = ['visible', 'thermal'], [sides, sides]
    if texts := getattr(network, 'texts', 0):
        wrapper, inputs, shapes = ToldPixels, [*inputs, 'text'], [*shapes, {}]
        images = (*images, torch.zeros(1, texts))
    with quiet():
        program = torch.onnx.export(
            wrapper(network).eval(),
            images,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=inputs,
            output_names=['fused', 'mask'] if blends else ['fused'],
            dynamic_shapes=tuple(shapes),
        )
    model = program.model_proto  # made anew each time it is asked for
    for port in model.graph.output:  # where a side is named by how it came about
        for axis, side in ((1, 'H'), (2, 'W')):
            port.type.tensor_type.shape.dim[axis].dim_param = side
    _write(model, path, metadata, network, kind)


def _write(
    model: onnx.ModelProto, path: Path, metadata: dict[str, str], network: nn.Module, kind: str
) -> None:
    """Write a model file: checked, without traces of this machine, with its metadata."""
    model = without_traces(model)
    model.ir_version = IR_VERSION
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


def _facts(checkpoint: Checkpoint, name: str) -> dict[str, str]:
    return {
        'name': name,
        'trained_on': checkpoint.trained_on,
        'config_hash': checkpoint.config.hash,
        'commit': checkpoint.commit,
        'licence': LICENCE,
    }


def export_checkpoint(
    checkpoint: Checkpoint,
    path: Path,
    name: str | None = None,
    kind: str | None = None,
    judge: Sequence[ImagePair] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, dict[str, float]]:
    """Write the model file of a fusion network, and its card beside it as .md.

    name: of the model (default: the configuration's). kind: as for `export`. judge: pairs whose
    metrics go on the card, beside those of the pixel maximum and average. metadata: more of it.
    Returns these metrics.
    Raises UserError.
    """
    network = checkpoint.network
    kind = kind or getattr(network, 'kind', 'luma')
    name = name or default_name(checkpoint, kind)
    if judge and kind != 'luma':
        raise UserError(f'--scores measures luma models; leave it out for one of the {kind} kind')
    export(network, path, {**_facts(checkpoint, name), **(metadata or {})}, kind)
    table = scores_table(name, network, judge) if judge else {}
    with whole_file(Path(path).with_suffix('.md')) as temporary:
        temporary.write_text(card(checkpoint, name, kind, table))
    return table


def export_detector(checkpoint: Checkpoint, path: Path, classes: Sequence[str], side: int) -> None:
    """Write the model file of a detector, and its card beside it as .md.

    side: the longer one that it was trained on, pixels, a multiple of 32.
    Input ``images``: float32 (1, 3, H, W), RGB in [0, 1], H and W multiples of 32. Output
    ``boxes``: float32 (1, 4 + classes, cells), cx, cy, w, h in pixels of the input, then scores.
    """
    units = [torch.export.Dim(name, min=2, max=64) for name in ('H', 'W')]
    with quiet():
        program = torch.onnx.export(
            Exported(checkpoint.network).eval(),
            (torch.zeros(1, 3, 96, 160),),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=['images'],
            output_names=['boxes'],
            dynamic_shapes=({2: 32 * units[0], 3: 32 * units[1]},),
        )
    metadata = {
        **_facts(checkpoint, checkpoint.config.name),
        'layout': 'yolov8',
        'names': json.dumps(dict(enumerate(classes))),
        'stride': '32',
        'imgsz': json.dumps([side, side]),
    }
    _write(program.model_proto, path, metadata, checkpoint.network, 'detector')
    with whole_file(Path(path).with_suffix('.md')) as temporary:
        temporary.write_text(detector_card(checkpoint, classes))


def export_segmenter(checkpoint: Checkpoint, path: Path, classes: Sequence[str], side: int) -> None:
    """Write the model file of a segmentation network, and its card beside it as .md.

    side: the longer one that it was trained on, pixels.
    Input ``images``: float32 (1, 3, H, W), RGB in [0, 1], of any size from 32. Output ``logits``:
    float32 (1, classes, H, W).
    """
    sides = {2: torch.export.Dim('H', min=MIN_SIDE), 3: torch.export.Dim('W', min=MIN_SIDE)}
    with quiet():
        program = torch.onnx.export(
            checkpoint.network.eval(),
            (torch.zeros(1, 3, 95, 157),),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=['images'],
            output_names=['logits'],
            dynamic_shapes=(sides,),
        )
    metadata = {
        **_facts(checkpoint, checkpoint.config.name),
        'task': 'segment',
        'names': json.dumps(dict(enumerate(classes))),
        'imgsz': json.dumps([side, side]),
    }
    _write(program.model_proto, path, metadata, checkpoint.network, 'segmenter')
    with whole_file(Path(path).with_suffix('.md')) as temporary:
        temporary.write_text(segmenter_card(checkpoint, classes))


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
