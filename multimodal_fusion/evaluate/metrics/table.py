"""The table of metrics and definitions, the evaluation of one triple, and means over many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from . import gradient, information, structural, visual_fidelity
from .shared import SourcePair, Triple

#: What each named definition stands for.
DEFINITIONS: dict[str, str] = {
    'ours': "this package's definitions, textbook form",
    'cddfuse': 'numbers as in the papers of CDDFuse, EMMA and MMDRFuse',
    'vifb': 'numbers as in the VIFB benchmark and the tables of MobileFuse',
}

Compute = Callable[[Triple], float]


@dataclass(frozen=True)
class Metric:
    """
    One metric.

    definitions: the function per definition that has this metric; smallest: least height and
    width in pixels.
    """

    name: str
    label: str
    higher_is_better: bool
    definitions: Mapping[str, Compute]
    smallest: int = 2

    @property
    def arrow(self) -> str:
        """Return the arrow tables put behind the name."""
        return '\u2191' if self.higher_is_better else '\u2193'


def _same(compute: Compute, *names: str) -> dict[str, Compute]:
    return {name: compute for name in ('ours', *names)}


def _table() -> dict[str, Metric]:
    both = ('cddfuse', 'vifb')
    window = structural.GAUSSIAN_SIDE
    metrics = [
        Metric('EN', 'entropy, bit', True, _same(information.entropy, *both)),
        Metric('SD', 'standard deviation', True, _same(structural.standard_deviation, *both)),
        Metric(
            'SF',
            'spatial frequency',
            True,
            {
                **_same(gradient.spatial_frequency, 'cddfuse'),
                'vifb': gradient.spatial_frequency_vifb,
            },
        ),
        Metric(
            'AG',
            'average gradient',
            True,
            {
                **_same(gradient.average_gradient, 'cddfuse'),
                'vifb': gradient.average_gradient_vifb,
            },
        ),
        Metric('EI', 'edge intensity', True, _same(gradient.edge_intensity, 'vifb')),
        Metric('MI', 'mutual information, nat', True, _same(information.mutual_information, *both)),
        Metric('FMI', 'gradient feature information', True, _same(information.feature_information)),
        Metric('CE', 'cross entropy, bit', False, _same(information.cross_entropy, 'vifb')),
        Metric('CC', 'correlation', True, _same(structural.correlation, 'cddfuse')),
        Metric(
            'SCD',
            'sum of correlations of differences',
            True,
            _same(structural.difference_correlation, 'cddfuse'),
        ),
        Metric(
            'VIF',
            'visual information fidelity',
            True,
            _same(visual_fidelity.visual_information_fidelity, 'cddfuse'),
            smallest=visual_fidelity.SMALLEST,
        ),
        Metric('Qabf', 'edge preservation', True, _same(gradient.edge_preservation, *both)),
        Metric('Nabf', 'edge artefacts', False, _same(gradient.edge_artefacts)),
        Metric(
            'SSIM',
            'structural similarity, range 255',
            True,
            {
                'ours': structural.structural_similarity,
                'vifb': structural.structural_similarity_vifb,
            },
            smallest=window,
        ),
        Metric(
            'SSIM_r2',
            'structural similarity, range 2',
            True,
            _same(structural.structural_similarity_range_2, 'cddfuse'),
            smallest=window,
        ),
        Metric('MSE', 'mean squared error', False, _same(structural.mean_squared_error, 'cddfuse')),
        Metric(
            'RMSE',
            'root mean squared error',
            False,
            {
                'ours': structural.root_mean_squared_error,
                'vifb': structural.root_mean_squared_error_vifb,
            },
        ),
        Metric(
            'PSNR',
            'peak signal-to-noise ratio, dB',
            True,
            {
                'ours': structural.peak_ratio,
                'cddfuse': structural.peak_ratio_cddfuse,
                'vifb': structural.peak_ratio_vifb,
            },
        ),
    ]
    return {metric.name: metric for metric in metrics}


#: Every metric of one fused image, in the order tables print them.
METRICS: dict[str, Metric] = _table()


def metric_names(definition: str = 'ours', shape: tuple[int, int] | None = None) -> list[str]:
    """Return the metrics a definition has and, if `shape` is given, images of it can have."""
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
    """
    Return the metrics of a Triple by name; `metrics` None means all the definition has.

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
    """
    Return the metrics of one fused image by name.

    thermal, visible luma, fused luma: uint8, (H, W), one size.  metrics: names to compute, None
    for all that the definition has.  Several fused images of one scene: build a SourcePair once
    and call `evaluate(Triple(sources, fused))` for each.
    """
    return evaluate(Triple(SourcePair(thermal, visible), fused), definition, metrics)
