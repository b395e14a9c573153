"""The sections of the page, each with its title, its explanation and its content."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from . import notes
from .charts.boxes import box_plots
from .charts.scatter import scatter_plots
from .charts.svg import tag
from .charts.timeline import metric_plots, pairing_plot
from .controls import facts, metric_choice
from .detection import detection_explanation, detection_table, only_fused_pictures
from .gallery import extreme_controls
from .summary import summary_table
from .view import View

_KEYS = {'best': 'best', 'second': 'second best'}
LISTED = 3  # freezes and stretches without pairs named one by one


class Section(NamedTuple):
    """One section; explanation and content are markup."""

    id: str
    title: str
    explanation: str
    content: str


def sections(
    view: View, viewer: str, pictures: bool, found: list[tuple[str, str]]
) -> list[Section]:
    """
    Return the sections that results have content for.

    viewer: the markup of the pictures.  found: of `detection.only_fused_pictures`.
    """
    parts = [_summary(view)]
    if view.metrics:
        parts += [_distributions(view), _cost(view)]
    if view.results.get('detection'):
        parts.append(_detection(view, found))
    if view.sequence:
        parts.append(_time_line(view))
    if pictures:
        parts.append(_pictures(view, viewer))
    if pictures and view.metrics:
        parts.append(_extremes(view))
    return [*parts, _definitions(view), _origin(view)]


def _summary(view: View) -> Section:
    explanation = 'Means over the images.'
    if len(view.models) > 1:
        keys = [tag('span', name, class_=f'key {key}') for key, name in _KEYS.items()]
        explanation = (
            f'Means over the images, {" and ".join(keys)} marked in each column. '
            'Click a heading to sort.'
        )
    options = [('ci', '± 95 % interval'), ('rank', 'rank'), ('none', 'nothing')]
    buttons = ''.join(
        tag('button', name, type='button', data_sub=key, aria_pressed=str(key == 'ci').lower())
        for key, name in options
    )
    switch = tag('div', tag('span', 'Below the mean') + buttons, class_='switch', id='sub')
    table = tag('div', summary_table(view), class_='scroll')
    content = switch + table + notes.left_out(view)
    return Section('summary', 'Summary', explanation, content)


def _distributions(view: View) -> Section:
    explanation = (
        'All images: box from the lower to the upper quartile, line at the median, whiskers to the '
        'last value within 1.5 box lengths, dots beyond.'
    )
    content = tag('div', box_plots(view), class_='boxes')
    return Section('distributions', 'Distributions', explanation, content)


def _cost(view: View) -> Section:
    explanation = (
        'Up and to the left is better. Bars are 95 % intervals; a dashed line joins models that '
        'no other beats in both, where there are several.'
    )
    control = metric_choice('cost-metric', view.columns, view.default, data_switch='cost-plots')
    content = tag('div', control, class_='controls')
    content += tag('div', scatter_plots(view), class_='plots', id='cost-plots')
    return Section('cost', 'Cost and quality', explanation, content)


def _detection(view: View, found: list[tuple[str, str]]) -> Section:
    content = tag('div', detection_table(view), class_='scroll') + only_fused_pictures(found)
    return Section('detection', 'Detection', detection_explanation(view), content)


def _pictures(view: View, viewer: str) -> Section:
    explanation = (
        'Keys 1–9 or ← → flip between pictures of the same place, ↑ ↓ change the scene; '
        'click to zoom, then move.'
    )
    control = metric_choice('picture-metric', view.metrics, view.default) if view.metrics else ''
    mode = tag('button', 'Side by side', type='button', id='side', aria_pressed='false')
    content = tag('div', control + mode, class_='controls') + viewer
    return Section('pictures', 'Pictures', explanation, content)


def _extremes(view: View) -> Section:
    explanation = 'Where a model does best and worst. Click a picture to open it above.'
    controls = extreme_controls(view) + metric_choice('extreme-metric', view.metrics, view.default)
    content = tag('div', controls, class_='controls')
    content += tag('div', '', class_='extremes', id='extreme-list')
    return Section('extremes', 'Best and worst', explanation, content)


def _time_line(view: View) -> Section:
    sequence = view.sequence or {}
    gap = sequence.get('gap_ms') or {}
    shown = [f'{name} {gap[name]:.1f}' for name in ('median', 'p95', 'max') if gap.get(name)]
    items = [('Pairs', f'{sequence.get("pairs", 0)}')]
    for key, name in (('unpaired', 'Unpaired'), ('duplicate', 'Duplicate'), ('late', 'Late')):
        items.append((name, _counts(sequence.get(key))))
    items += [('Resets', f'{sequence.get("resets", 0)}'), ('Gap, ms', ', '.join(shown) or '–')]
    for key, name in (('freezes', 'Freezes'), ('gaps', 'Stretches without pairs')):
        items.append((name, _spans(sequence.get(key) or [])))
    legend = ''.join(
        tag('span', tag('i', class_=f'key-band {kind}') + name)
        for kind, name in (
            ('freeze', 'thermal image frozen'),
            ('no-pairs', 'no pairs'),
            ('sampled', 'pair evaluated'),
        )
    )
    control = metric_choice('time-metric', view.metrics, view.default, data_switch='time-plots')
    chips = ''.join(
        tag(
            'button',
            tag('i', class_=f'swatch {model.style}') + escape(model.name),
            type='button',
            class_='chip baseline' if model.baseline else 'chip',
            data_model=index,
            aria_pressed='true',
        )
        for index, model in enumerate(view.models)
    )
    content = facts(items) + tag('div', legend, class_='legend')
    content += tag('div', pairing_plot(view), class_='wide')
    if view.images and view.metrics:
        content += tag('div', control + tag('div', chips, class_='chips'), class_='controls')
        content += tag('div', metric_plots(view), class_='wide', id='time-plots')
    explanation = 'Distance between the two stamps of each pair, and the metrics along the bag.'
    return Section('time-line', 'Time line', explanation, content)


def _counts(value) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{escape(str(name))} {number}' for name, number in value.items()) or '0'
    return escape(str(value or 0))


def _spans(spans: list[dict]) -> str:
    shown = [f'{span["start"]:.2f}–{span["end"]:.2f} s' for span in spans[:LISTED]]
    if len(spans) > LISTED:
        total = sum(span['end'] - span['start'] for span in spans)
        shown.append(f'{len(spans) - LISTED} more, {total:.2f} s in all')
    return ', '.join(shown) or 'none'


def _definitions(view: View) -> Section:
    results = view.results
    text = escape(results['definition_text'].rstrip('.'))
    explanation = (
        f'{tag("code", escape(results["definition"]))}: {text}. '
        'Numbers from different evaluators can’t be mixed.'
    )
    content = tag('div', notes.definitions(view), class_='scroll')
    return Section('definitions', 'Definitions', explanation, content)


def _origin(view: View) -> Section:
    content = notes.provenance(view) + notes.data_note(view)
    content += tag('h3', 'Models') + tag('div', notes.models(view), class_='scroll')
    return Section('origin', 'Origin', '', content)
