"""From a checkpoint of the detector to a model file and its card."""

import json
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from safetensors import SafetensorError, safe_open

from ...errors import UserError, told
from ...io.whole_files import whole_file
from ...networks.yolo import Exported, Yolo
from ..data.boxes import CLASSES
from ..methods.detector import DetectorConfig
from .card import LICENCE, count_parameters
from .onnx import IR_VERSION, OPSET, quiet, without_traces


@dataclass(frozen=True)
class DetectorCheckpoint:
    """A trained detector and what is known of it. ``row`` is its line of metrics.csv."""

    config: DetectorConfig
    network: Yolo
    trained_on: str
    commit: str
    machine: str
    row: dict[str, float]

    @classmethod
    def load(cls, path: Path) -> 'DetectorCheckpoint':
        """Read a .safetensors checkpoint, or the last one of a run folder. Raises UserError."""
        path = Path(path)
        path = path / 'last.safetensors' if path.is_dir() else path
        try:
            with safe_open(path, 'pt') as file:
                metadata = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            config = DetectorConfig.check(
                json.loads(metadata['config']), f'the configuration in {path}'
            )
            network = Yolo(len(CLASSES))
            network.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise UserError(
                f'{path} is not a checkpoint of "train detector": {told(error)}'
            ) from error
        return cls(
            config,
            network.eval(),
            metadata['trained_on'],
            metadata['commit'],
            metadata['machine'],
            json.loads(metadata['row']),
        )


def export_detector(source: Path, path: Path) -> DetectorCheckpoint:
    """Write the model file of a checkpoint or run folder, and its card beside it as .md.

    Input ``images``: float32 (1, 3, H, W), RGB in [0, 1], H and W multiples of 32. Output
    ``boxes``: float32 (1, 4 + classes, cells), cx, cy, w, h in pixels of the input, then scores.
    """
    checkpoint = DetectorCheckpoint.load(source)
    config = checkpoint.config
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
    model = without_traces(program.model_proto)
    model.ir_version = IR_VERSION
    properties = {
        'name': 'detector_person_car',
        'kind': 'detector',
        'layout': 'yolov8',
        'names': json.dumps(dict(enumerate(CLASSES))),
        'stride': '32',
        'imgsz': json.dumps([config.long_side, config.long_side]),
        'parameters': str(count_parameters(checkpoint.network)),
        'opset': str(OPSET),
        'trained_on': checkpoint.trained_on,
        'config_hash': config.hash,
        'commit': checkpoint.commit,
        'licence': LICENCE,
    }
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    with whole_file(Path(path).with_suffix('.md')) as temporary:
        temporary.write_text(card(checkpoint))
    return checkpoint


def card(checkpoint: DetectorCheckpoint) -> str:
    """The model card, Markdown, without measured accuracy: that is for `evaluate` to add."""
    config, row = checkpoint.config, checkpoint.row
    return f"""# detector_person_car

A small anchor-free detector of people and cars, for visible, thermal and fused images alike.

| | |
|---|---|
| kind | detector: RGB in [0, 1] in, {' and '.join(CLASSES)} boxes out, in YOLOv8's layout |
| parameters | {count_parameters(checkpoint.network)} |
| trained on | {checkpoint.trained_on} |
| never trained on | `{config.held_out}` |
| configuration | {config.hash}, seed {config.seed} |
| training | step {row['step']} of {config.steps}, {config.batch} crops of \
{config.side}x{config.side} a step, {float(row['seconds']) / 60:.0f} min |
| machine | {checkpoint.machine} |
| code | {checkpoint.commit} |
| licence of the weights | {LICENCE}; the training data have terms of their own |

Made by `python -m multimodal_fusion train detector`: network in `networks/yolo.py`, loss in
`train/detection_loss.py`.
"""
