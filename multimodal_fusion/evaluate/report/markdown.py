"""The summary as a Markdown table."""

from __future__ import annotations

import re

from .summary import half_width
from .view import MetricView, View, mark, plural, show_milliseconds

_WRAP = {'best': '**{}**', 'second': '*{}*'}


def markdown_table(results: dict, timing: dict | None = None) -> str:
    """The summary as a Markdown table with its notes.

    Means are followed by half the width of their 95 % interval; the best is bold, the second best
    italic.  Times are in it only if `timing` is given: they differ from run to run.
    """
    view = View(results, timing)
    columns = [_names(view), _average_ranks(view), *(_metric(view, m) for m in view.columns)]
    if any(model.parameters for model in view.models):
        columns.append(['parameters', *(_parameters(model.parameters) for model in view.models)])
    if timing:
        columns.append(['ms', *(_time(view.milliseconds(model.name)) for model in view.models)])
    return _layout(columns) + '\n' + _notes(view, bool(timing))


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    text = re.sub(r'([\\`*|<>\[\]~])', r'\\\1', ' '.join(text.split()))
    return re.sub(r'(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])', r'\\_', text)


def _layout(columns: list[list[str]]) -> str:
    widths = [max(4, *(len(cell) for cell in column)) for column in columns]
    rows = list(zip(*columns, strict=True))
    rule = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
    lines = [_row(rows[0], widths), '| ' + ' | '.join(rule) + ' |']
    return '\n'.join(lines + [_row(row, widths) for row in rows[1:]]) + '\n'


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return '| ' + ' | '.join(padded) + ' |'


def _names(view: View) -> list[str]:
    return ['model', *(escape(m.name) + (' †' if m.baseline else '') for m in view.models)]


def _average_ranks(view: View) -> list[str]:
    ranks = {model.name: view.average_rank(model.name) for model in view.models}
    marks = mark(ranks, higher_is_better=False)
    shown = {name: '–' if rank is None else f'{rank:.2f}' for name, rank in ranks.items()}
    return ['rank ↓', *(_wrap(text, marks.get(name)) for name, text in shown.items())]


def _metric(view: View, metric: MetricView) -> list[str]:
    marks = view.marks(metric)
    column = [f'{escape(metric.name)} {metric.arrow}']
    for model in view.models:
        score = view.score(model.name, metric.name)
        text = _wrap(metric.show(score.mean), marks.get(model.name))
        column.append(f'{text} {half_width(score, metric)}'.rstrip())
    return column


def _wrap(text: str, place: str | None) -> str:
    return _WRAP[place].format(text) if place else text


def _parameters(number: int) -> str:
    return f'{number:,}'.replace(',', ' ') if number else '–'


def _time(milliseconds: tuple[float, float] | None) -> str:
    return '–' if milliseconds is None else show_milliseconds(milliseconds[0])


def _notes(view: View, timed: bool) -> str:
    results = view.results
    data = results['data']
    sentences = [
        f'{plural(data["images"], "image")} of {escape(data["name"])}, '
        f'definition `{results["definition"]}`: {escape(results["definition_text"])}.',
        f'± is half the width of the 95 % {"normal" if results.get("of") else "bootstrap"} '
        'interval over images; **bold** is the best, *italic* the second best.',
    ]
    if results.get('protocol'):
        sentences.append(f'Protocol `{results["protocol"]}`.')
    if any(model.baseline for model in view.models):
        sentences.append('† baseline.')
    if timed:
        sentences.append(
            f'ms: median per image on {escape(view.timing.get("machine") or "this machine")}'
            f', {plural(view.timing.get("threads") or 1, "thread")}.'
        )
    missing = [
        f'{escape(metric.name)} of {escape(model.name)} on {score.left_out} of '
        f'{score.left_out + score.count} images'
        for metric in view.metrics
        for model in view.models
        if (score := view.score(model.name, metric.name)).left_out
    ]
    if missing:
        sentences.append('Without a value and left out: ' + '; '.join(missing) + '.')
    return ' '.join(sentences) + '\n'
