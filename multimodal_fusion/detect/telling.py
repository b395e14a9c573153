"""Which layout a model has: by metadata, by shapes, and then by values; refused where two fit.

A model is run once on noise. Values decide what shapes leave open: boxes in pixels or relative,
scores that are shares, columns that hold whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import UserError
from .layouts import LAYOUTS, PYRAMIDS, cell_count, check

_SHARE = 1.01  # largest score, with room for rounding


def tell(outputs: Sequence[tuple[str, tuple]], size: tuple[int, int], path: object = '') -> str:
    """The name of the layout by names and shapes alone. Raises UserError that lists what was found.

    outputs: (name, shape) of each output, as numbers: that of a run on an input of ``size``.
    """
    names = {name for name, _ in outputs}
    if {'labels', 'boxes', 'scores'} <= names:
        return 'dfine'
    if {'logits', 'pred_boxes'} <= names:
        return 'detr'
    if {'dets', 'labels'} <= names:
        return 'rfdetr'
    shape, cells = outputs[0][1], cell_count(size)
    if len(outputs) == 1 and len(shape) == 3 and shape[0] == 1:
        _, rows, columns = shape
        pyramids = [cell_count(size, strides) for strides in PYRAMIDS]
        if rows == cells and columns > 5:
            return 'yolox'
        if rows in [3 * count for count in pyramids] and columns > 5:
            return 'yolov5'
        if columns in pyramids and 4 < rows < columns:
            return 'yolov8'
        if rows in pyramids and columns > 4:
            return 'yolov8-rows'
        if columns == 6:
            return 'yolov10'
        if columns > 4 and rows < cells:
            return 'rtdetr'
    found = ', '.join(f'{name} {list(shape)}' for name, shape in outputs)
    known = '; '.join(f'{name}: {layout.shape}' for name, layout in LAYOUTS.items())
    raise UserError(
        f'{path} is not a detector whose outputs are understood: found {found} on an input of '
        f'{size[1]}x{size[0]}{_other_family(outputs, size)}; supported are {known}, with {cells} '
        'cells here'
    )


def _other_family(outputs: Sequence[tuple[str, tuple]], size: tuple[int, int]) -> str:
    """What else it may be, in words; empty if that is not known."""
    shapes = [shape for _, shape in outputs]
    if any(len(shape) == 4 and shape[1] == 32 for shape in shapes) and len(shapes) == 2:
        return ', which a segmentation model has: export a detector'
    if any(name.startswith(('save_infer_model', 'multiclass_nms')) for name, _ in outputs):
        return ', which PicoDet and others of Paddle have: not supported'
    return ''


def settle(
    outputs: Mapping[str, np.ndarray],
    size: tuple[int, int],
    metadata: Mapping[str, str],
    names: int | None = None,
    path: object = '',
) -> str:
    """The name of the layout of a model. Raises UserError if it is none, or if two would fit.

    outputs: of a run on an input of ``size``. names: how many class names the metadata holds.
    """
    shapes = [(name, value.shape) for name, value in outputs.items()]
    wanted = metadata.get('layout', '')
    if wanted in LAYOUTS:
        check(wanted, shapes, path)
        return wanted
    told = tell(shapes, size, path)
    first = np.asarray(next(iter(outputs.values())), np.float32)
    with np.errstate(all='ignore'):
        if told in ('yolox', 'yolov8-rows'):
            return _of_cells(told, first[0], size, names, path)
        if told in ('yolov10', 'rtdetr') and first.shape[2] == 6:
            return _of_six(first[0], metadata, path)
        if told == 'detr':
            return _of_logits(np.asarray(outputs['logits'], np.float32)[0], names)
        if told in ('yolov8', 'yolov5', 'rtdetr'):
            scores = first[0, 4:] if told == 'yolov8' else first[0, :, 4:]
            _shares(scores, told, path)
    return told


def _rows(table: np.ndarray) -> np.ndarray:
    """The rows that say something: finite, and not all zeros."""
    return table[np.isfinite(table).all(1) & table.any(1)]


def _shares(scores: np.ndarray, layout: str, path: object) -> None:
    """Refuse what are no scores. Raises UserError."""
    known = scores[np.isfinite(scores)]
    if known.size and (known.max() > _SHARE or known.min() < 1 - _SHARE):
        raise UserError(
            f'{path} has the shape of {layout}, but its scores go from {known.min():.3g} to '
            f'{known.max():.3g}: pose, oriented boxes and segmentation have such outputs; export a '
            'detector with scores of 0 to 1, or set detector.layout'
        )


def _of_cells(
    told: str, table: np.ndarray, size: tuple[int, int], names: int | None, path: object
) -> str:
    """One row a cell: raw YOLOX, YOLOv6 (decoded, with objectness), YOLOv8 turned round, or
    corners, score and class, as DeepStream's exporters write."""
    rows, columns = _rows(table), table.shape[1]
    if columns - 32 == names or (columns == 112 and names is None):
        raise UserError(
            f'{path} has rows of {columns}, as NanoDet has (distances as distributions): not '
            'supported; export one that decodes its boxes'
        )
    if not len(rows):
        return 'yolox' if told == 'yolox' and names in (None, columns - 5) else 'yolov8-rows'
    decoded = np.abs(rows[:, :2]).max() > 0.25 * min(size)  # pixels, no offsets in cells
    if not decoded and told == 'yolox':
        return 'yolox'
    whole = bool((rows[:, 5:6] == np.rint(rows[:, 5:6])).all()) and columns == 6
    if whole and rows[:, 4].max() <= _SHARE and (rows[:, 2:4] >= rows[:, :2]).mean() > 0.9:
        return 'deepstream'
    _shares(rows[:, 4:], told, path)
    if names == columns - 4 or (names is None and columns == 84):
        return 'yolov8-rows'
    if names == columns - 5 or (names is None and columns == 85):
        return 'yolov5'
    raise UserError(
        f'{path} may have {columns - 4} classes (yolov8-rows) or an objectness and {columns - 5} '
        'classes (yolov5, as YOLOv6): set detector.layout to one of them'
    )


def _of_six(table: np.ndarray, metadata: Mapping[str, str], path: object) -> str:
    """Six columns: YOLOv10's corners, score and class, or RT-DETR's with two classes."""
    made_by = metadata.get('description', '').lower()
    if 'rtdetr' in made_by or 'rt-detr' in made_by:
        return 'rtdetr'
    if metadata.get('end2end', '').lower() == 'true' or 'yolov10' in made_by:
        return 'yolov10'
    rows = _rows(table)
    relative = bool(len(rows)) and float(np.abs(rows[:, :4]).max()) <= 1.5
    shares = bool(len(rows)) and (rows[:, 4:] >= 0).all() and (rows[:, 4:] <= _SHARE).all()
    whole = bool((rows[:, 5] == np.rint(rows[:, 5])).all())
    if relative and shares and not whole:
        return 'rtdetr'
    if len(rows) and whole and not relative:
        return 'yolov10'
    raise UserError(
        f'{path} may be yolov10 (corners, score, class) or rtdetr with two classes: set '
        'detector.layout to one of them'
    )


def _of_logits(logits: np.ndarray, names: int | None) -> str:
    """Sigmoids (RT-DETR, D-FINE) or a softmax with "no object" as the last class (DETR, YOLOS)."""
    classes = logits.shape[1]
    if names is not None and names in (classes, classes - 1):
        return 'detr' if names == classes else 'yolos'
    if classes == 92:
        return 'yolos'
    rows = _rows(logits)
    return 'yolos' if len(rows) and (rows.argmax(1) == classes - 1).mean() > 0.5 else 'detr'
