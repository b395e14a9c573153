"""What fusion costs on this machine: interleaved rounds over real images."""

import itertools
import platform
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date

import numpy as np

from ..host.machine import cpu_name
from .contenders import Contender
from .measure import Meter, Sources

TIMED = 'classical', 'learned'  # sources of what is timed
_ROUNDS = 15


def interleave(
    calls: Mapping[Hashable, Callable[[], object]], rounds: int
) -> dict[Hashable, np.ndarray]:
    """{name: milliseconds of each round, (rounds, 2): on the wall and of processor time}.

    Every round makes all calls, so that they share the weather; one more before them warms up.
    """
    taken: dict = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            wall, processor = time.perf_counter(), time.process_time()
            call()
            if number:
                spent = time.perf_counter() - wall, time.process_time() - processor
                taken[name].append(spent)
    return {name: 1e3 * np.array(values) for name, values in taken.items()}


def time_fusion(contenders: Sequence[Contender], meter: Meter, samples: Sequence[Sources]) -> dict:
    """Milliseconds per image of each fuser, one thread; not for sources and ready images.

    samples: decoded pairs, taken in turn.
    """
    methods = [c for c in contenders if c.source in TIMED]
    turn = {c.name: itertools.cycle(samples) for c in methods}
    calls = {c.name: lambda c=c: meter.fuse(c, '', next(turn[c.name])) for c in methods}
    taken = {name: values[:, 0] for name, values in interleave(calls, _ROUNDS).items()}
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
