"""Learning rates over a run."""

import math

from .config import Config


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to zero at the last step, or constant."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    if config.method and config.method.schedule == 'constant':
        return config.learning_rate
    done = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2
