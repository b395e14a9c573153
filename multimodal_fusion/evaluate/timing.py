"""What fusion costs on this machine: interleaved rounds over real images."""

import platform
import time
from collections.abc import Sequence
from datetime import date

import numpy as np

from ..machine import cpu_name
from .contenders import Contender
from .measure import Meter, Sources

_ROUNDS = 15


def time_fusion(contenders: Sequence[Contender], meter: Meter, samples: Sequence[Sources]) -> dict:
    """Milliseconds per image of each fuser, one thread; not for sources and ready images.

    samples: decoded pairs; every round goes through all fusers, so that they share the weather.
    """
    methods = [c for c in contenders if c.source in ('classical', 'learned')]
    taken: dict[str, list[float]] = {c.name: [] for c in methods}
    for number in range(_ROUNDS + 1):
        sources = samples[number % len(samples)]
        for contender in methods:
            start = time.perf_counter()
            meter.fuse(contender, '', sources)
            if number:  # the first round warms up
                taken[contender.name].append((time.perf_counter() - start) * 1e3)
    sizes = {s.thermal.shape for s in samples}
    return {
        'machine': f'{platform.machine()}, {cpu_name()}',
        'date': date.today().isoformat(),
        'threads': 1,
        'sizes': sorted(f'{w}x{h}' for h, w in sizes),
        'milliseconds': {
            name: {
                'median': round(float(np.median(values)), 3),
                'p95': round(float(np.percentile(values, 95)), 3),
            }
            for name, values in taken.items()
        },
    }
