"""The report of a collection of bags: one HTML file that opens however many bags there are."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.whole_files import whole_file
from .charts.svg import drawing, line, tag, text
from .page import render
from .view import View

if TYPE_CHECKING:
    from ..collection.measurements import Bad

MOST = 200  # bags that are shown one by one, the worst first; the table has all
CELLS = 240  # of a bag in the map of losses, at most
_SEEN = 0.01  # share of frames lost, from which a cell shows it
_LABELS = 8  # of an axis, at most
_CELL, _ROW, _NAMES = 5.0, 14.0, 260.0


def write_collection(
    path: Path,
    results: dict[str, Any],
    timing: dict[str, Any],
    cost: dict[str, Any],
    images: Sequence[dict[str, Any]],
    worst: Sequence[Bad],
) -> None:
    """results, timing: as of a single run, and what `collection.totals` adds. images: those that
    the distributions show, as in the results of a single run. cost: a line each."""
    view = View({**results, 'images': images}, timing)
    told = _Told(results, tuple(cost.items()), worst)
    sections = [
        ('summary', 'Summary', True),
        ('distributions', 'Distributions', bool(images)),
        ('cost', 'Cost and quality', True),
        ('light', 'By light', True),
        ('day', 'By day', bool(told.days)),
        ('hour', 'By hour', bool(results['by_hour'])),
        ('losses', 'Where frames were lost', True),
        ('sources', f'By {told.kind}', True),
        ('worst', 'Worst stretches', bool(worst)),
        ('left-out', 'Left out', told.any_left_out),
        ('run', 'What the run took', True),
        ('definitions', 'Definitions', True),
        ('origin', 'Origin', True),
    ]
    html = render(view, sections, collection=told, data={'pictures': None, 'curves': None})
    with whole_file(path) as temporary:
        temporary.write_text(html, encoding='utf-8')


class _Told:
    """What the templates show of a collection."""

    def __init__(
        self, results: dict[str, Any], cost: tuple[tuple[str, Any], ...], worst: Sequence[Bad]
    ):
        of = results['of']
        self.kind, self.count, self.cost = of.replace('_', ' '), results[f'{of}s'], cost
        self.model, self.columns = results['judged'].rpartition(':')[0], shown_metrics(results)
        self.share = share
        self.lights = [('all', results['all']), *results['by_light'].items()]
        groups = sorted(results[f'by_{of}'].items(), key=lambda item: (-share(item[1]), item[0]))
        self.sources, self.hidden = groups[:MOST], max(0, len(groups) - MOST)
        self.left_out = sorted(results['left_out'].items())[:MOST]
        self.any_left_out = bool(self.left_out or results['failed'] or results['unusable']['pairs'])
        self.loss_map = loss_map({name: results['map'].get(name, []) for name, _ in self.sources})
        self.days, self.hours = (
            trend(groups, results['judged'], place) if len(groups) > 1 else ''
            for groups, place in ((results['by_day'], _day), (results['by_hour'], int))
        )
        self.worst = [(bad, base64.b64encode(bad.jpeg).decode()) for bad in worst]


def share(group: dict[str, Any]) -> float:
    """Of frames that were lost: over them and the frames of pairs."""
    return group['lost'] / max(1, group['lost'] + 2 * group['pairs'])


def shown_metrics(results: dict[str, Any]) -> list[str]:
    """MODEL:METRIC of the model that is judged."""
    model, _, judged = results['judged'].rpartition(':')
    names = dict.fromkeys((judged, *(metric['name'] for metric in results['metrics'])))
    return [f'{model}:{metric}' for metric in names][:8]


def loss_map(strips: dict[str, list[list[int]]]) -> str:
    """A row a bag, along its time: how much of it was lost. strips: {bag: [number, frames, lost]},
    a stretch each."""
    rows, wide = [], 0
    for y, (bag, stretches) in enumerate(strips.items()):
        group = -(-len(stretches) // CELLS) or 1
        cells = []
        for x in range(0, len(stretches), group):
            part = stretches[x : x + group]
            frames, lost = sum(p[1] for p in part), sum(p[2] for p in part)
            of = lost / frames if frames else 0.0
            cells.append(
                tag(
                    'rect',
                    tag('title', escape(f'{bag}, stretch {part[0][0]}: {lost} of {frames} lost')),
                    x=_NAMES + x // group * _CELL,
                    y=y * _ROW,
                    width=_CELL - 0.5,
                    height=_ROW - 1,
                    fill='var(--freeze)' if of > _SEEN else 'var(--grid)',
                    fill_opacity=f'{min(1.0, 0.15 + 2 * of):.2f}' if of > _SEEN else '1',
                )
            )
        wide = max(wide, len(cells))
        name = bag if len(bag) <= 38 else f'…{bag[-37:]}'
        rows.append(
            text(_NAMES - 6, y * _ROW + 10, name, 'tick', text_anchor='end') + ''.join(cells)
        )
    return drawing(
        _NAMES + max(wide, 40) * _CELL,
        max(1, len(rows)) * _ROW + 4,
        'Where frames were lost',
        ''.join(rows),
    )


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def trend(groups: dict[str, dict[str, Any]], judged: str, place: Callable[[str], int]) -> str:
    """The judged metric and the light over time. groups: by the name of a time. place: of that name
    on the axis."""
    width, height, left = 720.0, 180.0, 44.0
    first, last = place(min(groups, key=place)), place(max(groups, key=place))

    def x(name: str) -> float:
        return left + (place(name) - first) / max(1, last - first) * (width - left - 40)

    def curve(values: list[tuple[str, float]], class_: str) -> str:
        if not values:
            return ''
        low, high = min(v for _, v in values), max(v for _, v in values)
        span = high - low or 1.0
        places = [(x(n), height - 30 - (v - low) / span * (height - 60)) for n, v in values]
        marks = ''.join(
            tag(
                'circle',
                tag('title', f'{name}: {value:.4g}'),
                cx=at,
                cy=y,
                r=3.0,
                class_=class_,
                fill='var(--c)',
            )
            for (at, y), (name, value) in zip(places, values, strict=True)
        )
        joined = ''.join(
            line(*a, *b, f'curve {class_}', stroke='var(--c)')
            for a, b in itertools.pairwise(places)
        )
        return joined + marks

    items = list(groups.items())
    metric = [(n, g['metrics'][judged]['mean']) for n, g in items if judged in g['metrics']]
    light = [(n, g['luma']) for n, g in items if g['luma'] is not None]
    labelled = list(groups)[:: -(-len(groups) // _LABELS)]
    axis = ''.join(text(x(n), height - 8, n, text_anchor='middle') for n in labelled)
    return drawing(width, height, 'Over time', curve(light, 'b1') + curve(metric, 'a0') + axis)
