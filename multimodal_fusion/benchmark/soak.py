"""The node under load for long: pairs that were lost, and whether its memory grows."""

import sys
import time

from .pauses import Pauses
from .rig import Bench
from .statistics import percentiles, slope_per_hour

_CHUNK = 10.0  # seconds of a soak between two looks at the memory
_NEAR = 0.1  # seconds around the sending of a pair, in which a pause may have cost it
_COUNTS = ('rgb frames', 'thermal frames', 'pairs', 'replaced by newer', 'fused')
_WARM = 120.0  # seconds of a soak before its memory counts
_STALLS = (0.8,) * 5  # seconds that the node is held up meanwhile; Fast DDS may give up after 1


def soak(bench: Bench, rate: float, minutes: float) -> dict:
    """The node under load for minutes: lost pairs, and how its memory grows after warm-up.

    While it warms up the node is held up, so that queues and shared memory hold the most they ever
    will: what grows afterwards is not a queue that happens to be longer than before.
    """
    before = bench.children['node'].memory()
    start = time.monotonic()
    bench.play('node', rate, _CHUNK)
    for seconds in _STALLS:
        bench.stall('node', rate, seconds)
    warm = min(_WARM, 20.0 * minutes)
    while time.monotonic() - start < warm:
        bench.play('node', rate, _CHUNK)
    counts = _counts(bench)
    lost, sent, latencies = [], 0, []
    series: list[tuple[float, ...]] = []  # seconds, then MB as in `before`
    begin = time.monotonic()
    with Pauses() as pauses:
        while not series or time.monotonic() - begin < 60 * minutes:
            played = bench.play('node', rate, _CHUNK)
            sent += played.sent
            latencies += played.latencies
            for moment in played.lost_at:
                pause = pauses.longest(moment - _NEAR, moment + _NEAR)
                lost.append([round(moment - start, 1), round(pause * 1e3, 1)])
            memory, now = bench.children['node'].memory(), time.monotonic() - start
            series.append((now, *memory.values()))
            told = f'{sent} sent, {len(lost)} lost, {memory["private"]:.2f} MB private'
            print(f'{now / 60:6.1f} min, {told}', file=sys.stderr)
    times, *memories = zip(*series, strict=True)
    kept = dict(zip(before, memories, strict=True))
    return {
        'pair': str(bench.pair),
        'rate Hz': rate,
        'minutes': minutes,
        'sent': sent,
        'lost': len(lost),
        'lost at s, longest pause near it ms': lost,
        'pauses': {
            'priority': pauses.priority,
            'number': len(pauses.found),
            'longest ms': round(max((b - a for a, b in pauses.found), default=0.0) * 1e3, 1),
        },
        'counted by the node': {name: n - counts[name] for name, n in _counts(bench).items()},
        'latency ms': percentiles(latencies),
        'memory MB': {
            name: {
                'at the start': round(before[name], 1),
                'warm': round(values[0], 1),
                'last': round(values[-1], 1),
            }
            for name, values in kept.items()
        },
        'slope MB/h': {
            name: round(slope_per_hour(times, values), 2) for name, values in kept.items()
        },
        'series': [[round(x, 3) for x in row] for row in series],
    }


def _counts(bench: Bench) -> dict[str, int]:
    """Of the node since it started, once it has counted all that was sent."""
    before: dict[str, int] = {}
    while True:
        figures = bench.figures()
        counts = {name: int(figures[name]) for name in _COUNTS}
        if counts == before:
            return counts
        before = counts


def soak_text(s: dict) -> str:
    """A few lines."""
    counted = ', '.join(f'{name} {n}' for name, n in s['counted by the node'].items())
    pauses = s['pauses']
    lines = [
        f'{s["pair"]} at {s["rate Hz"]:g} Hz for {s["minutes"]:g} minutes: {s["sent"]} sent, '
        f'{s["lost"]} lost, {s["latency ms"]["median"]} ms median, {s["latency ms"]["p99"]} p99',
        f'the node counted: {counted}',
        f'{pauses["number"]} times a processor did not run a thread that was ready, of '
        f'{pauses["priority"]} priority, for 10 ms and more, at most {pauses["longest ms"]} ms',
    ]
    for moment, pause in s['lost at s, longest pause near it ms']:
        lines.append(f'a pair was lost at {moment} s, near a pause of {pause} ms')
    for name, m in s['memory MB'].items():
        lines.append(
            f'{name}: {m["at the start"]} MB at the start, {m["warm"]} warm, {m["last"]} at the '
            f'end: {s["slope MB/h"][name]:+} MB/h'
        )
    return '\n'.join(lines)
