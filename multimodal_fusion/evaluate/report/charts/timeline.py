"""The time line of a bag: pairing gaps, freezes, stretches without pairs, metrics along it."""

from __future__ import annotations

from collections.abc import Iterator

from ..view import MetricView, Model, View, finite
from .svg import Scale, dots, drawing, line, path, tag, text

WIDTH, LEFT, RIGHT = 1200, 56, 1188
GAP_TOP, GAP_BOTTOM, LANE = 8, 118, 14  # the panel of pairing gaps, and the lane below it
TOP, BOTTOM, HEIGHT = 10, 250, 290  # the panels of metrics
NARROWEST = 2.0  # pixels of a band


def time_scale(view: View) -> Scale:
    """The mapping of seconds to pixels that all panels share."""
    sequence = view.sequence or {}
    times = [pair['time'] for pair in sequence.get('timeline') or []]
    times += [end for span in _spans(sequence) for end in (span['start'], span['end'])]
    times += [image['time'] for image in view.images if finite(image.get('time')) is not None]
    low = min([0.0, *times])
    high = max([finite(sequence.get('duration')) or 0.0, *times])
    return Scale(low, high if high > low else low + 1, LEFT, RIGHT)


def pairing_plot(view: View) -> str:
    """The plot of the stamps' distance within each pair over time, and its events."""
    x, sequence = time_scale(view), view.sequence or {}
    pairs = [
        pair for pair in sequence.get('timeline') or [] if finite(pair.get('gap_ms')) is not None
    ]
    gaps = [pair['gap_ms'] for pair in pairs]
    y = Scale.fit([0.0, *gaps], GAP_BOTTOM, GAP_TOP, pad=0.06)
    parts = [_bands(x, sequence, GAP_TOP, GAP_BOTTOM + LANE)]
    for value, label in y.ticks(4):
        parts.append(line(LEFT, y(value), RIGHT, y(value), 'grid'))
        parts.append(text(LEFT - 8, y(value) + 4, label, 'tick end'))
    for frozen, class_ in ((False, 'gap'), (True, 'gap frozen')):
        points = [(x(p['time']), y(p['gap_ms'])) for p in pairs if bool(p['frozen']) == frozen]
        if points:
            parts.append(tag('path', d=_thinned(points), class_=class_))
    marks = [(x(p['time']), GAP_BOTTOM + LANE - 4) for p in pairs if p.get('evaluated')]
    if marks:
        ticks = ''.join(f'M{at:.1f} {top:g}v-7' for at, top in _distinct(marks))
        parts.append(tag('path', d=ticks, class_='sampled'))
    parts.append(_time_axis(x, GAP_BOTTOM + LANE, named=False))
    middle = (GAP_TOP + GAP_BOTTOM) / 2
    turn = f'rotate(-90 12 {middle:g})'
    parts.append(text(12, middle, 'gap, ms', 'title middle', transform=turn))
    label = 'Time between the two images of each pair, along the bag'
    return drawing(WIDTH, GAP_BOTTOM + LANE + 20, label, ''.join(parts))


def metric_plots(view: View) -> str:
    """The metrics along the bag, one plot a metric, all but the default one hidden."""
    return ''.join(
        tag('div', _curves(view, metric), data_panel=metric.name, hidden=metric != view.default)
        for metric in view.metrics
    )


def curve_values(view: View) -> dict:
    """What the hover line shows: times, positions, and values by metric and model."""
    x = time_scale(view)
    times = [image['time'] for image in view.images]
    return {
        'width': WIDTH,
        'x0': LEFT,
        'x': [round(x(time), 1) for time in times],
        'time': [f'{time:.2f} s' for time in times],
        'models': [model.name for model in view.models],
        'values': {
            metric.name: [
                [metric.show(value) for value in view.values(model.name, metric.name)]
                for model in view.models
            ]
            for metric in view.metrics
        },
    }


