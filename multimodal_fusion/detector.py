"""Object detection on the fused image by a YOLOX ONNX model: pixels in, boxes out."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .errors import UserError
from .model_file import Manifest, read_model
from .runtime import open_session

_STRIDES = (8, 16, 32)
_PAD = 114  # the grey that YOLOX is trained to see around its input

_COCO = """person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant
    stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack
    umbrella handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat
    baseball_glove skateboard surfboard tennis_racket bottle wine_glass cup fork knife spoon bowl
    banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair couch potted_plant
    bed dining_table toilet tv laptop mouse remote keyboard cell_phone microwave oven toaster sink
    refrigerator book clock vase scissors teddy_bear hair_drier toothbrush"""
COCO = tuple(name.replace('_', ' ') for name in _COCO.split())
"""The 80 classes that stock YOLOX models know, in their order."""


@dataclass(frozen=True)
class Detection:
    """A box in image pixels (x0, y0 to x1, y1), what it shows, and how sure that is (0 to 1)."""

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float


class Detector:
    """A YOLOX model with its thresholds.

    score: least objectness times class score. iou: overlap above which the weaker of two boxes of
    one class is dropped. limit: largest number of boxes. Raises UserError for other models.
    """

    def __init__(
        self,
        path: str,
        score: float = 0.35,
        iou: float = 0.5,
        limit: int = 100,
        provider: str = 'cpu',
        threads: int = 1,
        allow_unlisted: bool = False,
    ):
        if not path:
            raise UserError(
                'detector.enabled is true but detector.model is empty: give the path of a YOLOX '
                '.onnx file, or set detector.enabled to false'
            )
        content = read_model(Path(path), Manifest.load(), allow_unlisted)
        self._session = open_session(content, Path(path), (provider,), threads)
        self.score, self.iou, self.limit = score, iou, limit
        self.name = Path(path).stem
        self.size, self.classes = self._layout(Path(path))
        self._input = self._session.get_inputs()[0].name
        self._grid, self._stride = grid(*self.size)

    def _layout(self, path: Path) -> tuple[tuple[int, int], int]:
        """((height, width) of the input, number of classes) of a YOLOX model."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape, out = inputs[0].shape, outputs[0].shape
        fixed = len(shape) == 4 and shape[1] == 3 and all(isinstance(n, int) for n in shape[2:])
        if fixed and len(outputs) == 1 and len(out) == 3:
            cells = sum((shape[2] // s) * (shape[3] // s) for s in _STRIDES)
            if out[1] == cells and isinstance(out[2], int) and out[2] > 5:
                return (shape[2], shape[3]), out[2] - 5
        raise UserError(
            f'{path} is not a detector that is understood: input {shape}, outputs '
            f'{[o.shape for o in outputs]}; supported is YOLOX with a fixed input (1, 3, H, W) and '
            'one raw output (1, cells of strides 8, 16 and 32, 5 + classes)'
        )

    def detect(self, image: np.ndarray) -> list[Detection]:
        """image: uint8 (H, W, 3) BGR or (H, W). Returns boxes in its pixels, best first."""
        blob, scale = letterbox(image, self.size)
        raw = self._session.run(None, {self._input: blob})[0][0]
        boxes, scores, labels = decode(raw, self._grid, self._stride, self.score)
        keep = suppress(boxes, scores, labels, self.iou)[: self.limit]
        height, width = image.shape[:2]
        boxes = np.clip(boxes[keep] / scale, 0, (width, height, width, height))
        return [
            Detection(self.label(int(labels[k])), float(scores[k]), *map(float, box))
            for k, box in zip(keep, boxes, strict=True)
        ]

    def label(self, number: int) -> str:
        return COCO[number] if self.classes == len(COCO) else str(number)


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Scale into the top left of (height, width), grey around it.

    Returns float32 (1, 3, height, width) BGR in 0..255, and the scale.
    """
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    small = cv2.resize(
        image, (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    )
    whole = np.full((*size, 3), _PAD, np.uint8)
    whole[: small.shape[0], : small.shape[1]] = small
    return np.ascontiguousarray(whole.transpose(2, 0, 1)[None], np.float32), scale


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every YOLOX cell: its (x, y) in cells, (N, 2), and its stride in pixels, (N, 1)."""
    cells, strides = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack((x, y), -1).reshape(-1, 2))
        strides.append(np.full((cells[-1].shape[0], 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode(
    raw: np.ndarray, cells: np.ndarray, strides: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """YOLOX output (N, 5 + C) to boxes (M, 4) as x0, y0, x1, y1, scores (M,) and classes (M,).

    Centre is (xy + cell) * stride, size is exp(wh) * stride, score is objectness times class score.
    Cells below ``least``, and those that are not numbers, are left out.
    """
    classes = raw[:, 5:].argmax(1)
    scores = raw[:, 4] * np.take_along_axis(raw[:, 5:], classes[:, None], 1)[:, 0]
    good = (scores >= least) & np.isfinite(raw[:, :4]).all(1)
    raw, cells, strides = raw[good], cells[good], strides[good]
    centre = (raw[:, :2] + cells) * strides
    half = np.exp(np.minimum(raw[:, 2:4], 10)) * strides / 2
    return np.concatenate((centre - half, centre + half), 1), scores[good], classes[good]


def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float) -> list[int]:
    """Non-maximum suppression within each class; indices of what stays, best first."""
    order = list(np.argsort(-scores, kind='stable'))
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    keep = []
    alive = np.ones(len(boxes), bool)
    for i in order:
        if not alive[i]:
            continue
        keep.append(int(i))
        low = np.maximum(boxes[i, :2], boxes[:, :2])
        high = np.minimum(boxes[i, 2:], boxes[:, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        overlap = common / np.maximum(area[i] + area - common, 1e-9)
        alive &= (overlap <= iou) | (labels != labels[i])
    return keep


def draw(image: np.ndarray, detections: list[Detection]) -> np.ndarray:
    """A copy of the image, as BGR, with boxes, labels and scores."""
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    for d in detections:
        start, end = (round(d.x0), round(d.y0)), (round(d.x1), round(d.y1))
        cv2.rectangle(picture, start, end, (0, 220, 255), 2)
        place = (start[0], max(12, start[1] - 4))
        text = f'{d.label} {d.score:.2f}'
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 220, 255), 1)
    return picture
