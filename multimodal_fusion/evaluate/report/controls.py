"""Small parts that several sections share: choices, lists of facts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from .charts.svg import tag
from .view import MetricView


def choice(name: str, id_: str, options: Iterable[tuple[str, str]], selected: str, **data) -> str:
    """Return a labelled choice; options: (value, text)."""
    items = ''.join(
        tag('option', escape(text), value=value, selected=value == selected)
        for value, text in options
    )
    return tag('label', f'{escape(name)} ' + tag('select', items, id=id_, **data))


def metric_choice(id_: str, metrics: list[MetricView], default: MetricView | None, **data) -> str:
    """Return the choice of a metric by name."""
    options = [(metric.name, f'{metric.name} {metric.arrow}') for metric in metrics]
    return choice('Metric', id_, options, default.name if default else '', **data)


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Return a list of terms and what they are; the second of each is markup."""
    pairs = (tag('div', tag('dt', escape(term)) + tag('dd', value)) for term, value in items)
    return tag('dl', ''.join(pairs), class_='facts')
