"""What the report shows of results and timing: models and metrics in order, marks, formats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

COLOURS = 8  # as many as report.css has, of each kind

_FLICKER = {
    'name': 'flicker',
    'label': 'flicker, grey levels',
    'higher_is_better': False,
    'text': 'Mean change of the fused image from frame to frame, in grey levels over blocks of 8x8 '
    'pixels, beyond the larger change of the two inputs; over the sequence, not per image.',
}


def finite(value) -> float | None:
    """A number as float; None for None, NaN and infinities."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def decimals_for(values: Iterable[float | None]) -> int:
    """How many decimals show the largest of some values with about four digits."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if largest == 0:
        return 3
    exponent = math.floor(math.log10(largest))
    return max(0, 3 - exponent) if exponent >= 0 else min(8, 2 - exponent)


def number(value: int) -> str:
    """A whole number with thin spaces: '12 000'."""
    return f'{value:,}'.replace(',', '\u202f')


def plural(count: int, noun: str) -> str:
    """Return '1 image', '2 images', '12 000 images'."""
    return f'{number(count)} {noun}' + ('' if count == 1 else 's')


def show_milliseconds(value: float) -> str:
    """A time with about three digits: 0.065, 3.23, 49.9, 111."""
    return f'{value:.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}'


@dataclass(frozen=True)
class Model:
    """One row of the tables. style: its colour in every chart, a class of report.css."""

    name: str
    kind: str
    source: str
    parameters: int
    sha256: str | None
    baseline: bool
    style: str


@dataclass(frozen=True)
class MetricView:
    """One column of the tables."""

    name: str
    label: str
    higher_is_better: bool
    text: str
    decimals: int

    @property
    def arrow(self) -> str:
        """The arrow behind the name: up where more is better."""
        return '↑' if self.higher_is_better else '↓'

    def show(self, value: float | None) -> str:
        """A value with this metric's decimals, a dash where there is none."""
        return '–' if value is None else f'{value + 0.0:.{self.decimals}f}'


@dataclass(frozen=True)
class Score:
    """A model's mean in one metric, its 95 % interval and how many images had a value or none."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    count: int = 0
    left_out: int = 0


class View:
    """Results and timing, read the way every part of the report needs them."""

    def __init__(self, results: Mapping, timing: Mapping | None = None):
        self.results = results
        self.timing = timing or {}
        self.images: list[Mapping] = results['images']
        self.sequence: Mapping | None = results.get('sequence')

    @cached_property
    def models(self) -> list[Model]:
        """The models, baselines last, otherwise in the order given."""
        ordered = sorted(self.results['models'], key=lambda model: bool(model.get('baseline')))
        seen = {True: 0, False: 0}
        models = []
        for model in ordered:
            baseline = bool(model.get('baseline'))
            style = f'{"b" if baseline else "a"}{seen[baseline] % COLOURS}'
            seen[baseline] += 1
            models.append(
                Model(
                    model['name'],
                    model.get('kind') or '',
                    model.get('source') or '',
                    model.get('parameters') or 0,
                    model.get('sha256'),
                    baseline,
                    style,
                )
            )
        return models

    @cached_property
    def metrics(self) -> list[MetricView]:
        """The metrics of single images."""
        return [self._metric(metric) for metric in self.results['metrics']]

    @cached_property
    def columns(self) -> list[MetricView]:
        """The metrics of the tables: those of images, and flicker for a sequence that has it."""
        known = {metric.name for metric in self.metrics}
        if 'flicker' in known or not (self.sequence and self.sequence.get('flicker')):
            return self.metrics
        return [*self.metrics, self._metric(_FLICKER)]

    def _metric(self, metric: Mapping) -> MetricView:
        name = metric['name']
        means = (self.score(model.name, name).mean for model in self.models)
        return MetricView(
            name,
            metric.get('label') or name,
            metric['higher_is_better'],
            metric.get('text') or '',
            decimals_for(means),
        )

    @cached_property
    def default(self) -> MetricView | None:
        """The metric that plots show first: VIF, or else the first there is."""
        by_name = {metric.name: metric for metric in self.metrics}
        return by_name.get('VIF', self.metrics[0] if self.metrics else None)

    def score(self, model: str, metric: str) -> Score:
        """A model's mean in one metric; without a mean where it has none."""
        entry = self.results['summary'].get(model, {}).get(metric)
        if entry is None:
            flicker = (self.sequence or {}).get('flicker') or {}
            return Score(finite(flicker.get(model))) if metric == 'flicker' else Score()
        return Score(
            *(finite(entry.get(key)) for key in ('mean', 'low', 'high')),
            entry.get('count') or 0,
            entry.get('left_out') or 0,
        )

    def rank(self, model: str, metric: str) -> int | None:
        """A model's rank in one metric, None where it has none."""
        return (self.results.get('ranks') or {}).get(model, {}).get(metric)

    def average_rank(self, model: str) -> float | None:
        """A model's rank averaged over metrics, None where it has none."""
        return finite((self.results.get('average_rank') or {}).get(model))

    @property
    def ranked(self) -> list[Model]:
        """The models that have an average rank, the best first."""
        ranks = {model.name: self.average_rank(model.name) for model in self.models}
        ranked = [model for model in self.models if ranks[model.name] is not None]
        return sorted(ranked, key=lambda model: ranks[model.name] or 0.0)

    def left_out(self) -> dict[str, list[str]]:
        """By metric, of which models how many images have no value: 'net 1 of 6'."""
        found: dict[str, list[str]] = {}
        for metric in self.metrics:
            for model in self.models:
                score = self.score(model.name, metric.name)
                if score.left_out:
                    total = score.left_out + score.count
                    sentence = f'{model.name} {score.left_out} of {total}'
                    found.setdefault(metric.name, []).append(sentence)
        return found

    def milliseconds(self, model: str) -> tuple[float, float] | None:
        """The median and 95th percentile of a model's time, None where it wasn't timed."""
        entry = (self.timing.get('milliseconds') or {}).get(model) or {}
        median, p95 = finite(entry.get('median')), finite(entry.get('p95'))
        return None if median is None else (median, median if p95 is None else p95)

    def values(self, model: str, metric: str) -> list[float | None]:
        """A model's values in one metric, one an image, None where it has none."""
        return [
            finite(((image.get('values') or {}).get(model) or {}).get(metric))
            for image in self.images
        ]

    def marks(self, metric: MetricView) -> dict[str, str]:
        """Which models are 'best' and 'second' in one metric."""
        names = [model.name for model in self.models]
        ranked = {name for name in names if self.rank(name, metric.name) is not None}
        means = {name: self.score(name, metric.name).mean for name in names}
        return mark(
            {name: mean for name, mean in means.items() if not ranked or name in ranked},
            metric.higher_is_better,
        )


def mark(values: Mapping[str, float | None], higher_is_better: bool) -> dict[str, str]:
    """Which of some values are 'best' and 'second'.

    Equal values share a place, as in sport: where two are best, none is second.  One value alone
    isn't marked.
    """
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < 2:
        return {}
    steps = sorted(set(known.values()), reverse=higher_is_better)
    marks = {name: 'best' for name, value in known.items() if value == steps[0]}
    if len(marks) == 1:
        marks |= {name: 'second' for name, value in known.items() if value == steps[1]}
    return marks
