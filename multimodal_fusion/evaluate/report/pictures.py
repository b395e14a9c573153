"""Which pictures a report shows, and their encoding into it."""

from __future__ import annotations

import base64
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from .view import MetricView, Model, View

SOURCES = ('visible', 'thermal')
LONG_SIDE = 640
PICTURES = 60  # at most
BYTES = 180_000  # of one picture at most: 60 of them make 14 MB of base64
QUALITIES = (88, 78, 65, 45, 25)
EXTREMES = 3  # best and worst, of a model in a metric

Picture = Callable[[str, str], np.ndarray]


@dataclass
class SceneImages:
    """One image of the data and which pictures of it are shown. reason: why it was chosen."""

    index: int
    reason: str
    names: list[str] = field(default_factory=list)


def layers(view: View) -> list[str]:
    """What a scene may show: the sources, then the models."""
    return [*SOURCES, *(m.name for m in view.models if m.name not in SOURCES)]


def extremes(view: View, model: str, metric: MetricView) -> tuple[list[int], list[int]]:
    """The images a model is best and worst at, the most extreme first; no image in both."""
    values = view.values(model, metric.name)
    known = [index for index, value in enumerate(values) if value is not None]
    ranked = sorted(known, key=lambda index: values[index], reverse=metric.higher_is_better)
    count = min(EXTREMES, (len(ranked) + 1) // 2)
    best = ranked[:count]
    worst = [index for index in reversed(ranked[-count:]) if index not in best]
    return best, worst


def scenes(view: View, limit: int = PICTURES) -> list[SceneImages]:
    """The scenes to show, with at most `limit` pictures in all.

    First a few scenes with every layer: where the leading model is typical, worst and best, and
    where models differ most.  Then the best and worst images of every model for as long as they
    fit: its output, and if it is no baseline both sources.
    """
    if not view.images or not view.models:
        return []
    every = layers(view)
    chosen: dict[int, SceneImages] = {}
    used = 0
    whole = max(1, min(8, round(limit * 0.45 / len(every))))
    for index, reason in _telling(view):
        if len(chosen) == whole or used + len(every) > limit:
            break
        if index not in chosen:
            chosen[index] = SceneImages(index, reason, list(every))
            used += len(every)
    for index, model, reason in _extreme_order(view):
        scene = chosen.get(index) or SceneImages(index, reason)
        wanted = [model.name] if model.baseline else [*SOURCES, model.name]
        more = [name for name in wanted if name not in scene.names]
        if used + len(more) <= limit:
            scene.names += more
            chosen[index] = scene
            used += len(more)
    for scene in chosen.values():
        scene.names.sort(key=every.index)
    return list(chosen.values())


def lead(view: View) -> Model:
    """The model that the report looks at first: not a baseline, the best ranked."""
    own = [model for model in view.models if not model.baseline] or view.models
    ranks = {model.name: view.average_rank(model.name) for model in own}
    return min(own, key=lambda m: np.inf if ranks[m.name] is None else ranks[m.name])


def _telling(view: View) -> Iterator[tuple[int, str]]:
    metric = view.default
    if metric is not None:
        model = lead(view).name
        values = view.values(model, metric.name)
        known = [value for value in values if value is not None]
        if known:
            middle = statistics.median_low(known)
            best, worst = extremes(view, model, metric)
            yield values.index(middle), f'median {metric.name} of {model}'
            for index in worst[:1]:
                yield index, f'worst {metric.name} of {model}'
            for index in best[:1]:
                yield index, f'best {metric.name} of {model}'
        for index in _most_different(view, metric):
            yield index, f'models differ in {metric.name}'
    for index in range(len(view.images)):
        yield index, ''


def _most_different(view: View, metric: MetricView) -> list[int]:
    """Images by the spread of their values over the models, the widest first."""
    columns = [view.values(model.name, metric.name) for model in view.models]
    spread = []
    for index, values in enumerate(zip(*columns, strict=True)):
        known = [value for value in values if value is not None]
        if len(known) > 1:
            spread.append((-statistics.pstdev(known), index))
    return [index for _, index in sorted(spread)]


def _extreme_order(view: View) -> Iterator[tuple[int, Model, str]]:
    rest = [metric for metric in view.metrics if metric != view.default]
    for metric in [*([view.default] if view.default else []), *rest]:
        for model in view.models:
            best, worst = extremes(view, model.name, metric)
            for place in range(EXTREMES):
                for word, found in (('worst', worst), ('best', best)):
                    if place < len(found):
                        reason = f'{word} {metric.name} of {model.name}'
                        yield found[place], model, reason


def encode(image: np.ndarray) -> str:
    """A picture as a data URI: JPEG, its long side at most 640 pixels.

    image: uint8, (H, W) or (H, W, 3) BGR.  The quality falls where the file would be large.
    """
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for quality in QUALITIES:
        done, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise ValueError(f'pictures: expected uint8 (H, W) or (H, W, 3), got {image.shape}')
        if len(data) <= BYTES:
            break
    return 'data:image/jpeg;base64,' + base64.b64encode(data).decode()
