"""The detection section of the report: a table, and what only the fused image shows."""

from __future__ import annotations

from html import escape

from .charts.svg import tag
from .view import View

COLUMNS = (
    ('AP50', 'mAP@.5'),
    ('AP', 'mAP@.5:.95'),
    ('recall', 'recall'),
    ('precision', 'precision'),
)


def detection_table(view: View) -> str:
    """Rows of contenders, for each class the four figures."""
    detection = view.results['detection']
    rows = detection['rows']
    classes = list(next(iter(rows.values())))
    counts = next(iter(rows.values()))
    first = tag('th', 'Input', rowspan=2) + ''.join(
        tag('th', f'{escape(name)}, {counts[name]["boxes"]} boxes', colspan=len(COLUMNS))
        for name in classes
    )
    second = ''.join(tag('th', label) for _ in classes for _, label in COLUMNS)
    body = ''
    for name, scores in rows.items():
        cells = tag('td', escape(name))
        for class_ in classes:
            cells += ''.join(
                tag('td', show(scores[class_][key]), class_='num') for key, _ in COLUMNS
            )
        body += tag('tr', cells)
    return tag('table', tag('thead', tag('tr', first) + tag('tr', second)) + tag('tbody', body))


def show(value: float | None) -> str:
    return '–' if value is None or value != value else f'{value:.3f}'


def detection_explanation(view: View) -> str:
    d = view.results['detection']
    return (
        f'Detector {tag("b", escape(d["detector"]))} on {d["images"]} labelled images. Average '
        'precision by COCO’s evaluator; recall and precision at IoU 0.5 of detections that score '
        f'at least {d["score"]:g}.'
    )


def only_fused_pictures(pictures: list[tuple[str, str]]) -> str:
    """pictures: (caption, data URI) of RGB, thermal and fused side by side, with boxes."""
    if not pictures:
        return tag('p', 'No labelled object is found in the fused image alone.')
    shown = ''
    for caption, source in pictures:
        image = tag('img', src=source, alt=caption, style='width:100%').removesuffix('</img>')
        shown += tag('figure', image + tag('figcaption', escape(caption)))
    return tag('h3', 'Found in the fused image only') + shown
