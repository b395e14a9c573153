"""Non-maximum suppression."""

import numpy as np

CANDIDATES = 2000  # of more, the best: thousands of boxes above the threshold are noise


def suppress(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float, limit: int | None = None
) -> np.ndarray:
    """Drop the weaker of two boxes of one class that overlap more than ``iou``.

    boxes: (N, 4) corners. scores, labels: (N,). limit: stop at this many boxes.
    Returns the indices of what stays, best first, int64 (M,).
    """
    order = np.argsort(-scores, kind='stable')[:CANDIDATES]
    if not len(order):
        return order
    boxes, labels = boxes[order].astype(np.float32, copy=False), labels[order]
    x0, y0, x1, y1 = np.ascontiguousarray(boxes.T)
    area = np.maximum(x1 - x0, 0) * np.maximum(y1 - y0, 0)
    keep, rest = [], np.arange(len(order))
    while len(rest) and (limit is None or len(keep) < limit):
        best, rest = rest[0], rest[1:]
        keep.append(best)
        width = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest])
        height = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        union = area[best] + area[rest] - common
        rest = rest[(common <= iou * union) | (labels[rest] != labels[best])]
    return order[keep]
