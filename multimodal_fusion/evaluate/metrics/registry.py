"""What a metric is, and which there are: a function becomes one by `metric`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .shared import Triple

#: What each named definition stands for.
DEFINITIONS: dict[str, str] = {
    'ours': "this package's definitions, textbook form",
    'cddfuse': 'numbers as in the papers of CDDFuse, EMMA and MMDRFuse',
    'vifb': 'numbers as in the VIFB benchmark and the tables of MobileFuse',
}

#: The order in which tables print them; others follow in the order they were defined.
_ORDER = (
    'EN', 'SD', 'SF', 'AG', 'EI', 'MI', 'FMI', 'CE', 'CC', 'SCD', 'VIF', 'Qabf', 'Nabf', 'SSIM',
    'SSIM_r2', 'MSE', 'RMSE', 'PSNR', 'KC', 'KC_thermal', 'KC_visible', 'amplified', 'saturated',
)  # fmt: skip

Compute = Callable[[Triple], float]


@dataclass(frozen=True)
class Metric:
    """One metric.

    range: least and greatest value there can be, by our definition; definitions: the function per
    definition that has this metric; smallest: least height and width in pixels; ranked: it counts
    in average ranks, unless it only explains another metric.
    """

    name: str
    label: str
    higher_is_better: bool
    range: tuple[float, float]
    smallest: int = 2
    ranked: bool = True
    definitions: dict[str, Compute] = field(default_factory=dict)

    @property
    def arrow(self) -> str:
        """The arrow tables put behind the name."""
        return '\u2191' if self.higher_is_better else '\u2193'


_METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    label: str,
    *,
    better: str,
    range: tuple[float, float],
    definitions: tuple[str, ...] = ('ours',),
    smallest: int = 2,
    ranked: bool = True,
) -> Callable[[Compute], Compute]:
    """Make a function of a Triple a metric, by our definition and those that agree with it.

    better: `higher` or `lower`.  The function's docstring holds the equation.
    """

    def register(compute: Compute) -> Compute:
        higher = {'higher': True, 'lower': False}[better]
        made = Metric(name, label, higher, range, smallest, ranked)
        made.definitions.update(dict.fromkeys(definitions, compute))
        _METRICS[name] = made
        return compute

    return register


def variant(name: str, definition: str) -> Callable[[Compute], Compute]:
    """Make a function what another definition calls a metric that is there already."""

    def register(compute: Compute) -> Compute:
        _METRICS[name].definitions[definition] = compute
        return compute

    return register


def metrics() -> dict[str, Metric]:
    """Every metric by name, in the order tables print them."""
    known = [name for name in _ORDER if name in _METRICS]
    return {name: _METRICS[name] for name in dict.fromkeys((*known, *_METRICS))}