def _curves(view: View, metric: MetricView) -> str:
    x, sequence = time_scale(view), view.sequence or {}
    columns = [(model, view.values(model.name, metric.name)) for model in view.models]
    known = [value for _, values in columns for value in values if value is not None]
    y = Scale.fit(known, BOTTOM, TOP)
    parts = [_bands(x, sequence, TOP, BOTTOM)]
    for value, label in y.ticks(5) if known else []:
        parts.append(line(LEFT, y(value), RIGHT, y(value), 'grid'))
        parts.append(text(LEFT - 8, y(value) + 4, label, 'tick end'))
    parts.append(_time_axis(x, BOTTOM, named=True))
    middle = (TOP + BOTTOM) / 2
    turn = f'rotate(-90 12 {middle:g})'
    name = f'{metric.name} {metric.arrow}'
    parts.append(text(12, middle, name, 'title middle', transform=turn))
    for index, (model, values) in reversed(list(enumerate(columns))):
        parts.append(_curve(view, model, index, values, x, y))
    parts.append(line(LEFT, TOP, LEFT, BOTTOM, 'cursor', visibility='hidden'))
    label = f'{metric.name} along the bag, one line a model'
    return drawing(WIDTH, HEIGHT, label, ''.join(parts), data_metric=metric.name)


def _curve(
    view: View, model: Model, index: int, values: list[float | None], x: Scale, y: Scale
) -> str:
    runs = list(_runs(view, values))
    lines = ''.join(path((x(t), y(v)) for t, v in run) for run in runs if len(run) > 1)
    single = dots((x(run[0][0]), y(run[0][1])) for run in runs if len(run) == 1)
    kind = 'curve baseline' if model.baseline else 'curve'
    content = tag('path', d=lines) if lines else ''
    content += tag('path', d=single, class_='single') if single else ''
    return tag('g', content, class_=f'{kind} {model.style}', data_model=index)


def _runs(view: View, values: list[float | None]) -> Iterator[list[tuple[float, float]]]:
    """Times and values without a break: missing values, stretches without pairs, jumps back."""
    spans = [(gap['start'], gap['end']) for gap in (view.sequence or {}).get('gaps') or []]
    run: list[tuple[float, float]] = []
    for image, value in zip(view.images, values, strict=True):
        time = image['time']
        if run and (
            value is None
            or time <= run[-1][0]
            or any(run[-1][0] <= start and end <= time for start, end in spans)
        ):
            yield run
            run = []
        if value is not None:
            run.append((time, value))
    if run:
        yield run


def _spans(sequence) -> list[dict]:
    return [*(sequence.get('freezes') or []), *(sequence.get('gaps') or [])]


def _bands(x: Scale, sequence, top: float, bottom: float) -> str:
    parts = []
    for key, kind, name in (
        ('gaps', 'no-pairs', 'no pairs'),
        ('freezes', 'freeze', 'thermal image frozen'),
    ):
        for span in sequence.get(key) or []:
            start, end = span['start'], span['end']
            width = max(x(end) - x(start), NARROWEST)
            tip = f'{name}\n{start:.2f}–{end:.2f} s ({end - start:.2f} s)'
            box = {'x': x(start), 'y': float(top), 'width': width, 'height': float(bottom - top)}
            parts.append(tag('rect', **box, class_=f'band {kind}', data_tip=tip))
    return ''.join(parts)


def _time_axis(x: Scale, bottom: float, named: bool) -> str:
    parts = [line(LEFT, bottom, RIGHT, bottom, 'axis')]
    for value, label in x.ticks(12):
        parts.append(line(x(value), bottom, x(value), bottom + 4, 'axis'))
        parts.append(text(x(value), bottom + 16, label, 'tick middle'))
    if named:
        parts.append(text((LEFT + RIGHT) / 2, bottom + 34, 'seconds', 'title middle'))
    return ''.join(parts)


def _thinned(points: list[tuple[float, float]]) -> str:
    """Path data: dots, or where there are more than pixels, one upright line a pixel."""
    if len(points) <= 2 * WIDTH:
        return dots(_distinct(points))
    columns: dict[int, list[float]] = {}
    for at, y in points:
        columns.setdefault(round(at), []).append(y)
    return ''.join(f'M{at} {min(ys):.1f}V{max(ys) + 0.1:.1f}' for at, ys in columns.items())


def _distinct(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points a tenth of a pixel apart, each once, in order."""
    return list(dict.fromkeys((round(x, 1), round(y, 1)) for x, y in points))
