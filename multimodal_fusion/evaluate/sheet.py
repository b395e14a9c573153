"""A contact sheet: pairs below each other, their sources and fused images beside each other."""

from collections.abc import Callable

import cv2
import numpy as np

TITLE = 20  # height of the line of names, pixels
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def contact_sheet(
    stems: list[str], names: list[str], picture: Callable[[str, str], np.ndarray], width: int = 320
) -> np.ndarray:
    """One row a stem, one column a name, with the names above.

    picture(stem, name): uint8 (H, W, 3) BGR or (H, W). width: of a column, pixels.
    Returns uint8 (H, width * len(names), 3) BGR.
    """
    title = np.zeros((TITLE, width * len(names), 3), np.uint8)
    for i, name in enumerate(names):
        _write(title, name, (i * width + 5, TITLE - 6), WHITE)
    rows = [np.hstack([_scaled(picture(stem, name), width) for name in names]) for stem in stems]
    for stem, row in zip(stems, rows, strict=True):
        for thickness, colour in ((3, BLACK), (1, WHITE)):
            _write(row, stem, (5, len(row) - 6), colour, thickness)
    return np.vstack([title, *rows])


def _scaled(image: np.ndarray, width: int) -> np.ndarray:
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _write(image: np.ndarray, text: str, place: tuple[int, int], colour, thickness: int = 1):
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
