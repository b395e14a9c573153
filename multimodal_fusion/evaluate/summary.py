"""From values per image to means with intervals, ranks, and the results that are written down."""

import csv
import io
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .. import __version__
from ..host.version import commit
from ..runtime.session import onnxruntime_or_none
from .contenders import Contender
from .measure import Result
from .metrics import DEFINITIONS, METRICS

BOOTSTRAP = 2000  # resamples of an interval


@dataclass(frozen=True)
class Protocol:
    """A table to be compared with others. ranked: what the average rank is over; beside: more."""

    definition: str
    ranked: tuple[str, ...]
    beside: tuple[str, ...] = ()


PROTOCOLS = {
    # MobileFuse's tables II and III: ten metrics by VIFB's definitions, average rank over methods.
    'vifb-rank': Protocol(
        'vifb', ('AG', 'CE', 'EI', 'EN', 'MI', 'PSNR', 'RMSE', 'SF', 'SSIM', 'SD')
    ),
    # Ours. MI rewards copying one source, so it is shown without a rank.
    'contrast-rank': Protocol(
        'ours',
        ('EN', 'SD', 'SF', 'SCD', 'VIF', 'Qabf', 'SSIM', 'KC'),
        ('MI', 'KC_thermal', 'KC_visible', 'amplified', 'saturated'),
    ),
}


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% bootstrap interval of the mean: percentiles over resampled images. values: (N,)."""
    if len(values) < 2:
        return (float(values[0]),) * 2 if len(values) else (math.nan,) * 2
    chosen = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAP, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def summarise(results: Sequence[Result], names: Sequence[str], metrics: Sequence[str]) -> dict:
    """{contender: {metric: {mean, low, high, count, left_out}}}; NaN is left out and counted."""
    summary: dict = {}
    for name in names:
        summary[name] = {}
        for metric in metrics:
            values = np.array([result.values[name][metric] for result in results])
            kept = values[~np.isnan(values)]
            low, high = interval(kept)
            summary[name][metric] = {
                'mean': math.fsum(kept) / len(kept) if len(kept) else math.nan,
                'low': low,
                'high': high,
                'count': len(kept),
                'left_out': len(values) - len(kept),
            }
    return summary


def rank(summary: dict, metrics: Sequence[str]) -> tuple[dict, dict]:
    """({contender: {metric: rank}}, {contender: average rank}); 1 is best, equals share a rank.

    A contender without a value for a metric ranks last in it.
    """
    ranks: dict = {name: {} for name in summary}
    for metric in metrics:
        sign = -1 if METRICS[metric].higher_is_better else 1
        score = {
            name: math.inf if math.isnan(s[metric]['mean']) else sign * s[metric]['mean']
            for name, s in summary.items()
        }
        for name in summary:
            ranks[name][metric] = 1 + sum(other < score[name] for other in score.values())
    average = {name: sum(r.values()) / len(r) if r else math.nan for name, r in ranks.items()}
    return ranks, average


def results(
    command: str,
    data: dict,
    measured: Sequence[Result],
    contenders: Sequence[Contender],
    definition: str,
    metrics: Sequence[str],
    protocol: str | None = None,
    sequence: dict | None = None,
    summary: dict | None = None,
) -> dict:
    """Everything that is written to results.json: the same for the same input and code. summary: as
    of `summarise`, where it is of more than what was measured here."""
    good = [result for result in measured if not result.message]
    names = [contender.name for contender in contenders]
    summary = summary or summarise(good, names, metrics)
    # A source alone is no fusion method: it is shown, but takes no part in the ranks.
    methods = {c.name: summary[c.name] for c in contenders if c.source != 'source'}
    ranked = PROTOCOLS[protocol].ranked if protocol else metrics
    counting = [name for name in metrics if name in ranked and METRICS[name].ranked]
    ranks, average = rank(methods, counting)
    times = (sequence or {}).pop('times', {})
    ort = onnxruntime_or_none()
    return finite(
        {
            'package': {'name': 'multimodal_fusion', 'version': __version__, 'commit': commit()},
            'command': command,
            'definition': definition,
            'definition_text': DEFINITIONS[definition],
            'protocol': protocol,
            'versions': {
                'python': platform.python_version(),
                'numpy': np.__version__,
                'opencv': cv2.__version__,
                'onnxruntime': ort.__version__ if ort else None,
            },
            'metrics': [describe(name, definition) for name in metrics],
            'data': data
            | {
                'images': len(good),
                'left_out': [f'{r.stem}: {r.message}' for r in measured if r.message],
            },
            'models': [
                {
                    'name': c.name,
                    'kind': c.kind,
                    'source': c.source,
                    'parameters': c.parameters,
                    'sha256': c.sha256,
                    'baseline': c.baseline,
                }
                for c in contenders
            ],
            'images': [
                {
                    'stem': r.stem,
                    'width': r.shape[1],
                    'height': r.shape[0],
                    **({'time': times[r.stem]} if r.stem in times else {}),
                    'values': r.values,
                }
                for r in good
            ],
            'summary': summary,
            'ranks': ranks,
            'average_rank': average,
            'sequence': sequence,
        }
    )


def describe(name: str, definition: str) -> dict:
    """A metric as the report explains it; the text is its docstring: equation, range, source."""
    metric = METRICS[name]
    text = (metric.definitions[definition].__doc__ or '').strip().removeprefix('Return ')
    return {
        'name': name,
        'label': metric.label,
        'higher_is_better': metric.higher_is_better,
        'text': ' '.join(text.split()),
    }


def finite(value):
    """JSON has no NaN: null takes its place."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def per_image_csv(results_: dict) -> str:
    """One line per image and contender."""
    metrics = [metric['name'] for metric in results_['metrics']]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['stem', 'width', 'height', 'model', *metrics])
    for image in results_['images']:
        for name, values in image['values'].items():
            row = ['' if values[m] is None else repr(values[m]) for m in metrics]
            writer.writerow([image['stem'], image['width'], image['height'], name, *row])
    return text.getvalue()
