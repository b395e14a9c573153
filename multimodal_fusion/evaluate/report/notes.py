"""The end of the report: exact definitions, models, data, versions and the command."""

from __future__ import annotations

from html import escape

from .charts.svg import tag
from .controls import facts
from .summary import swatch
from .view import View, plural


def left_out(view: View) -> str:
    """Return the note on values that are missing from means, empty where none is."""
    items = []
    for metric in view.metrics:
        missing = []
        for model in view.models:
            score = view.score(model.name, metric.name)
            if score.left_out:
                total = score.left_out + score.count
                missing.append(f'{escape(model.name)} {score.left_out} of {total}')
        if missing:
            items.append(tag('b', escape(metric.name)) + ' ' + ', '.join(missing))
    if not items:
        return ''
    text = 'Images on which a metric is undefined are left out of its mean (*): '
    return tag('p', text + '; '.join(items) + '.', class_='note')


def definitions(view: View) -> str:
    """Return the table of metrics and their definitions."""
    rows = ''.join(
        tag(
            'tr',
            tag('th', f'{escape(m.name)}\u2009{m.arrow}', scope='row')
            + tag('td', escape(m.label))
            + tag('td', escape(m.text)),
        )
        for m in view.columns
    )
    head = _head('Metric', 'Name', 'Definition')
    return tag('table', head + tag('tbody', rows), class_='plain')


def models(view: View) -> str:
    """Return the table of what each model is."""
    rows = []
    for model in view.models:
        number = f'{model.parameters:,}'.replace(',', '\u202f') if model.parameters else '–'
        kind = model.source + (', baseline' if model.baseline else '')
        cells = [escape(kind), escape(model.kind), number]
        sha = tag('code', escape(model.sha256)) if model.sha256 else '–'
        row = tag('th', swatch(model), scope='row') + ''.join(tag('td', cell) for cell in cells)
        rows.append(tag('tr', row + tag('td', sha)))
    head = _head('Model', 'Source', 'Fuses', 'Parameters', 'SHA-256')
    return tag('table', head + tag('tbody', ''.join(rows)), class_='plain')


def provenance(view: View) -> str:
    """Return versions, machine and the command that made the report."""
    results, timing = view.results, view.timing
    package, versions = results['package'], results['versions']
    items = [
        ('Package', escape(f'{package["name"]} {package["version"]}')),
        ('Commit', tag('code', escape(package.get('commit') or 'unknown'))),
        *((name, escape(str(version))) for name, version in versions.items() if version),
    ]
    if timing.get('machine'):
        items.append(('Timed on', escape(timing['machine'])))
    if timing.get('threads'):
        items.append(('Threads', escape(str(timing['threads']))))
    if timing.get('date'):
        items.append(('Date', escape(timing['date'])))
    command = tag('code', escape(results['command']), id='command')
    copy = tag('button', 'Copy', type='button', id='copy', hidden=True)
    return facts(items) + tag('div', tag('pre', command) + copy, class_='command')


def data_note(view: View) -> str:
    """Return what was evaluated and what was left out of it."""
    data = view.results['data']
    names = data.get('left_out') or []
    if not names:
        return ''
    items = ''.join(tag('li', escape(name)) for name in names)
    summary = tag('summary', f'{plural(len(names), "file")} of the data left out')
    return tag('details', summary + tag('ul', items))


def _head(*names: str) -> str:
    cells = ''.join(tag('th', escape(name), scope='col') for name in names)
    return tag('thead', tag('tr', cells))
