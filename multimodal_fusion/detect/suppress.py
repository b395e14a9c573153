"""Non-maximum suppression."""

import numpy as np

CANDIDATES = 1000  # of more, the best: so many boxes above the threshold are noise


def suppress(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float, limit: int | None = None
) -> np.ndarray:
    """Drop the weaker of two boxes of one class that overlap more than ``iou``.

    boxes: (N, 4) corners. scores, labels: (N,). limit: stop at this many boxes.
    Returns the indices of what stays, best first, int64 (M,).
    """
    order = np.argsort(-scores, kind='stable')[:CANDIDATES]
    boxes, labels = boxes[order].astype(np.float32, copy=False), labels[order]
    x0, y0, x1, y1 = np.ascontiguousarray(boxes.T)
    width = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    height = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    common = np.maximum(width, 0) * np.maximum(height, 0)
    area = np.maximum(x1 - x0, 0) * np.maximum(y1 - y0, 0)
    apart = common <= iou * (area[:, None] + area - common)
    apart |= labels[:, None] != labels
    alive, keep = np.ones(len(order), bool), []
    for i in range(len(order)):
        if alive[i]:
            keep.append(i)
            alive &= apart[i]
            if len(keep) == limit:
                break
    return order[keep]
