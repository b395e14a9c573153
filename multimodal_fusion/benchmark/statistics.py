"""Figures from measured series."""

import math
from collections.abc import Callable, Sequence

import numpy as np


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """median, p95 and p99, to two decimals; NaN of nothing."""
    names = {'median': 50, 'p95': 95, 'p99': 99}
    if not len(values):
        return dict.fromkeys(names, math.nan)
    return {name: round(float(np.percentile(values, p)), 2) for name, p in names.items()}


def slope_per_hour(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Least-squares slope of values over time, in units an hour; NaN of fewer than three."""
    if len(seconds) < 3:
        return math.nan
    return float(np.polyfit(np.asarray(seconds) - seconds[0], values, 1)[0]) * 3600.0


def highest_rate(
    lossless: Callable[[float], bool], start: float, limit: float, tolerance: float = 0.1
) -> float:
    """The highest rate from ``start`` that loses nothing: doubled until it does, then halved in.

    lossless: tries a rate. start, limit: Hz. tolerance: relative width at which the search ends.
    Returns a rate that was tried without loss; 0 if even ``start`` loses.
    """
    good, bad = 0.0, math.inf
    rate = start
    while bad > good * (1 + tolerance):
        if lossless(rate):
            good = rate
            if rate >= limit:
                break
        else:
            bad = rate
            if good == 0:
                break
        rate = min(2 * good, limit) if math.isinf(bad) else (good + bad) / 2
    return good
