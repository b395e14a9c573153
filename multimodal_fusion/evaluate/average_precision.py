"""Average precision of detections, by COCO's evaluator, with intervals over the images."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..detect.detection import Detection
from ..errors import UserError

RESAMPLED = 200  # draws for an interval
AT = 0.35  # score at which recall and precision are stated, unless said otherwise
SAME = {'bus': 'car', 'truck': 'car'}  # of COCO's classes, where only cars are labelled


@dataclass(frozen=True)
class Truth:
    """What one image shows. boxes: float32 (M, 4) corners in pixels. labels: names, (M,).

    judged: the classes that are labelled in this image; detections of others don't count.
    """

    stem: str
    boxes: np.ndarray
    labels: tuple[str, ...]
    judged: frozenset[str]


def score(
    truths: Sequence[Truth], found: Mapping[str, list[Detection]], at: float = AT
) -> dict[str, dict[str, float]]:
    """{class: {AP50, AP50_from, AP50_to, AP, recall, precision, boxes, images}} over all images.

    AP50, AP: average precision at IoU 0.5, and its mean over 0.5 to 0.95, by pycocotools; at most
    100 detections an image. AP50_from, AP50_to: nine in ten of `RESAMPLED` draws of as many images
    with replacement lie between. recall, precision: at IoU 0.5, of detections that score at least
    ``at``; precision is NaN where there are none. Raises UserError without pycocotools.
    """
    evaluate = coco()
    classes = sorted({name for truth in truths for name in truth.labels})
    return {name: _score_class(evaluate, name, truths, found, at) for name in classes}


def coco() -> tuple[type, type]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UserError(
            'average precision needs pycocotools: pip install "multimodal_fusion[detection]"'
        ) from None
    return COCO, COCOeval


def _score_class(evaluate, name: str, truths, found, at: float) -> dict[str, float]:
    judged = [truth for truth in truths if name in truth.judged]
    boxes, detections = [], []
    for number, truth in enumerate(judged, 1):
        for box, label in zip(truth.boxes, truth.labels, strict=True):
            if label == name:
                boxes.append(_entry(number, box) | {'id': len(boxes) + 1, 'iscrowd': 0})
        for d in found[truth.stem]:
            if called(d.label, truth.judged) == name:
                detections.append(_entry(number, (d.x0, d.y0, d.x1, d.y1)) | {'score': d.score})
    figures = {
        'AP50': 0.0,
        'AP50_from': 0.0,
        'AP50_to': 0.0,
        'AP': 0.0,
        'recall': 0.0,
        'precision': float('nan'),
    }
    if detections:
        figures = _evaluate(evaluate, len(judged), boxes, detections, at)
    return figures | {'boxes': len(boxes), 'images': len(judged)}


def _entry(image: int, box) -> dict:
    x0, y0, x1, y1 = map(float, box)
    return {
        'image_id': image,
        'category_id': 1,
        'bbox': [x0, y0, x1 - x0, y1 - y0],
        'area': (x1 - x0) * (y1 - y0),
    }


def _evaluate(evaluate, images: int, boxes: list, detections: list, at: float) -> dict[str, float]:
    make, judge = evaluate
    with contextlib.redirect_stdout(io.StringIO()):
        truth = make()
        truth.dataset = {
            'info': {},
            'images': [{'id': number} for number in range(1, images + 1)],
            'categories': [{'id': 1}],
            'annotations': boxes,
        }
        truth.createIndex()
        judged = judge(truth, truth.loadRes(detections), 'bbox')
        judged.params.areaRng, judged.params.areaRngLbl = judged.params.areaRng[:1], ['all']
        judged.params.maxDets = [100]
        judged.evaluate()
        whole = judged.evalImgs
        precision = _precision(judged)
        random, drawn = np.random.default_rng(0), []
        for _ in range(RESAMPLED):
            judged.evalImgs = [whole[i] for i in random.integers(images, size=images)]
            drawn.append(float(_precision(judged)[0].mean()))
    low, high = np.quantile([value for value in drawn if value >= 0] or [0.0], (0.05, 0.95))
    hits = misses = 0
    # Matching is greedy by score, so leaving the weak detections out afterwards is the same as
    # before.
    for image in whole:
        if image is not None:
            sure = np.array(image['dtScores']) >= at
            matched = image['dtMatches'][0] > 0
            hits += int((matched & sure).sum())
            misses += int((~matched & sure).sum())
    return {
        'AP50': float(precision[0].mean()),
        'AP50_from': float(low),
        'AP50_to': float(high),
        'AP': float(precision.mean()),
        'recall': hits / len(boxes),
        'precision': hits / (hits + misses) if hits + misses else float('nan'),
    }


def _precision(judged) -> np.ndarray:
    """(IoU, recall) of the images that ``judged`` holds; -1 where none has a box."""
    judged.accumulate()
    return judged.eval['precision'][:, :, 0, 0, 0]


def called(label: str, known: frozenset[str]) -> str:
    return label if label in known else SAME.get(label, label)
