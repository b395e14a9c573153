"""Object detection by an ONNX model of the YOLO or DETR family: pixels in, boxes out."""

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError, quoted, told
from ..parameters import option
from ..runtime.manifest import Manifest, Origin, read_model
from ..runtime.session import fallback_notice, open_session, run
from ..runtime.trial import MAX_MEMORY, MAX_SECONDS, try_unlisted
from .detection import Detection
from .geometry import FITS, Canvas, tight
from .layouts import LAYOUTS, check, class_count, decode
from .names import chosen, class_names, parse
from .suppress import suppress
from .telling import settle

_LONGEST = 4096  # side of an input
AUTO_SIZE = 640  # longer side for models of any size that don't say which they were trained on
_TYPES = {'tensor(float)': np.float32, 'tensor(float16)': np.float16}


@dataclass(frozen=True)
class DetectorSettings:
    """Whether, on what and how objects are detected: ``detector.*``."""

    enabled: bool = option(False, 'Detect objects, while somebody listens to the detections.')
    model: str = option(
        'detector_person_car',
        'Detector that "multimodal_fusion models" lists, or the path of a YOLO or DETR .onnx.',
    )
    input: str = option(
        'fused',
        'The image it sees; both: RGB and thermal, one after the other, and their boxes merged. '
        'The boxes are in pixels of the fused image in any case.',
        choices=('fused', 'rgb', 'thermal', 'both'),
    )
    every: int = option(
        3,
        'Detect on every n-th fused image. What is still waiting then is dropped.',
        unit='images',
        low=1,
        high=1000,
    )
    score: float = option(0.35, 'Least score of a detection.', low=0.0, high=1.0)
    iou: float = option(
        0.5,
        'Of two boxes of one class that overlap more than this, the weaker is dropped.',
        low=0.0,
        high=1.0,
    )
    limit: int = option(100, 'Detections an image at most.', low=1, high=10000)
    classes: str = option('', 'Names of the classes to report, by comma; empty for all.')
    labels: str = option(
        '',
        "File of class names, one a line; empty for the model's own (else COCO's 80).",
    )
    layout: str = option(
        'auto',
        'How to read the outputs; auto tells by metadata and shapes.',
        choices=('auto', *LAYOUTS),
    )
    resize: str = option(
        'auto',
        'Into the corner or centre of the input with grey around it, or stretched over it.',
        choices=('auto', *FITS),
    )
    size: int = option(
        0,
        'Longer side of the input, for models that take any; 0 for what they were trained on.',
        unit='pixels',
        low=0,
        high=4096,
    )


