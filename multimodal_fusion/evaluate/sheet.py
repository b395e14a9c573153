"""A contact sheet: pairs below each other, their sources and fused images beside each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import UserError

TITLE = 20  # height of the line of names, pixels
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class SheetRow:
    """What a row shows: a whole image made smaller, or what is around a place, at full size."""

    stem: str
    place: tuple[int, int] | None = None  # x, y

    @classmethod
    def parse(cls, text: str) -> 'SheetRow':
        """``STEM`` or ``STEM:X:Y``. Raises UserError."""
        stem, *place = text.split(':')
        if not place:
            return cls(stem)
        if len(place) != 2 or not all(number.isdecimal() for number in place):
            raise UserError(f'a row of the sheet is STEM or STEM:X:Y, got {text!r}')
        return cls(stem, (int(place[0]), int(place[1])))

    def shown(self, image: np.ndarray, width: int) -> np.ndarray:
        """uint8 (H, width, 3) BGR."""
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if self.place is None:
            height = max(1, round(image.shape[0] * width / image.shape[1]))
            return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        crop = np.zeros((width * 3 // 4, width, 3), np.uint8)
        sides = zip(self.place[::-1], crop.shape, image.shape, strict=False)
        top, left = (max(0, min(at - part // 2, side - part)) for at, part, side in sides)
        part = image[top : top + crop.shape[0], left : left + width]
        crop[: part.shape[0], : part.shape[1]] = part
        return crop


def contact_sheet(
    rows: Sequence[SheetRow],
    names: list[str],
    picture: Callable[[str, str], np.ndarray],
    width: int = 320,
) -> np.ndarray:
    """One row a stem, one column a name, with the names above.

    picture(stem, name): uint8 (H, W, 3) BGR or (H, W). width: of a column, pixels.
    Returns uint8 (H, width * len(names), 3) BGR.
    """
    title = np.zeros((TITLE, width * len(names), 3), np.uint8)
    for i, name in enumerate(names):
        _write(title, name, (i * width + 5, TITLE - 6), WHITE)
    drawn = []
    for row in rows:
        drawn.append(np.hstack([row.shown(picture(row.stem, name), width) for name in names]))
        for thickness, colour in ((3, BLACK), (1, WHITE)):
            _write(drawn[-1], row.stem, (5, len(drawn[-1]) - 6), colour, thickness)
    return np.vstack([title, *drawn])


def _write(image: np.ndarray, text: str, place: tuple[int, int], colour, thickness: int = 1):
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
