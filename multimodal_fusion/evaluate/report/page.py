"""The page: its sections put together into one HTML file."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from . import notes
from .boxes import box_plots
from .controls import facts, metric_choice
from .gallery import extreme_controls, gallery
from .scatter import scatter_plots
from .summary import summary_table
from .svg import tag
from .timeline import curve_values, metric_plots, pairing_plot
from .view import Model, View, plural

Section = tuple[str, str, str, str]  # id, title, explanation, content (both markup)


def write_report(
    path: Path, results: dict, timing: dict, picture: Callable[[str, str], np.ndarray]
) -> None:
    """
    Write the report: one HTML file that needs nothing else, the same bytes for the same input.

    picture: (stem, name) -> uint8, (H, W, 3) BGR or (H, W); name is 'visible', 'thermal' or a
    model's.  It is called once for each of at most 60 pictures, those of one stem in a row.
    """
    view = View(results, timing)
    viewer, pictures = gallery(view, picture)
    sections = [_summary(view)]
    if view.metrics:
        sections += [_distributions(view), _cost(view)]
    sections.append(_pictures(view, viewer))
    if pictures and view.metrics:
        sections.append(_extremes(view))
    if view.sequence:
        sections.append(_time_line(view))
    sections += [_definitions(view), _origin(view)]
    curves = curve_values(view) if view.sequence and view.images else None
    page = Template(_file('page.html')).substitute(
        title=escape(results['data']['name']),
        style=_file('report.css'),
        script=_file('report.js'),
        data=_json({'pictures': pictures, 'curves': curves}),
        header=_header(view),
        nav=''.join(tag('a', title, href=f'#{id_}') for id_, title, _, _ in sections),
        sections='\n'.join(_section(*section) for section in sections),
    )
    Path(path).write_text(page, encoding='utf-8')


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding='utf-8')


def _json(value) -> str:
    """JSON that can stand in a script element whatever names it holds."""
    text = json.dumps(value, ensure_ascii=True, separators=(',', ':'), allow_nan=False)
    return text.replace('&', '\\u0026').replace('<', '\\u003c').replace('>', '\\u003e')


def _section(id_: str, title: str, explanation: str, content: str) -> str:
    head = tag('h2', title) + (tag('p', explanation, class_='lead') if explanation else '')
    return tag('section', head + content, id=id_)


def _header(view: View) -> str:
    results, data = view.results, view.results['data']
    models, count = plural(len(view.models), 'model'), plural(data['images'], 'image')
    what = f'Quality and cost of {models} that fuse thermal and visible images, on {count}'
    if view.sequence:
        what += f' sampled from a bag of {view.sequence["duration"]:.1f} s'
    head = tag('h1', escape(data['name'])) + tag('p', what + '.', class_='what')
    items = [('Definition', tag('b', escape(results['definition'])))]
    items[0] = ('Definition', f'{items[0][1]}: {escape(results["definition_text"])}')
    if results.get('protocol'):
        items.append(('Protocol', escape(results['protocol'])))
    items += _leaders(view)
    return head + facts(items)


def _leaders(view: View) -> list[tuple[str, str]]:
    """The models with the lowest average rank, and the first of them that isn't a baseline."""
    ranks = {model.name: view.average_rank(model.name) for model in view.models}
    ranked = sorted((m for m in view.models if ranks[m.name] is not None), key=_by(ranks))
    if len(ranked) < 2:
        return []

    def named(model: Model) -> str:
        return f'{tag("b", escape(model.name))} {ranks[model.name]:.2f}'

    items = [('Best average rank', ', then '.join(named(model) for model in ranked[:2]))]
    own = [model for model in ranked if not model.baseline]
    if own and own[0] not in ranked[:2]:
        place = ranked.index(own[0]) + 1
        items.append(('First that is no baseline', f'{named(own[0])}, {_ordinal(place)}'))
    return items


def _by(ranks: dict) -> Callable[[Model], float]:
    return lambda model: ranks[model.name]


def _ordinal(number: int) -> str:
    return f'place {number}'


def _summary(view: View) -> Section:
    explanation = (
        'Means over the images, '
        + tag('span', 'best', class_='key best')
        + ' and '
        + tag('span', 'second best', class_='key second')
        + ' marked in each column. Click a heading to sort.'
    )
    options = [('ci', '95 % interval'), ('rank', 'rank'), ('none', 'nothing')]
    buttons = ''.join(
        tag('button', name, type='button', data_sub=key, aria_pressed=str(key == 'ci').lower())
        for key, name in options
    )
    switch = tag('div', tag('span', 'Below the mean') + buttons, class_='switch', id='sub')
    table = tag('div', summary_table(view), class_='scroll')
    content = switch + table + notes.left_out(view)
    return 'summary', 'Summary', explanation, content


def _distributions(view: View) -> Section:
    explanation = (
        'All images: box from the lower to the upper quartile, line at the median, whiskers to the '
        'last value within 1.5 box lengths, dots beyond.'
    )
    content = tag('div', box_plots(view), class_='boxes')
    return 'distributions', 'Distributions', explanation, content


def _cost(view: View) -> Section:
    explanation = (
        'Up and to the left is better. Bars are 95 % intervals; the dashed line joins the models '
        'that no other beats in both.'
    )
    control = metric_choice('cost-metric', view.columns, view.default, data_switch='cost-plots')
    content = tag('div', control, class_='controls')
    content += tag('div', scatter_plots(view), class_='plots', id='cost-plots')
    return 'cost', 'Cost and quality', explanation, content


def _pictures(view: View, viewer: str) -> Section:
    explanation = (
        'Keys 1–9 or ← → flip between pictures of the same place, ↑ ↓ change the scene; '
        'click to zoom, then move.'
    )
    control = metric_choice('picture-metric', view.metrics, view.default) if view.metrics else ''
    mode = tag('button', 'Side by side', type='button', id='side', aria_pressed='false')
    content = tag('div', control + mode, class_='controls') + viewer
    return 'pictures', 'Pictures', explanation, content


def _extremes(view: View) -> Section:
    explanation = 'Where a model does best and worst. Click a picture to open it above.'
    controls = extreme_controls(view) + metric_choice('extreme-metric', view.metrics, view.default)
    content = tag('div', controls, class_='controls')
    content += tag('div', '', class_='extremes', id='extreme-list')
    return 'extremes', 'Best and worst', explanation, content


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
    return 'time-line', 'Time line', explanation, content


def _counts(value) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{escape(str(name))} {number}' for name, number in value.items()) or '0'
    return escape(str(value or 0))


def _spans(spans: list[dict]) -> str:
    total = sum(span['end'] - span['start'] for span in spans)
    return f'{len(spans)}, {total:.2f} s in all' if spans else 'none'


def _definitions(view: View) -> Section:
    results = view.results
    explanation = (
        f'{tag("code", escape(results["definition"]))}: {escape(results["definition_text"])}. '
        'Numbers from different evaluators can’t be mixed.'
    )
    content = tag('div', notes.definitions(view), class_='scroll')
    return 'definitions', 'Definitions', explanation, content


def _origin(view: View) -> Section:
    content = notes.provenance(view) + notes.data_note(view)
    content += tag('h3', 'Models') + tag('div', notes.models(view), class_='scroll')
    return 'origin', 'Origin', '', content
