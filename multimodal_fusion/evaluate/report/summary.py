"""The summary as an HTML table: means, intervals, ranks, cost; sortable by every column."""

from __future__ import annotations

from html import escape

from .charts.svg import tag
from .view import MetricView, Model, Score, View, mark, show_milliseconds


def swatch(model: Model) -> str:
    """Return the model's colour and name, as every table shows it."""
    dot = tag('i', class_=f'swatch {model.style}', aria_hidden='true')
    return dot + tag('span', escape(model.name), class_='name')


def summary_table(view: View) -> str:
    """Return the table of all models and metrics."""
    metrics = view.columns
    heads = [
        _head('Model', 'the fusion method', 'up', 'scope-name'),
        _head('Rank', 'average rank over the metrics; lower is better', 'up', arrow='↓'),
    ]
    heads += [
        _head(m.name, f'{m.label}\n{m.text}', 'down' if m.higher_is_better else 'up', '', m.arrow)
        for m in metrics
    ]
    heads += [
        _head('ms', 'milliseconds per image: median, below it the 95th percentile', 'up'),
    ]
    marks = {metric.name: view.marks(metric) for metric in metrics}
    ranks = {model.name: view.average_rank(model.name) for model in view.models}
    rank_marks = mark(ranks, higher_is_better=False)
    rows = []
    for model in view.models:
        cells = [_average_rank(ranks[model.name], rank_marks.get(model.name))]
        cells += [_score(view, model, m, marks[m.name].get(model.name)) for m in metrics]
        cells.append(_time(view, model))
        rows.append(_row(view, model, cells))
    table = tag('thead', tag('tr', ''.join(heads))) + tag('tbody', ''.join(rows))
    return tag('table', table, class_='summary', data_sub='ci', id='summary-table')


def _head(name: str, tip: str, order: str, class_: str = '', arrow: str = '') -> str:
    arrow = arrow and '\u2009' + tag('span', arrow, class_='arrow')
    button = tag('button', escape(name) + arrow, type='button', data_tip=tip.strip())
    return tag('th', button, scope='col', class_=class_ or None, data_order=order)


def _row(view: View, model: Model, cells: list[str]) -> str:
    first_baseline = model.baseline and model == next(m for m in view.models if m.baseline)
    kinds = ' baseline' * model.baseline + ' first-baseline' * first_baseline
    name = swatch(model) + tag('small', escape(describe(model)), class_='tag')
    tip = f'{model.name}\n{describe(model)}\nfuses {model.kind}'
    head = tag('th', name, scope='row', data_v=model.name.lower(), data_tip=tip)
    return tag('tr', head + ''.join(cells), class_=kinds.strip() or None)


def _average_rank(rank: float | None, place: str | None) -> str:
    shown = '–' if rank is None else f'{rank:.2f}'
    return _cell(shown, rank, place=place, class_='rank-average')


def _score(view: View, model: Model, metric: MetricView, place: str | None) -> str:
    score, rank = view.score(model.name, metric.name), view.rank(model.name, metric.name)
    if score.mean is None:
        return _cell('–', None, tip=f'{model.name}, {metric.name}: no value')
    below = tag('small', half_width(score, metric), class_='ci')
    below += tag('small', '' if rank is None else f'#{rank}', class_='rank')
    tip = [f'{model.name}, {metric.name} {metric.arrow}', f'mean {metric.show(score.mean)}']
    if rank is not None:
        ranked = sum(view.rank(other.name, metric.name) is not None for other in view.models)
        tip[1] += f', rank {rank} of {ranked}'
    if score.low is not None:
        tip.append(f'95 % interval {interval(score, metric)}')
    if score.left_out:
        tip.append(f'over {score.count} images; {score.left_out} without a value left out')
        below += tag('small', '*', class_='missing')
    return _cell(metric.show(score.mean), score.mean, below, '\n'.join(tip), place)


def interval(score: Score, metric: MetricView) -> str:
    """Return the 95 % interval of a mean, nothing where it has none."""
    if score.low is None or score.high is None:
        return ''
    return f'{metric.show(score.low)}–{metric.show(score.high)}'


def half_width(score: Score, metric: MetricView) -> str:
    """Return half the width of the 95 % interval of a mean behind a plus-minus sign."""
    if score.low is None or score.high is None:
        return ''
    return '±' + metric.show((score.high - score.low) / 2)


def _time(view: View, model: Model) -> str:
    time = view.milliseconds(model.name)
    if time is None:
        return _cell('–', None)
    median, p95 = (show_milliseconds(value) for value in time)
    tip = f'{model.name}\nmedian {median} ms, 95th percentile {p95} ms'
    return _cell(median, time[0], tag('small', p95, class_='always'), tip)


def describe(model: Model) -> str:
    """Return in a few words what a model is."""
    words = [model.source] if model.source else []
    if model.parameters:
        words.append(f'{model.parameters:,} param.'.replace(',', '\u202f'))
    return ', '.join(words + ['baseline'] * model.baseline)


def _cell(
    shown: str,
    value: float | None,
    below: str = '',
    tip: str | None = None,
    place: str | None = None,
    class_: str = '',
) -> str:
    classes = f'{place or ""} {class_}'.strip()
    sort = '' if value is None else repr(float(value))
    content = tag('b', escape(shown)) + below
    return tag('td', content, class_=classes or None, data_v=sort, data_tip=tip)
