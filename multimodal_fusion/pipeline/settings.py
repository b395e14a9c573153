"""All parameters in one table: names, defaults, ranges; the files and documents made of it.

python -m multimodal_fusion.pipeline.settings yaml       prints config/fusion.yaml
python -m multimodal_fusion.pipeline.settings markdown   prints the table of the documents
"""

import difflib
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..detect.geometry import FITS
from ..detect.layouts import LAYOUTS
from ..errors import UserError
from ..fusers.fuser import MASK_SCALE
from ..io import messages
from ..parameters import Parameter
from ..registration import warp
from . import pairing, stall, thermal
from .thermal import ThermalSettings

TABLE = {
    parameter.name: parameter
    for parameter in (
        Parameter(
            'model.name', 'default',
            'Fuser: a name that "multimodal_fusion models" lists, "default", or an .onnx path.',
        ),
        Parameter(
            'model.provider', 'cpu',
            'Where learned models run; falls back to the CPU, and says so.',
            choices=('cpu', 'cuda', 'tensorrt'),
        ),
        Parameter(
            'model.threads', 1,
            'Threads of learned models on the CPU.',
            low=1, high=64,
        ),
        Parameter(
            'model.compiled', True,
            'On the CPU, run the mini-model by the compiled kernel; false: by ONNX Runtime.',
        ),
        Parameter(
            'model.fp16', False,
            'Half precision. With provider tensorrt only; else a warning says so.',
        ),
        Parameter(
            'model.allow_unlisted', False,
            'Load a model file that models.yaml does not list. Only for files you trust.',
        ),
        Parameter(
            'model.mask_scale', MASK_SCALE,
            'Of models that blend by a mask: share of the image sides at which it is computed.',
            low=0.1, high=1.0,
        ),
        Parameter(
            'input.rgb_transport', 'raw',
            'raw: rgb/image_raw; compressed: rgb/image_raw/compressed.',
            choices=('raw', 'compressed'), read_only=True,
        ),
        Parameter(
            'input.thermal_transport', 'raw',
            'raw: thermal/image_raw; compressed: thermal/image_raw/compressed.',
            choices=('raw', 'compressed'), read_only=True,
        ),
        Parameter(
            'input.max_pixels', messages.MAX_PIXELS,
            'Larger images are refused before memory is taken for them.',
            unit='pixels', low=1024, high=1_000_000_000,
        ),
        Parameter(
            'sync.slop', 0.05,
            'Largest gap between the stamps of a pair, inclusive.',
            unit='s', low=0.0, high=10.0,
        ),
        Parameter(
            'sync.thermal_time_offset', 0.0,
            'Added to thermal stamps; negative when the thermal clock runs ahead of the RGB one.',
            unit='s', low=-3600.0, high=3600.0,
        ),
        Parameter(
            'sync.queue_size', 20,
            'Frames of each stream that wait for a partner at most.',
            unit='frames', low=1, high=1000,
        ),
        Parameter(
            'sync.reset_after', 1.0,
            'A stamp this far behind the newest means that the clock jumped back: start afresh.',
            unit='s', low=0.01, high=3600.0,
        ),
        Parameter(
            'sync.backend', 'own',
            'Pairing by this package, or by ROS message_filters where it is installed.',
            choices=('own', 'message_filters'), read_only=True,
        ),
        Parameter(
            'thermal.range', ThermalSettings.range,
            'What maps to black and white; auto: 8-bit images stay, more bits go by percentile.',
            choices=thermal.RANGES,
        ),
        Parameter(
            'thermal.fixed_min', ThermalSettings.fixed_min,
            'Black of the fixed range.', unit='counts x scale + offset', low=-1e6, high=1e6,
        ),
        Parameter(
            'thermal.fixed_max', ThermalSettings.fixed_max,
            'White of the fixed range.', unit='counts x scale + offset', low=-1e6, high=1e6,
        ),
        Parameter(
            'thermal.scale', ThermalSettings.scale,
            'Units per count: 0.04 for many radiometric 14-bit cameras (then in kelvin).',
            low=1e-6, high=1e6,
        ),
        Parameter(
            'thermal.offset', ThermalSettings.offset,
            'Added after scale: -273.15 turns kelvin into degrees Celsius.',
            low=-1e6, high=1e6,
        ),
        Parameter(
            'thermal.low', ThermalSettings.low,
            'Percentile that maps to black.', unit='%', low=0.0, high=100.0,
        ),
        Parameter(
            'thermal.high', ThermalSettings.high,
            'Percentile that maps to white.', unit='%', low=0.0, high=100.0,
        ),
        Parameter(
            'thermal.memory', ThermalSettings.memory,
            'Time constant with which percentile and minmax follow the scene; 0 forgets at once.',
            unit='s', low=0.0, high=600.0,
        ),
        Parameter(
            'thermal.min_span', ThermalSettings.min_span,
            'Smallest range of more-than-8-bit data: keeps a flat scene flat.',
            unit='counts x scale', low=0.0, high=65535.0,
        ),
        Parameter(
            'thermal.min_span_8bit', ThermalSettings.min_span_8bit,
            'Smallest range of 8-bit data, where it is stretched at all.',
            unit='grey levels', low=0.0, high=255.0,
        ),
        Parameter(
            'thermal.polarity', ThermalSettings.polarity,
            'Whether hot is white or black in the images that come in.',
            choices=thermal.POLARITIES,
        ),
        Parameter(
            'thermal.clahe', ThermalSettings.clahe,
            'Contrast limit of local equalisation (CLAHE) after the range; 0 is off.',
            low=0.0, high=40.0,
        ),
        Parameter(
            'registration.mode', 'none',
            'Thermal to RGB pixels: registered already, same field of view, or by homography.',
            choices=warp.MODES,
        ),
        Parameter(
            'registration.homography', [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            'Nine numbers, row by row, that take thermal pixels to RGB pixels.',
        ),
        Parameter(
            'output.reference', 'rgb',
            'Camera whose stamp, frame_id and camera_info the fused image carries.',
            choices=pairing.STREAMS,
        ),
        Parameter(
            'stall.warn_after', 5.0,
            'Without a pair for this long, the node says what is wrong with which topic.',
            unit='s', low=0.5, high=3600.0,
        ),
        Parameter(
            'stall.freeze_after', 0.3,
            'A thermal image repeated for this long counts as frozen (shutter calibration).',
            unit='s', low=0.0, high=60.0,
        ),
        Parameter(
            'stall.policy', 'fuse',
            'While thermal is frozen: fuse the frozen image, publish the RGB image, or nothing.',
            choices=stall.POLICIES,
        ),
        Parameter(
            'detector.enabled', False,
            'Detect objects, while somebody listens to the detections.',
        ),
        Parameter(
            'detector.model', 'detector_person_car',
            'Detector that "multimodal_fusion models" lists, or the path of a YOLO or DETR .onnx.',
        ),
        Parameter(
            'detector.input', 'fused',
            'The image it sees. The boxes are in pixels of the fused image in any case.',
            choices=('fused', 'rgb', 'thermal'),
        ),
        Parameter(
            'detector.every', 3,
            'Detect on every n-th fused image. What is still waiting then is dropped.',
            unit='images', low=1, high=1000,
        ),
        Parameter(
            'detector.score', 0.35,
            'Least score of a detection.', low=0.0, high=1.0,
        ),
        Parameter(
            'detector.iou', 0.5,
            'Of two boxes of one class that overlap more than this, the weaker is dropped.',
            low=0.0, high=1.0,
        ),
        Parameter(
            'detector.limit', 100,
            'Detections an image at most.', low=1, high=10_000,
        ),
        Parameter(
            'detector.classes', '',
            'Names of the classes to report, by comma; empty for all.',
        ),
        Parameter(
            'detector.labels', '',
            "File of class names, one a line; empty for the model's own (else COCO's 80).",
        ),
        Parameter(
            'detector.layout', 'auto',
            'How to read the outputs; auto tells by metadata and shapes.',
            choices=('auto', *LAYOUTS),
        ),
        Parameter(
            'detector.resize', 'auto',
            'Into the corner or centre of the input with grey around it, or stretched over it.',
            choices=('auto', *FITS),
        ),
        Parameter(
            'detector.size', 0,
            'Longer side of the input, for models that take any; 0 for what they were trained on.',
            unit='pixels', low=0, high=4096,
        ),
        Parameter(
            'qos.reliability', 'best_effort',
            'Of the image subscriptions. best_effort receives from every publisher.',
            choices=('best_effort', 'reliable'), read_only=True,
        ),
        Parameter(
            'qos.depth', 5,
            'History depth of subscriptions and publishers.',
            unit='messages', low=1, high=1000, read_only=True,
        ),
        Parameter(
            'qos.output_reliability', 'reliable',
            'Of the publishers. reliable reaches every subscriber.',
            choices=('best_effort', 'reliable'), read_only=True,
        ),
    )
}  # fmt: skip


ROS_PARAMETERS = ('use_sim_time', 'start_type_description_service', 'qos_overrides')
"""Parameters that rclpy itself declares."""


def defaults() -> dict[str, Any]:
    """All parameters at their defaults."""
    return {name: parameter.default for name, parameter in TABLE.items()}


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults overlaid with values, each checked. Raises UserError for unknown or unfit ones."""
    check_names(values)
    return {**defaults(), **{name: TABLE[name].check(value) for name, value in values.items()}}


def check_names(names: Iterable[str]) -> None:
    """Raises UserError that names the nearest known parameter if one is unknown."""
    for name in names:
        if name not in TABLE:
            near = difflib.get_close_matches(name, TABLE, 1)
            hint = f'did you mean {near[0]}?' if near else f'known are {", ".join(TABLE)}'
            raise UserError(f'unknown parameter {name}: {hint}')


def from_file(path: Path) -> dict[str, Any]:
    """The parameters of a ROS parameter file, checked by name and value. Raises UserError."""
    try:
        content = yaml.safe_load(path.read_text())
        nodes = [
            node['ros__parameters']
            for name, node in content.items()
            if name.rsplit('/', 1)[-1] in ('**', '*', 'fusion_node')
        ]
    except OSError as error:
        raise UserError(f'the parameter file {path} cannot be read: {error.strerror}') from error
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f'{path} is not a ROS parameter file ("/**:", "ros__parameters:", values): {error}'
        ) from error
    values = {
        name: value
        for node in nodes
        for name, value in _flat(node)
        if name.split('.')[0] not in ROS_PARAMETERS
    }
    check_names(values)
    return {name: TABLE[name].check(value) for name, value in values.items()}


def _flat(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def as_yaml() -> str:
    """config/fusion.yaml: every parameter at its default, with unit and range."""
    lines = [
        '# Parameters of fusion_node. '
        'Generated: python -m multimodal_fusion.pipeline.settings yaml',
        '# Where it says "at start only", the node refuses a change at run time.',
        '/**:',
        '  ros__parameters:',
    ]
    group = ''
    for parameter in TABLE.values():
        head, _, leaf = parameter.name.partition('.')
        if head != group:
            group = head
            lines.append(f'    {head}:')
        notes = [parameter.range_text(), parameter.unit, 'at start only' * parameter.read_only]
        for text in (parameter.description, '; '.join(filter(None, notes))):
            lines += [f'      # {line}' for line in textwrap.wrap(text, 92)]
        lines.append(f'      {leaf}: {_yaml(parameter.default)}')
    return '\n'.join(lines) + '\n'


def as_markdown() -> str:
    """The parameter table of docs/node.md."""
    lines = ['| parameter | default | unit, range | what it does |', '|---|---|---|---|']
    for parameter in TABLE.values():
        span = parameter.range_text().replace('|', '\\|')
        limits = ', '.join(filter(None, (parameter.unit, span)))
        note = ' *At start only.*' * parameter.read_only
        lines.append(
            f'| `{parameter.name}` | `{_yaml(parameter.default)}` | {limits} '
            f'| {parameter.description}{note} |'
        )
    return '\n'.join(lines) + '\n'


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "''"


if __name__ == '__main__':
    print({'yaml': as_yaml, 'markdown': as_markdown}[sys.argv[1]](), end='')
