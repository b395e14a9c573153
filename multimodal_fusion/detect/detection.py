"""A detection, and a picture with its box."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Detection:
    """A box in image pixels (x0, y0 to x1, y1), what it shows, and how sure that is (0 to 1)."""

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float


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
