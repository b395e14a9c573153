"""Cost against quality: milliseconds on a log axis, the mean of one metric upwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ..summary import interval
from ..view import MetricView, Model, Score, View, show_milliseconds
from .boxes import shorten
from .svg import Scale, drawing, line, path, tag, text

WIDTH, HEIGHT = 1200, 440
LEFT, RIGHT, TOP, BOTTOM = 64, WIDTH - 24, 16, HEIGHT - 44
STRIP = 110  # room at the left for models that weren't timed
LETTER, BOLD, LINE = 7.0, 8.2, 13  # of a label, in pixels


@dataclass(frozen=True)
class Point:
    """One model in the plot, at pixel x, y."""

    model: Model
    score: Score
    time: tuple[float, float] | None
    x: float
    y: float


def scatter_plots(view: View) -> str:
    """One plot a metric, the default one shown and the others hidden."""
    return ''.join(
        tag('div', _plot(view, metric), data_panel=metric.name, hidden=metric != view.default)
        for metric in view.columns
    )


def _plot(view: View, metric: MetricView) -> str:
    times = [time[0] for m in view.models if (time := view.milliseconds(m.name)) and time[0] > 0]
    untimed = any(_untimed(view, model) for model in view.models)
    x = Scale.fit(_wide(times), LEFT + STRIP * untimed, RIGHT - 90, log=True)
    scores = [view.score(model.name, metric.name) for model in view.models]
    known = [v for s in scores for v in (s.mean, s.low, s.high) if v is not None]
    ends = (BOTTOM, TOP) if metric.higher_is_better else (TOP, BOTTOM)
    y = Scale.fit(known, *ends, pad=0.07)
    points = []
    for model, score in zip(view.models, scores, strict=True):
        if score.mean is None:
            continue
        time = None if _untimed(view, model) else view.milliseconds(model.name)
        at = x(time[0]) if time else LEFT + 16
        points.append(Point(model, score, time, at, y(score.mean)))
    parts = [_axes(x, y, metric, bool(known), bool(times), untimed), _front(points)]
    parts += [_point(point, metric, y) for point in points]
    parts.append(_labels(points))
    label = f'{metric.name} against milliseconds per image, one point a model'
    return drawing(WIDTH, HEIGHT, label, ''.join(parts))


def _untimed(view: View, model: Model) -> bool:
    time = view.milliseconds(model.name)
    return time is None or time[0] <= 0


def _wide(times: list[float]) -> list[float]:
    """Times, and two more where they span less than a factor of ten, so that the axis has ticks."""
    if not times or max(times) / min(times) >= 10:
        return times
    middle = (max(times) * min(times)) ** 0.5
    return [*times, middle / 10**0.5, middle * 10**0.5]


def _axes(x: Scale, y: Scale, metric: MetricView, scores: bool, times: bool, untimed: bool) -> str:
    parts = []
    for value, label in y.ticks(6) if scores else []:
        parts.append(line(LEFT, y(value), RIGHT, y(value), 'grid'))
        parts.append(text(LEFT - 8, y(value) + 4, label, 'tick end'))
    for value, label in x.ticks() if times else []:
        parts.append(line(x(value), TOP, x(value), BOTTOM, 'grid'))
        parts.append(text(x(value), BOTTOM + 16, label, 'tick middle'))
    if untimed:
        parts.append(line(x.start - 14, TOP, x.start - 14, BOTTOM, 'axis'))
        parts.append(text((LEFT + x.start) / 2 - 7, BOTTOM + 16, 'not timed', 'tick middle'))
    parts.append(line(LEFT, BOTTOM, RIGHT, BOTTOM, 'axis'))
    middle = (x.start + RIGHT) / 2
    parts.append(text(middle, HEIGHT - 8, 'milliseconds per image (median)', 'title middle'))
    worse = '' if metric.higher_is_better else ', axis turned: better is up'
    height = (TOP + BOTTOM) / 2
    title = f'{metric.name} {metric.arrow}{worse}'
    parts.append(text(14, height, title, 'title middle', transform=f'rotate(-90 14 {height:g})'))
    return ''.join(parts)


def _front(points: list[Point]) -> str:
    """The step line through the models that no other beats in both time and quality."""
    front: list[Point] = []
    for point in sorted((p for p in points if p.time), key=lambda p: (p.x, p.y)):
        if not front or point.y < front[-1].y:
            front.append(point)
    if len(front) < 2:
        return ''
    steps = [(front[0].x, front[0].y)]
    for before, after in pairwise(front):
        steps += [(after.x, before.y), (after.x, after.y)]
    return tag('path', d=path(steps), class_='front')


def _point(point: Point, metric: MetricView, y: Scale) -> str:
    score, model = point.score, point.model
    parts = []
    if score.low is not None and score.high is not None:
        parts.append(line(point.x, y(score.low), point.x, y(score.high), 'error'))
    parts.append(tag('circle', cx=point.x, cy=point.y, r=5, class_='point'))
    parts.append(tag('circle', cx=point.x, cy=point.y, r=11, class_='hit'))
    tip = [model.name, f'{metric.name} {metric.show(score.mean)}']
    if score.low is not None:
        tip[-1] += f' ({interval(score, metric)})'
    if point.time:
        median, p95 = (show_milliseconds(time) for time in point.time)
        tip.append(f'{median} ms, 95th percentile {p95} ms')
    kind = 'mark baseline' if model.baseline else 'mark'
    return tag('g', ''.join(parts), class_=f'{kind} {model.style}', data_tip='\n'.join(tip))


def _labels(points: list[Point]) -> str:
    """Names beside their points, each at the first place where it covers nothing."""
    taken = [(p.x - 6, p.y - 6, p.x + 6, p.y + 6) for p in points]
    parts = []
    for point in sorted(points, key=lambda p: (p.model.baseline, p.y)):
        name = shorten(point.model.name, 24)
        width = len(name) * (LETTER if point.model.baseline else BOLD)
        boxes = [(anchor, x, y, _box(anchor, x, y, width)) for anchor, x, y in _places(point)]
        free = [place for place in boxes if not any(_cover(place[3], other) for other in taken)]
        anchor, x, y, box = (free or boxes)[0]
        taken.append(box)
        kind = 'label baseline' if point.model.baseline else 'label'
        parts.append(text(x, y, name, f'{kind} {anchor}'))
    return ''.join(parts)


def _places(point: Point) -> list[tuple[str, float, float]]:
    x, y = point.x, point.y
    places = [('start', x + 9, y + dy) for dy in (4, -6, 14)]
    if point.time:
        places += [('end', x - 9, y + dy) for dy in (4, -6, 14)]
        places += [('middle', x, y - 12), ('middle', x, y + 20)]
    return places + [('start', x + 9, y + dy) for dy in (-16, 24, -26, 34)]


def _box(anchor: str, x: float, y: float, width: float) -> tuple[float, float, float, float]:
    left = x - {'start': 0.0, 'middle': 0.5, 'end': 1.0}[anchor] * width
    return left, y - LINE + 3, left + width, y + 3


def _cover(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    outside = a[0] < LEFT or a[2] > WIDTH or a[1] < 0 or a[3] > BOTTOM
    return outside or (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])
