"""Boxes in text files of the YOLO kind: ``class cx cy w h`` a line, relative to the image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError, quoted
from .text_files import read_text


@dataclass(frozen=True)
class Boxes:
    """boxes: float32 (M, 4), x0, y0, x1, y1. labels: int64 (M,), numbers of classes."""

    boxes: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read_boxes(path: Path, width: int, height: int, classes: int) -> Boxes:
    """The boxes of one file, in pixels of an image of this size. Raises UserError."""
    rows = []
    for number, line in enumerate(read_text(path, 'the labels').splitlines(), 1):
        if not line.strip():
            continue
        try:
            kind, *place = line.split()
            row = [int(kind), *map(float, place)]
            if len(row) != 5 or not 0 <= row[0] < classes or not np.isfinite(row).all():
                raise ValueError
            if min(row[3:]) <= 0 or max(row[1:]) > 2:
                raise ValueError
        except ValueError:
            raise UserError(
                f'{path}, line {number}: expected "class cx cy w h" with a class from 0 to '
                f'{classes - 1} and numbers relative to the image, got {quoted(line)}'
            ) from None
        rows.append(row)
    table = np.array(rows, np.float32).reshape(-1, 5)
    scale = np.array((width, height), np.float32)
    centre, half = table[:, 1:3] * scale, table[:, 3:] * scale / 2
    limit = np.array((width, height) * 2, np.float32)
    boxes = np.clip(np.concatenate((centre - half, centre + half), 1), 0, limit)
    return Boxes(boxes, table[:, 0].astype(np.int64))


def read_classes(folder: Path) -> tuple[str, ...]:
    """The names of the classes: classes.txt in the folder of labels or beside one above it.

    Raises UserError.
    """
    folder = Path(folder)
    for place in (folder, *folder.absolute().parents[:3]):
        path = place / 'classes.txt'
        if path.is_file():
            lines = read_text(path, 'the classes').splitlines()
            names = tuple(name.strip() for name in lines if name.strip())
            if names:
                return names
    raise UserError(
        f'no classes.txt in {folder} or above it: write one, the name of a class a line, in the '
        'order of the numbers in the labels'
    )