class Detector:
    """A detection model with its thresholds.

    path: of an .onnx file, or a name that ``models`` lists as a detector. score: least score.
    iou: overlap above which the weaker of two boxes of one class is dropped. limit: largest number
    of boxes. classes: names by comma, empty for all. labels: file of class names, empty for the
    model's own. layout: of `detect.layouts.LAYOUTS`, or ``auto`` to tell by metadata and shape.
    resize: of `detect.geometry.FITS`, or ``auto`` for the layout's. size: longer side of the input,
    for models that take any; 0 for what the model was trained on. provider, threads, fp16,
    max_seconds, max_memory: as for `fuser.Fuser.load`. Raises UserError for other models.

    provider: the ONNX Runtime provider in use. notice: a sentence when it is not what was asked
    for, else empty.
    """

    def __init__(
        self,
        path: str,
        score: float = 0.35,
        iou: float = 0.5,
        limit: int = 100,
        classes: str = '',
        labels: str = '',
        layout: str = 'auto',
        resize: str = 'auto',
        size: int = 0,
        provider: str = 'cpu',
        threads: int = 1,
        allow_unlisted: bool = False,
        fp16: bool = False,
        max_seconds: float = MAX_SECONDS,
        max_memory: float = MAX_MEMORY,
    ):
        if not path:
            raise UserError(
                'detector.model is empty: give the path of an .onnx file or a listed name, or set '
                'detector.enabled to false'
            )
        manifest = Manifest.load()
        entry = manifest.detectors.get(path)
        if entry is None and Path(path).suffix.lower() != '.onnx':
            what = 'is a fuser, not a detector' if path in manifest.models else 'is no detector'
            raise UserError(
                f'detector.model is {quoted(path)}, which {what}; known are '
                f'{", ".join(manifest.detectors)}, or give the path of an .onnx file'
            )
        self.path = manifest.folder / entry.file if entry else Path(path)
        self.name = entry.name if entry else self.path.stem
        content = read_model(self.path, manifest, allow_unlisted)
        self.origin = Origin.of(self.path, content)
        try_unlisted(content, self.path, manifest, size or AUTO_SIZE, max_seconds, max_memory)
        self._session = open_session(content, self.path, (provider,), threads, fp16)
        self.provider = self._session.get_providers()[0]
        self.notice = fallback_notice(self._session, self.path, (provider,), fp16)
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        task = self.metadata.get('task', 'detect')
        if task != 'detect':
            raise UserError(
                f'{self.path} is a model for {quoted(task)} by its metadata; export one for '
                "'detect'"
            )
        self._outputs = [port.name for port in self._session.get_outputs()]
        self._size, dtype = self._input(size)
        self.layout, count = self._layout(layout, dtype)
        kind = LAYOUTS[self.layout]
        how = kind.fit if resize == 'auto' else resize
        if how not in FITS:
            raise UserError(f'detector.resize is {resize!r}; use auto, {", ".join(FITS)}')
        self._canvas = Canvas(how, kind.rgb, kind.unit, dtype, kind.normed)
        self.names = class_names(self.metadata, labels, count)
        self._tune(score, iou, limit, classes)

    def retuned(self, score: float, iou: float, limit: int, classes: str) -> 'Detector':
        """The same model with other thresholds; not to be used while the first is. Raises
        UserError."""
        other = copy.copy(self)
        other._tune(score, iou, limit, classes)
        return other

    def same_model(self, other: 'Detector | None') -> bool:
        """Whether the two are one loaded model."""
        return other is not None and other._session is self._session

    def _tune(self, score: float, iou: float, limit: int, classes: str) -> None:
        self.score, self.iou, self.limit = score, iou, limit
        self._chosen = chosen(self.names, classes)

    def _input(self, size: int) -> tuple[tuple[int, int] | int, type]:
        """(height, width) of the input, or its longer side if it takes any, and its type."""
        first = self._session.get_inputs()[0]
        shape = first.shape
        if first.type not in _TYPES or len(shape) != 4 or shape[1] not in (3, 'C', None):
            raise UserError(
                f'{self.path} takes {first.type} {shape}; a detector takes one image, float32 or '
                'float16 (1, 3, H, W)'
            )
        if isinstance(shape[0], int) and shape[0] != 1:
            raise UserError(
                f'{self.path} takes {shape[0]} images at once; export it for a batch of 1'
            )
        if all(isinstance(n, int) for n in shape[2:]):
            if size and size != max(shape[2:]):
                raise UserError(
                    f'detector.size is {size}, but {self.path} takes {shape[3]}x{shape[2]} only: '
                    'set it to 0'
                )
            return tuple(shape[2:]), _TYPES[first.type]
        if not size:
            try:
                text = self.metadata['imgsz'][:100].replace('(', '[').replace(')', ']')
                size = int(max(json.loads(text)))
            except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
                size = AUTO_SIZE
            if not 32 <= size <= _LONGEST:
                size = AUTO_SIZE
        return size, _TYPES[first.type]

    def _layout(self, layout: str, dtype: type) -> tuple[str, int | None]:
        """The name of the layout and the number of classes, by a run on an empty input."""
        size = self._size if isinstance(self._size, tuple) else (self._size, self._size)
        noise: np.ndarray = np.random.default_rng(0).random((1, 3, *size)).astype(dtype)
        outputs = self._run(noise, size)
        shapes = [(name, value.shape) for name, value in outputs.items()]
        names = len(parse(self.metadata['names'])) if 'names' in self.metadata else None
        with self._fitting(outputs):
            if layout == 'auto':
                layout = settle(outputs, size, self.metadata, names, self.path)
            else:
                check(layout, shapes, self.path)
            decode(layout, outputs, size, 0.0)  # what it can't give is refused here, not in flight
            return layout, class_count(layout, shapes)

    @contextmanager
    def _fitting(self, outputs: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Raises UserError where outputs turn out to have other shapes than their layout."""
        try:
            yield
        except UserError:
            raise
        except (ValueError, IndexError, TypeError) as error:
            shapes = ', '.join(f'{name} {list(np.shape(v))}' for name, v in outputs.items())
            raise UserError(
                f'{self.path} has outputs that do not fit together: {shapes}'
            ) from error

    def _run(self, blob: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        feed = {}
        for port in self._session.get_inputs():
            if port.name == 'orig_target_sizes':  # boxes in pixels of the input, like the others'
                feed[port.name] = np.array([[size[1], size[0]]], np.int64)
            else:
                feed[port.name] = blob
        try:
            found = run(self._session, None, feed)
        except Exception as error:  # the runtime's own exception types share no base class
            raise UserError(
                f'{self.path} failed on an input of {size[1]}x{size[0]}: {told(error)}'
            ) from error
        return dict(zip(self._outputs, found, strict=True))

    def input_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the network's input for an image of this height and width."""
        if isinstance(self._size, tuple):
            return self._size
        if self._canvas.how == 'stretch':
            return self._size, self._size
        return tight(shape, self._size)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """image: uint8 (H, W, 3) BGR or (H, W). Returns boxes in its pixels, best first."""
        size = self.input_size(image.shape[:2])
        blob, place = self._canvas.blob(image, size)
        return self._found(self._run(blob, size), place)

    def _found(self, outputs: dict[str, np.ndarray], place) -> list[Detection]:
        with self._fitting(outputs):
            found = decode(self.layout, outputs, place.size, self.score)
        boxes, scores, labels = found.boxes, found.scores, found.labels
        self._check_places(boxes, place.size)
        if self._chosen is not None:
            some = np.flatnonzero(np.isin(labels, list(self._chosen)))
            boxes, scores, labels = boxes[some], scores[some], labels[some]
        boxes = place.to_image(boxes)
        some = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1))  # else outside the image
        boxes, scores, labels = boxes[some], scores[some], labels[some]
        if LAYOUTS[self.layout].overlaps:
            keep = suppress(boxes, scores, labels, self.iou, self.limit)
        else:
            keep = np.argsort(-scores, kind='stable')[: self.limit]
        return [
            Detection(self.label(number), score, *box)
            for number, score, box in zip(
                labels[keep].tolist(), scores[keep].tolist(), boxes[keep].tolist(), strict=True
            )
        ]

    def _check_places(self, boxes: np.ndarray, size: tuple[int, int]) -> None:
        """Refuse boxes that lie nowhere near the image. Raises UserError."""
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / (size[1], size[0])
        if len(boxes) and (centres.min() < -1 or centres.max() > 2):
            raise UserError(
                f'{self.path} as {self.layout} gives boxes far outside the image: its outputs mean '
                'something else; set detector.layout'
            )

    def label(self, number: int) -> str:
        return self.names[number] if 0 <= number < len(self.names) else str(number)
