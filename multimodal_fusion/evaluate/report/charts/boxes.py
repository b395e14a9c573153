"""Box plots: one panel a metric, one row a model."""

from __future__ import annotations

from html import escape

import numpy as np

from ..view import MetricView, Model, View
from .svg import Scale, dots, drawing, line, tag, text

WIDTH, ROW, TOP, BOTTOM, NAMES = 308, 17, 4, 20, 112
FEWEST = 5  # values for a box; fewer are drawn one by one


def box_plots(view: View) -> str:
    """The panels of all metrics."""
    return ''.join(_panel(view, metric) for metric in view.metrics)


def _panel(view: View, metric: MetricView) -> str:
    bottom = TOP + ROW * len(view.models)
    columns = {model.name: view.values(model.name, metric.name) for model in view.models}
    known = [value for values in columns.values() for value in values if value is not None]
    scale = Scale.fit(known, NAMES, WIDTH - 14)
    parts = []
    for value, label in scale.ticks(4) if known else []:
        parts.append(line(scale(value), TOP, scale(value), bottom, 'grid'))
        parts.append(text(scale(value), bottom + 13, label, 'tick middle'))
    for index, model in enumerate(view.models):
        y = TOP + ROW * (index + 0.5)
        parts.append(_row(view, metric, model, columns[model.name], scale, y))
    label = f'Box plots of {metric.name}, one a model'
    title = tag('b', escape(metric.name) + '\u2009' + metric.arrow) + ' '
    title += tag('span', escape(metric.label))
    caption = tag('figcaption', title, data_tip=metric.text or None)
    return tag('figure', caption + drawing(WIDTH, bottom + BOTTOM, label, ''.join(parts)))


def _row(
    view: View, metric: MetricView, model: Model, values: list[float | None], scale: Scale, y: float
) -> str:
    name = text(NAMES - 8, y + 3.5, shorten(model.name, 15), 'label end')
    hit = tag('rect', x=0, y=y - ROW / 2, width=WIDTH, height=ROW, class_='hit')
    known = [value for value in values if value is not None]
    tip = f'{model.name}, {metric.name}\nno value'
    if known:
        tip = _tip(view, metric, model, values)
    shape = _shape(known, scale, y) if known else text(NAMES, y + 3.5, 'no value', 'tick')
    kind = 'row baseline' if model.baseline else 'row'
    return tag('g', hit + name + shape, class_=f'{kind} {model.style}', data_tip=tip)


def _shape(values: list[float], scale: Scale, y: float) -> str:
    if len(values) < FEWEST:
        return tag('path', d=dots((scale(value), y) for value in values), class_='points')
    low, median, high = (float(value) for value in np.percentile(values, [25, 50, 75]))
    reach = 1.5 * (high - low)
    inside = [value for value in values if low - reach <= value <= high + reach]
    outside = [value for value in values if not low - reach <= value <= high + reach]
    whisker = line(scale(min(inside)), y, scale(max(inside)), y, 'whisker')
    left, right = scale(low), scale(high)
    box = tag('rect', x=left, y=y - 4.5, width=max(right - left, 1.0), height=9, class_='box')
    middle = line(scale(median), y - 4.5, scale(median), y + 4.5, 'median')
    outliers = dots((scale(value), y) for value in outside)
    return whisker + box + middle + (tag('path', d=outliers, class_='outliers') if outliers else '')


def _tip(view: View, metric: MetricView, model: Model, values: list[float | None]) -> str:
    known = [(value, index) for index, value in enumerate(values) if value is not None]
    low, median, high = np.percentile([value for value, _ in known], [25, 50, 75])
    (least, least_at), (most, most_at) = min(known), max(known)
    return (
        f'{model.name}, {metric.name} {metric.arrow}\n'
        f'median {metric.show(median)}, middle half {metric.show(low)}–{metric.show(high)}\n'
        f'lowest {metric.show(least)}: {view.images[least_at]["stem"]}\n'
        f'highest {metric.show(most)}: {view.images[most_at]["stem"]}'
    )


def shorten(name: str, length: int) -> str:
    """A name cut in the middle to a number of characters."""
    if len(name) <= length:
        return name
    return name[: (length + 1) // 2 - 1] + '…' + name[-(length // 2) :]
