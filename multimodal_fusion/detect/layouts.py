"""The output layouts of the YOLO and DETR families, decoded to candidate boxes.

Let cells be the number of cells of strides 8, 16 and 32 on the input (YOLOv8: also with 4 or 64),
and C the number of classes. `telling` tells them apart.

    yolox     (1, cells, 5 + C)      raw: offset and log size in strides, objectness, class scores
    yolov5    (1, 3 cells, 5 + C)    cx, cy, w, h in pixels, objectness, class scores; YOLOv7 too
    yolov8    (1, 4 + C, cells)      cx, cy, w, h in pixels, class scores; YOLOv9 and YOLO11 too
    yolov8-rows  (1, cells, 4 + C)   the same, turned round
    deepstream   (1, cells, 6)       x0, y0, x1, y1 in pixels, score, class, before suppression
    yolov10   (1, N, 6)              x0, y0, x1, y1 in pixels, score, class: no suppression needed
    rtdetr    (1, N, 4 + C)          cx, cy, w, h relative to the input, class scores: likewise
    dfine     labels, boxes, scores  (1, N), (1, N, 4), (1, N): RT-DETR and D-FINE with their
                                     post-processing; asks for ``orig_target_sizes``
    detr      logits, pred_boxes     (1, N, C), (1, N, 4): the same without
    yolos     logits, pred_boxes     with "no object" as the last class: DETR, YOLOS
    rfdetr    dets, labels           (1, N, 4), (1, N, C): boxes as rtdetr, logits
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError

STRIDES = (8, 16, 32)
PYRAMIDS = (STRIDES, (4, 8, 16, 32), (8, 16, 32, 64))


@dataclass(frozen=True)
class OutputLayout:
    """How a model wants its input, and whether it leaves several boxes for one object.

    fit: of `geometry.FITS`. rgb, unit, normed: of `geometry.Canvas`. overlaps: suppression is
    needed.
    """

    fit: str
    rgb: bool
    unit: bool
    overlaps: bool
    shape: str
    normed: bool = False


LAYOUTS = {
    'yolox': OutputLayout('corner', False, False, True, '(1, cells, 5 + C)'),
    'yolov5': OutputLayout('centre', True, True, True, '(1, 3 cells, 5 + C)'),
    'yolov8': OutputLayout('centre', True, True, True, '(1, 4 + C, cells)'),
    'yolov8-rows': OutputLayout('centre', True, True, True, '(1, cells, 4 + C)'),
    'deepstream': OutputLayout('centre', True, True, True, '(1, cells, 6)'),
    'yolov10': OutputLayout('centre', True, True, False, '(1, N, 6)'),
    'rtdetr': OutputLayout('stretch', True, True, False, '(1, N, 4 + C)'),
    'dfine': OutputLayout('stretch', True, True, False, 'labels, boxes and scores'),
    'detr': OutputLayout('stretch', True, True, False, 'logits and pred_boxes'),
    'yolos': OutputLayout('stretch', True, True, False, 'logits and pred_boxes', True),
    'rfdetr': OutputLayout('stretch', True, True, False, 'dets and labels', True),
}


@dataclass(frozen=True)
class Candidates:
    """boxes: float32 (N, 4), corners in input pixels. scores: float32 (N,). labels: int64 (N,)."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def cell_count(size: tuple[int, int], strides: Sequence[int] = STRIDES) -> int:
    return sum((size[0] // s) * (size[1] // s) for s in strides)


def check(layout: str, outputs: Sequence[tuple[str, tuple]], path: object = '') -> None:
    """Refuse a layout that was chosen by hand and that the outputs cannot have. Raises UserError.

    Numbers of rows are left to whoever chose it: YOLOv6 has YOLOX's shape and YOLOv5's boxes.
    """
    names, shape = {name for name, _ in outputs}, outputs[0][1]
    logits = {'logits', 'pred_boxes'}
    needed = {
        'dfine': {'labels', 'boxes', 'scores'},
        'detr': logits,
        'yolos': logits,
        'rfdetr': {'dets', 'labels'},
    }.get(layout)
    if needed is not None:
        fits = needed <= names
    elif len(shape) != 3 or shape[0] != 1:
        fits = False
    elif layout == 'yolov8':
        fits = shape[1] > 4
    elif layout in ('yolov10', 'deepstream'):
        fits = shape[2] == 6
    else:
        fits = shape[2] > (4 if layout in ('rtdetr', 'yolov8-rows') else 5)
    if not fits:
        found = ', '.join(f'{name} {list(shape)}' for name, shape in outputs)
        raise UserError(
            f'detector.layout is {layout}, whose output is {LAYOUTS[layout].shape}, but {path} has '
            f'{found}; set it to auto, or to what the model was exported as'
        )


def class_count(layout: str, outputs: Sequence[tuple[str, tuple]]) -> int | None:
    """C of a model, None where the outputs don't say."""
    shapes = dict(outputs)
    shape = outputs[0][1]
    if layout in ('yolox', 'yolov5'):
        return shape[2] - 5
    if layout == 'yolov8':
        return shape[1] - 4
    if layout in ('rtdetr', 'yolov8-rows'):
        return shape[2] - 4
    if layout in ('detr', 'yolos'):
        return shapes['logits'][2] - (layout == 'yolos')
    return shapes['labels'][2] if layout == 'rfdetr' else None


def decode(
    layout: str, outputs: dict[str, np.ndarray], size: tuple[int, int], least: float
) -> Candidates:
    """The boxes of at least this score, from the outputs of a model by name.

    What is not a number is left out. dfine: the model must have been told that the image has the
    size of the input.
    """
    with np.errstate(all='ignore'):  # of what is no number; it is dropped
        if layout == 'dfine':
            boxes, scores = outputs['boxes'][0], outputs['scores'][0]
            return _chosen(boxes, scores, outputs['labels'][0], least)
        if layout in ('detr', 'rfdetr'):
            logits, boxes = ('logits', 'pred_boxes') if layout == 'detr' else ('labels', 'dets')
            scores = 1 / (1 + np.exp(-outputs[logits][0].astype(np.float32)))
            return _chosen(_corners(outputs[boxes][0]) * _extent(size), *_best(scores), least)
        if layout == 'yolos':
            logits = outputs['logits'][0].astype(np.float32)
            scores = np.exp(logits - logits.max(1, keepdims=True))
            scores = (scores / scores.sum(1, keepdims=True))[:, :-1]
            boxes = _corners(outputs['pred_boxes'][0]) * _extent(size)
            return _chosen(boxes, *_best(scores), least)
        raw = next(iter(outputs.values()))[0]
        if layout in ('yolov10', 'deepstream'):
            return _chosen(raw[:, :4], raw[:, 4], raw[:, 5], least)
        if layout in ('yolov8', 'yolov8-rows'):
            raw = raw if layout == 'yolov8' else raw.T
            scores = raw[4:].max(0)
            some = np.flatnonzero(scores >= least)
            raw = raw[:, some].T
            return _chosen(_corners(raw[:, :4]), *_best(raw[:, 4:]), least)
        if layout == 'rtdetr':
            return _chosen(_corners(raw[:, :4]) * _extent(size), *_best(raw[:, 4:]), least)
        # Class scores are at most 1, so a cell's objectness bounds its score.
        some = np.flatnonzero(raw[:, 4] >= least)
        raw = raw[some].astype(np.float32)
        if layout == 'yolox':
            cells, strides = grid(size)
            cells, strides = cells[some], strides[some, None]
            centre = (raw[:, :2] + cells) * strides
            sides = np.exp(np.minimum(raw[:, 2:4], 10)) * strides
            boxes = np.concatenate((centre - sides / 2, centre + sides / 2), 1)
        else:
            boxes = _corners(raw[:, :4])
        scores, labels = _best(raw[:, 5:])
        return _chosen(boxes, scores * raw[:, 4], labels, least)


_grids: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}


def grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Of every cell on an input (height, width): its (x, y) in cells, (N, 2), and stride, (N,)."""
    if size not in _grids:
        cells, strides = [], []
        for stride in STRIDES:
            y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
            cells.append(np.stack((x, y), -1).reshape(-1, 2))
            strides.append(np.full(len(cells[-1]), stride))
        if len(_grids) > 8:
            _grids.clear()
        whole = np.concatenate(cells).astype(np.float32), np.concatenate(strides)
        _grids[size] = whole[0], whole[1].astype(np.float32)
    return _grids[size]


def _extent(size: tuple[int, int]) -> np.ndarray:
    return np.array((size[1], size[0]) * 2, np.float32)


def _corners(boxes: np.ndarray) -> np.ndarray:
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError(f'boxes {boxes.shape}')
    boxes = boxes.astype(np.float32, copy=False)
    half = boxes[:, 2:4] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), 1)


def _best(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest class score of each row and its class; NaN where a row holds one."""
    labels = scores.argmax(1)
    return np.take_along_axis(scores, labels[:, None], 1)[:, 0], labels


def _chosen(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, least: float) -> Candidates:
    if boxes.shape != (len(scores), 4) or labels.shape != scores.shape:
        raise ValueError(f'boxes {boxes.shape}, scores {scores.shape}, labels {labels.shape}')
    good = np.flatnonzero((scores >= least) & np.isfinite(boxes).all(1))
    highest = float(scores[good].max(initial=0.0))
    if highest > 1.01:
        raise UserError(
            f'the detector gives scores up to {highest:.4g}, which must be 0 to 1: its outputs '
            'mean something else than its layout; set detector.layout'
        )
    return Candidates(
        boxes[good].astype(np.float32, copy=False),
        scores[good].astype(np.float32, copy=False),
        labels[good].astype(np.int64),
    )
