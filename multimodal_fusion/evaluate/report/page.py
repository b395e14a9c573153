"""The page: its sections put together into one HTML file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from .charts.svg import tag
from .charts.timeline import curve_values
from .controls import facts
from .gallery import gallery
from .pictures import encode
from .sections import Section, sections
from .view import Model, View, plural


def write_report(
    path: Path,
    results: dict,
    timing: dict,
    picture: Callable[[str, str], np.ndarray],
    found: Sequence[tuple[str, np.ndarray]] = (),
) -> None:
    """
    Write the report: one HTML file that needs nothing else, the same bytes for the same input.

    picture: (stem, name) -> uint8, (H, W, 3) BGR or (H, W); name is 'visible', 'thermal' or a
    model's.  It is called once for each of at most 60 pictures, those of one stem in a row.
    found: captions and pictures of what a detector finds in the fused image only.
    """
    view = View(results, timing)
    viewer, pictures = gallery(view, picture)
    shown = [(caption, encode(image)) for caption, image in found]
    parts = sections(view, viewer, bool(pictures), shown)
    curves = curve_values(view) if view.sequence and view.images else None
    page = Template(_file('page.html')).substitute(
        title=escape(results['data']['name']),
        style=_file('report.css'),
        script=_file('report.js'),
        data=_json({'pictures': pictures, 'curves': curves}),
        header=_header(view),
        nav=''.join(tag('a', part.title, href=f'#{part.id}') for part in parts),
        sections='\n'.join(_section(part) for part in parts),
    )
    Path(path).write_text(page, encoding='utf-8')


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding='utf-8')


def _json(value) -> str:
    """JSON that can stand in a script element whatever names it holds."""
    text = json.dumps(value, ensure_ascii=True, separators=(',', ':'), allow_nan=False)
    return text.replace('&', '\\u0026').replace('<', '\\u003c').replace('>', '\\u003e')


def _section(part: Section) -> str:
    head = tag('h2', part.title)
    if part.explanation:
        head += tag('p', part.explanation, class_='lead')
    return tag('section', head + part.content, id=part.id)


def _header(view: View) -> str:
    results, data = view.results, view.results['data']
    models, count = plural(len(view.models), 'model'), plural(data['images'], 'image')
    what = f'Quality and cost of {models} fusing thermal and visible images, on {count}'
    if view.sequence:
        what += f' sampled from a bag of {view.sequence["duration"]:.1f} s'
    head = tag('h1', escape(data['name'])) + tag('p', what + '.', class_='what')
    name, text = escape(results['definition']), escape(results['definition_text'].rstrip('.'))
    items = [('Definition', f'{tag("b", name)}: {text}')]
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
        items.append(('First that is no baseline', f'{named(own[0])}, place {place}'))
    return items


def _by(ranks: dict) -> Callable[[Model], float]:
    return lambda model: ranks[model.name]
