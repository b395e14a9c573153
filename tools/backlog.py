"""What the room for waiting pairs loses and costs: arrivals, pauses and fusing times, simulated.

    python -m tools.backlog

30 pairs a second with a jitter of 2 ms; a pause holds the fuser up, as a busy machine does.
"""

import argparse

import numpy as np

from multimodal_fusion.pipeline.load import Backlog

PERIOD, SECONDS = 1 / 30, 600


def simulate(backlog: Backlog, service: float, pause: float, seed: int = 1) -> tuple[float, float]:
    """(pairs lost of a hundred, 99th percentile of latency in ms). service, pause: s; a pause every
    two seconds."""
    random = np.random.default_rng(seed)
    count = int(SECONDS / PERIOD)
    arrivals = np.arange(count) * PERIOD + random.normal(0, 0.002, count).clip(-0.01, 0.01)
    pauses = iter(np.arange(1.0, SECONDS, 2.0) + random.uniform(0, 0.5, len(range(300))))
    held, lost, latencies, free = next(pauses), 0, [], 0.0

    def work(until: float) -> None:
        """The fuser goes on until a time."""
        nonlocal free, held
        while len(backlog):
            if held <= free:
                free, held = max(free, held) + pause, next(pauses, np.inf)
            if free > until:
                return
            came = backlog.take()
            free = max(free, came) + service * random.uniform(0.9, 1.3)
            latencies.append(free - came)

    for arrival in arrivals:
        work(arrival)
        if held <= arrival:
            free, held = max(free, held) + pause, next(pauses, np.inf)
        lost += backlog.put(arrival, arrival)
    return 100 * lost / count, 1000 * float(np.percentile(latencies, 99))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print('| fusing | pause every 2 s | newest wins: lost, latency | room for 4, 150 ms |')
    print('|---:|---:|---:|---:|')
    for service in (0.002, 0.01, 0.025, 0.04, 0.1):
        for pause in (0.0, 0.05, 0.1, 0.2):
            cells = [
                '{:.1f}%, {:.0f} ms'.format(*simulate(backlog, service, pause))
                for backlog in (Backlog(), Backlog(4, 0.15))
            ]
            print(f'| {1000 * service:.0f} ms | {1000 * pause:.0f} ms | {cells[0]} | {cells[1]} |')


if __name__ == '__main__':
    main()
