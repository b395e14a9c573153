"""What is fuzzed: functions of bytes that may raise UserError alone, and what to begin with."""

import contextlib
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.detect.layouts import class_count, decode
from multimodal_fusion.detect.names import class_names, parse
from multimodal_fusion.detect.telling import settle
from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.kernel.weights import read_two_layer
from multimodal_fusion.io import bag, image_codec, messages
from multimodal_fusion.io.box_files import read_boxes, read_classes
from multimodal_fusion.io.orientation import orientation
from multimodal_fusion.pipeline.settings import from_file
from multimodal_fusion.runtime.manifest import Manifest
from multimodal_fusion.runtime.onnx_file import check_onnx, metadata

from ..helpers import bags, hostile, runs

_FOLDER = Path(tempfile.mkdtemp(prefix='fuzz'))


@dataclass(frozen=True)
class Target:
    """run: takes bytes and raises UserError alone. seeds: what to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _file(data: bytes, name: str) -> Path:
    path = _FOLDER / name
    path.write_bytes(data)
    return path


def sizes(data: bytes) -> None:
    orientation(data)
    image_codec.decode(np.frombuffer(data, np.uint8), max_pixels=100_000)


def cdr(data: bytes) -> None:
    store = bag.type_store()
    for kind, read in (
        ('sensor_msgs/msg/Image', messages.read_visible),
        ('sensor_msgs/msg/Image', messages.read_thermal),
        ('sensor_msgs/msg/CompressedImage', messages.read_visible),
    ):
        bag._encoding(data, kind)
        read(bag.decode(store, data, kind, '/topic'), 100_000)


def mcap(data: bytes) -> None:
    with bag.Bag(_file(data, 'fuzzed.mcap')) as opened:
        for _ in opened.messages():
            pass
        opened.choose(None, None)


def onnx(data: bytes) -> None:
    check_onnx(data, Path('fuzzed.onnx'))
    metadata(data)
    read_two_layer(data)


def yaml(data: bytes) -> None:
    from_file(_file(data, 'fuzzed.yaml'))


def labels(data: bytes) -> None:
    _file(data, 'classes.txt')
    read_classes(_FOLDER)
    read_boxes(_FOLDER / 'classes.txt', 64, 48, 3)


def detector(data: bytes) -> None:
    """Shapes and numbers of outputs, and names, out of bytes."""
    head = data[:32].ljust(32, b'\0')
    kinds = 'output', 'logits pred_boxes', 'dets labels', 'labels boxes scores'
    names = kinds[head[0] % len(kinds)].split()
    rest = data[32:].ljust(64, b'\1')
    numbers = np.frombuffer(rest[: len(rest) // 2 * 2], np.float16)
    outputs = {}
    for i, name in enumerate(names):
        shape = tuple(head[1 + 6 * i + k] % 90 for k in range(1 + head[6 + 6 * i] % 4))
        outputs[name] = np.resize(numbers, shape).astype(np.float32)
    text = data[32:].decode('latin-1')
    try:
        count = len(parse(text))
    except UserError:
        count = None
    shapes = [(name, value.shape) for name, value in outputs.items()]
    try:
        layout = settle(outputs, (64, 64), {'description': text[:20]}, count, 'it')
        decode(layout, outputs, (64, 64), 0.1)
        class_names({'names': text}, '', class_count(layout, shapes))
    except (ValueError, IndexError, TypeError):  # of which `Detector` makes a sentence
        pass


def checkpoints(data: bytes) -> None:
    """A checkpoint, a state to resume from, and packed crops."""
    from multimodal_fusion.train.data.packed import load_packed
    from multimodal_fusion.train.run import Checkpoint

    _try(Checkpoint.load, _file(data, 'fuzzed.safetensors'))
    load_packed(_file(data, 'fuzzed.zip'))


def _try(read: Callable, *arguments) -> None:
    """So that what comes after a refusal is tried as well."""
    with contextlib.suppress(UserError):
        read(*arguments)


def _images() -> list[bytes]:
    grey = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    kinds = ('.jpg', '.png', '.tiff', '.bmp', '.webp', '.pgm')
    return [cv2.imencode(kind, grey)[1].tobytes() for kind in kinds] + [hostile.png(8, 8)]


def _messages() -> list[bytes]:
    path = bags.flight(_FOLDER / 'flight', bags.Planted(seconds=0.2))
    return [bytes(raw)[:3000] for _, _, raw in bags.read(path)[:4]]


def _bag() -> list[bytes]:
    path = bags.flight(_FOLDER / 'short', bags.Planted(seconds=0.1))
    return [next(path.glob('*.mcap')).read_bytes()]


def _models() -> list[bytes]:
    manifest = Manifest.load()
    return [(manifest.folder / manifest.models['mmdrfuse'].file).read_bytes()]


def _trained() -> list[bytes]:
    from safetensors.numpy import save

    from multimodal_fusion.train.data.packed import pack

    pack(runs.write_pairs(_FOLDER / 'tiny'), _FOLDER / 'crops.zip', side=40, limit=30_000)
    weights = {'layers.0.weight': np.zeros((1, 2, 3, 3), np.float32)}
    metadata = {'config': '{"recipe": "mmdrfuse"}', 'row': '{}', 'trained_on': '', 'machine': ''}
    return [save(weights, metadata), (_FOLDER / 'crops.zip').read_bytes()]


TARGETS = {
    'sizes': Target(sizes, _images),
    'cdr': Target(cdr, _messages),
    'mcap': Target(mcap, _bag),
    'onnx': Target(onnx, _models),
    'yaml': Target(
        yaml,
        lambda: [
            b'/**:\n  ros__parameters:\n    sync: {slop: 0.1}\n    model.name: max\n',
            b'a: &x [1]\nb: {<<: *x}\nc: 2024-01-01\nd: !!set {}\n',
        ],
    ),
    'labels': Target(
        labels, lambda: [b'0 0.5 0.5 0.25 0.125\n1 0.1 0.1 0.2 0.2\n', b'person\ncar\n']
    ),
    'checkpoints': Target(checkpoints, _trained),
    'detector': Target(
        detector,
        lambda: [
            bytes([i, 1, 84, 7, 0, 0, 2] * 5)[:32] + struct.pack('<32e', *range(32))
            for i in range(4)
        ],
    ),
}


def survives(target: Target, data: bytes) -> None:
    """Run a target; whatever else than UserError it raises is a finding."""
    try:
        target.run(data)
    except UserError as error:
        assert str(error) and len(str(error)) < 3000
