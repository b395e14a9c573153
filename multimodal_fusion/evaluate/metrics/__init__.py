"""Fusion metrics under named definitions (ours | cddfuse | vifb).

>>> scores = evaluate_triple(thermal, visible_luma, fused_luma)           # doctest: +SKIP
>>> sources = SourcePair(thermal, visible_luma)                           # doctest: +SKIP
>>> for fused in candidates:                                              # doctest: +SKIP
...     images = Triple(sources, fused)
...     ours, vifb = evaluate(images), evaluate(images, 'vifb')
"""

from .registry import DEFINITIONS, Metric, metric, variant
from .sequence import Flicker, flicker
from .shared import SourcePair, Triple
from .table import (
    METRICS,
    OWN,
    evaluate,
    evaluate_triple,
    metric_names,
    own_metric,
)

__all__ = [
    'DEFINITIONS',
    'METRICS',
    'OWN',
    'Flicker',
    'Metric',
    'SourcePair',
    'Triple',
    'evaluate',
    'evaluate_triple',
    'flicker',
    'metric',
    'metric_names',
    'own_metric',
    'variant',
]
