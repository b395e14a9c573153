"""Learning rates over a run."""

import math

from .config import OptimiserSettings


def learning_rate(optimiser: OptimiserSettings, step: int, steps: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to ``floor`` of it, or constant."""
    peak, warm_up, floor = optimiser.learning_rate, optimiser.warm_up, optimiser.floor
    if step < warm_up:
        return peak * (step + 1) / warm_up
    if optimiser.schedule == 'constant':
        return peak
    done = (step - warm_up) / max(1, steps - warm_up)
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)
