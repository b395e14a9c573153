"""One list of boxes from several images of the same scene: weighted box fusion."""

from collections.abc import Sequence

import numpy as np

from .detection import Detection

SAME = 0.55  # overlap above which boxes of one class are of one thing


def merge(seen: Sequence[Sequence[Detection]], limit: int | None = None) -> list[Detection]:
    """What several views show, each thing once (weighted boxes fusion, Solovyev et al., 2021).

    seen: the detections of each view, in the same pixels. Boxes of one class that overlap by more
    than `SAME` become their mean, weighted by score. Its score is 1 - product of (1 - score) over
    the views, so that two sensors that agree are surer than either, and one that is blind, as a
    camera at night, takes nothing away. Returns the best first, at most ``limit``.
    """
    things: list[list[tuple[int, Detection]]] = []
    boxes: list[np.ndarray] = []
    numbered = [(view, d) for view, found in enumerate(seen) for d in found]
    for view, d in sorted(numbered, key=lambda item: -item[1].score):
        box = np.array((d.x0, d.y0, d.x1, d.y1))
        fits = [
            _overlap(box, boxes[i])
            if thing[0][1].label == d.label and view not in [v for v, _ in thing]
            else 0.0
            for i, thing in enumerate(things)
        ]
        best = int(np.argmax(fits)) if fits else -1
        if best < 0 or fits[best] <= SAME:
            things.append([(view, d)])
            boxes.append(box)
            continue
        things[best].append((view, d))
        weights = np.array([d.score for _, d in things[best]])
        corners = np.array([(d.x0, d.y0, d.x1, d.y1) for _, d in things[best]])
        boxes[best] = weights @ corners / max(weights.sum(), 1e-9)
    merged = [
        Detection(thing[0][1].label, 1 - float(np.prod([1 - d.score for _, d in thing])), *box)
        for thing, box in zip(things, (b.tolist() for b in boxes), strict=True)
    ]
    return sorted(merged, key=lambda d: -d.score)[:limit]


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common
    return float(common / union) if union > 0 else 0.0
