"""Which metrics an image can have, and their evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ...errors import UserError
from ...host.plugins import named
from . import (  # noqa: F401 (they register)
    contrast,
    gradient,
    information,
    structural,
    visual_fidelity,
)
from .registry import DEFINITIONS, Metric, metric, metrics
from .shared import SourcePair, Triple

#: Every metric of one fused image, in the order tables print them.
METRICS: dict[str, Metric] = metrics()

#: Where metrics of one's own come from, by name.
OWN: dict[str, str] = {}


def own_metric(text: str) -> str:
    """The name of a metric of one's own, ``FILE.py:NAME``, which is known from then on.

    NAME is a function of a `Triple`, made a metric by `metric` or plain; a plain one is called
    NAME, and higher is better. Raises UserError.
    """
    compute = named(text, {}, 'metric')
    made = [n for n, m in metrics().items() if compute in m.definitions.values()]
    name = made[0] if made else text.rpartition(':')[2]
    if not made:
        if not callable(compute):
            raise UserError(f'the metric {text} is no function of a Triple')
        metric(name, name, better='higher', range=(-math.inf, math.inf))(compute)
    METRICS[name], OWN[name] = metrics()[name], text
    return name


def metric_names(definition: str = 'ours', shape: tuple[int, int] | None = None) -> list[str]:
    """The metrics a definition has and, if `shape` is given, images of it can have."""
    if definition not in DEFINITIONS:
        raise ValueError(
            f'definition: expected one of {", ".join(DEFINITIONS)}, got {definition!r}; '
            'name the evaluator whose numbers you compare with'
        )
    return [
        metric.name
        for metric in METRICS.values()
        if definition in metric.definitions and (shape is None or min(shape) >= metric.smallest)
    ]


def evaluate(
    images: Triple, definition: str = 'ours', metrics: Iterable[str] | None = None
) -> dict[str, float]:
    """The metrics of a Triple by name; `metrics` None means all the definition has.

    Call it again with another definition on the same Triple: shared work is not repeated.
    """
    known = metric_names(definition)
    wanted = [metrics] if isinstance(metrics, str) else known if metrics is None else list(metrics)
    for name in wanted:
        if name not in known:
            raise ValueError(
                f'metrics: expected names that definition {definition!r} has '
                f'({", ".join(known)}), got {name!r}; leave it out or choose another definition'
            )
    height, width = images.shape
    for name in wanted:
        least = METRICS[name].smallest
        if min(height, width) < least:
            raise ValueError(
                f'{name}: expected images of at least {least}x{least} pixels, got '
                f'{height}x{width}; use larger images or name the metrics to compute, '
                'metric_names(definition, shape) lists those that fit'
            )
    return {name: METRICS[name].definitions[definition](images) for name in wanted}


def evaluate_triple(
    thermal: np.ndarray,
    visible: np.ndarray,
    fused: np.ndarray,
    definition: str = 'ours',
    metrics: Iterable[str] | None = None,
) -> dict[str, float]:
    """The metrics of one fused image by name.

    thermal, visible luma, fused luma: uint8, (H, W), one size.  metrics: names to compute, None
    for all that the definition has.  Several fused images of one scene: build a SourcePair once
    and call `evaluate(Triple(sources, fused))` for each.
    """
    return evaluate(Triple(SourcePair(thermal, visible), fused), definition, metrics)
