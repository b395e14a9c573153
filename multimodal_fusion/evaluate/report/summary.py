"""The figures of the summary: means, intervals, ranks, cost, each with what its tip says."""

from __future__ import annotations

from dataclasses import dataclass

from .view import MetricView, Model, Score, View, mark, number, show_milliseconds


@dataclass(frozen=True)
class Cell:
    """A figure. sort: by what its column is sorted. below: (class, text) of small ones under it."""

    shown: str
    sort: str
    classes: str = ''
    tip: str = ''
    below: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(shown: str, value: float | None, **more) -> Cell:
        return Cell(shown, '' if value is None else repr(float(value)), **more)


@dataclass(frozen=True)
class Row:
    """A model's line. what: in a few words what it is."""

    model: Model
    what: str
    classes: str
    cells: list[Cell]


def summary_rows(view: View) -> list[Row]:
    """The rows of the table: average rank, one cell a metric, milliseconds."""
    marks = {metric.name: view.marks(metric) for metric in view.columns}
    ranks = {model.name: view.average_rank(model.name) for model in view.models}
    rank_marks = mark(ranks, higher_is_better=False)
    first_baseline = next((model for model in view.models if model.baseline), None)
    rows = []
    for model in view.models:
        kinds = 'baseline' * model.baseline + ' first-baseline' * (model == first_baseline)
        cells = [
            _average_rank(ranks[model.name], rank_marks.get(model.name, '')),
            *(_score(view, model, m, marks[m.name].get(model.name, '')) for m in view.columns),
            _time(view, model),
        ]
        rows.append(Row(model, describe(model), kinds, cells))
    return rows


def _average_rank(rank: float | None, place: str) -> Cell:
    shown = '–' if rank is None else f'{rank:.2f}'
    return Cell.of(shown, rank, classes=f'{place} rank-average'.strip())


def _score(view: View, model: Model, metric: MetricView, place: str) -> Cell:
    score, rank = view.score(model.name, metric.name), view.rank(model.name, metric.name)
    if score.mean is None:
        return Cell.of('–', None, tip=f'{model.name}, {metric.name}: no value')
    below = [('ci', half_width(score, metric)), ('rank', '' if rank is None else f'#{rank}')]
    tip = [f'{model.name}, {metric.name} {metric.arrow}', f'mean {metric.show(score.mean)}']
    if rank is not None:
        ranked = sum(view.rank(other.name, metric.name) is not None for other in view.models)
        tip[1] += f', rank {rank} of {ranked}'
    if score.low is not None:
        tip.append(f'95 % interval {interval(score, metric)}')
    if score.left_out:
        tip.append(f'over {score.count} images; {score.left_out} without a value left out')
        below.append(('missing', '*'))
    return Cell.of(
        metric.show(score.mean), score.mean, classes=place, tip='\n'.join(tip), below=tuple(below)
    )


def _time(view: View, model: Model) -> Cell:
    time = view.milliseconds(model.name)
    if time is None:
        return Cell.of('–', None)
    median, p95 = (show_milliseconds(value) for value in time)
    tip = f'{model.name}\nmedian {median} ms, 95th percentile {p95} ms'
    return Cell.of(median, time[0], tip=tip, below=(('always', p95),))


def interval(score: Score, metric: MetricView) -> str:
    """The 95 % interval of a mean, nothing where it has none."""
    if score.low is None or score.high is None:
        return ''
    return f'{metric.show(score.low)}–{metric.show(score.high)}'


def half_width(score: Score, metric: MetricView) -> str:
    """Half the width of the 95 % interval of a mean behind a plus-minus sign."""
    if score.low is None or score.high is None:
        return ''
    return '±' + metric.show((score.high - score.low) / 2)


def describe(model: Model) -> str:
    """In a few words what a model is."""
    words = [model.source] if model.source else []
    if model.parameters:
        words.append(f'{number(model.parameters)} param.')
    return ', '.join(words + ['baseline'] * model.baseline)
