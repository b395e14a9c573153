"""Simulate pairing: rates, skew, jitter, loss, restarts, lateness; count wrong and lost pairs.

    python -m tools.pairing [--seconds 60] [--full] [--json FILE] [--compare FILE]

Two cameras expose; each stamps with an error of its own (``jitter``, a standard deviation), loses
frames, stops and starts again, and hands frames over late. What a pairing should have made of it:

*   at equal rates one trigger exposes both, and frames exposed together belong together; thermal
    stamps lie a constant ``skew`` after RGB's;
*   at other rates, without skew, frames that are each other's nearest by stamp.

Both among frames that arrived. ``wrong`` is the share of the pairs made that are no such pairs,
``lost`` the share of such pairs that were not made, ``wait`` the 99th percentile of the time from
the arrival of a pair's later frame to the pair. Skew and wait are in periods of the slower stream,
jitter in each stream's own. The slop is one and a half periods of the slower one, so that a wrong
neighbour is never out of reach. Of ``other phase`` (RGB starts again three tenths of a period off)
and ``shake`` (two seconds of a jitter of 0.3) what comes within two seconds after is not counted.

--full: every skew and jitter by every disturbance, not just the rows of docs/node.md. --json keeps
the figures; --compare sets those of another run (of another version, made with PYTHONPATH) beside.
"""

import argparse
import json
import math
import random
from bisect import bisect_left
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from multimodal_fusion.pipeline.pairing import STREAMS, Pairer

RATES = ((30, 30), (9, 9), (30, 29.97), (25, 30), (60, 9), (30, 9))  # RGB, thermal
SKEWS = tuple(k / 10 for k in range(-5, 6))
JITTERS = (0.0, 0.02, 0.05, 0.1, 0.2)
DISTURBANCES = (
    'none',
    *(f'{p} of {where}' for p in ('1%', '5%') for where in ('rgb', 'thermal', 'both')),
    *(f'{kind} of {where}' for kind in ('burst', 'start', 'restart') for where in STREAMS),
    *(f'{where} late' for where in STREAMS),
    'other phase',
    'shake',
)
_SECOND = 10**9
_TRANSPORT = 0.004  # seconds from exposure to arrival
_LATE = 0.25  # seconds more, of a stream that is late


@dataclass(frozen=True)
class Case:
    """One run. rates: RGB and thermal, Hz. skew, jitter: in periods."""

    rates: tuple[float, float]
    skew: float = 0.0
    jitter: float = 0.0
    disturbance: str = 'none'

    @property
    def equal(self) -> bool:
        return self.rates[0] == self.rates[1]

    @property
    def period(self) -> float:
        """Of the slower stream, in seconds."""
        return 1 / min(self.rates)


@dataclass(frozen=True)
class Frame:
    number: int
    stamp: int
    arrival: float


def frames(case: Case, name: str, seconds: float, seed: int) -> list[Frame]:
    """What of a stream arrives, in order of exposure."""
    chance = random.Random(f'{case}{name}{seed}')
    rate = case.rates[name == 'thermal']
    kind, _, where = case.disturbance.partition(' of ')
    hit = where in (name, 'both')
    share = float(kind[:-1]) / 100 if hit and kind.endswith('%') else 0.0
    late = _LATE * (case.disturbance == f'{name} late')
    out, burst = [], 0
    for number in range(int(seconds * rate)):
        exposed = number / rate
        skew = case.skew * case.period if name == 'thermal' else 0.0
        jitter = case.jitter
        if case.disturbance == 'shake' and disturbed(exposed, 2.0):
            jitter = 0.3
        if case.disturbance == 'other phase' and name == 'rgb' and int(exposed // 20) % 2:
            skew = math.copysign(0.3 * case.period, case.skew)
        stamp = 1 + exposed + skew + chance.gauss(0, jitter / rate)
        if hit and kind == 'burst':  # two to eight frames, every hundred or so
            burst = burst - 1 if burst > 0 else chance.randint(2, 8) * (chance.random() < 0.01)
        absent = (
            chance.random() < share
            or burst > 0
            or (hit and kind == 'start' and exposed < 2)
            or (hit and kind == 'restart' and disturbed(exposed, 2.0))
            or (case.disturbance == 'other phase' and name == 'rgb' and disturbed(exposed, 1.5))
        )
        if not absent:
            arrival = 1 + exposed + _TRANSPORT * (1 + chance.random()) + late
            out.append(Frame(number, round(stamp * _SECOND), arrival))
    return out


def disturbed(time: float, seconds: float) -> bool:
    """Whether a time lies in the first seconds of a stretch of twenty, but for the first one."""
    return time >= 20 and time % 20 < seconds


def expected(case: Case, rgb: list[Frame], thermal: list[Frame], slop: int) -> set[tuple[int, int]]:
    """The numbers of the frames that belong together."""
    if case.equal:
        both = {f.number for f in rgb} & {f.number for f in thermal}
        return {(number, number) for number in both}
    one, other = sorted(rgb, key=lambda f: f.stamp), sorted(thermal, key=lambda f: f.stamp)
    pairs = set()
    for t in other:
        r = nearest(one, t.stamp)
        if nearest(other, r.stamp) is t and abs(t.stamp - r.stamp) <= slop:
            pairs.add((r.number, t.number))
    return pairs


def nearest(ordered: list[Frame], stamp: int) -> Frame:
    at = bisect_left(ordered, stamp, key=lambda f: f.stamp)
    return min(ordered[max(0, at - 1) : at + 1], key=lambda f: abs(f.stamp - stamp))


def simulate(case: Case, seconds: float, seed: int = 1) -> dict[str, float]:
    """Shares of wrong and lost pairs, and the 99th percentile of the wait in periods."""
    streams = {name: frames(case, name, seconds, seed) for name in STREAMS}
    slop = round(1.5 * case.period * _SECOND)
    pairer = Pairer(slop=slop, queue_size=60)
    made, waits = [], []
    arrivals = sorted((f.arrival, name, f) for name in streams for f in streams[name])
    for now, name, frame in arrivals:
        for pair in pairer.push(name, frame.stamp, frame):
            made.append((pair.rgb.number, pair.thermal.number))
            waits.append(now - max(pair.rgb.arrival, pair.thermal.arrival))
    healing = case.disturbance in ('other phase', 'shake')
    right, pairs = (
        {p for p in some if not (healing and disturbed(p[1] / case.rates[1], 4.0))}
        for some in (expected(case, *streams.values(), slop), made)
    )
    return {
        'wrong': len(pairs - right) / max(1, len(pairs)),
        'lost': len(right - pairs) / len(right),
        'wait': sorted(waits)[int(0.99 * len(waits))] / case.period if waits else 0.0,
    }


def cases(full: bool) -> list[Case]:
    """Equal rates by skew; other rates by jitter; each by every disturbance."""
    jitters = JITTERS if full else (0.05,)
    equal = [rates for rates in RATES if rates[0] == rates[1]]
    other = [rates for rates in RATES if rates[0] != rates[1]]
    skews = SKEWS if full else (-0.4, 0.0, 0.4)
    return [
        *(Case(*what) for what in product(equal, skews, jitters, DISTURBANCES)),
        *(Case(rates, 0.0, *what) for rates, *what in product(other, jitters, DISTURBANCES)),
        # Beyond what is promised: more jitter, and half a period.
        *([] if full else (Case((30, 30), *what) for what in product(SKEWS, (0.0, 0.1, 0.2)))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=60, help='simulated, of each case')
    parser.add_argument('--full', action='store_true', help='every combination')
    parser.add_argument('--json', type=Path, help='keep the figures here')
    parser.add_argument('--compare', type=Path, help='figures to set beside these')
    args = parser.parse_args()
    rows = [asdict(case) | simulate(case, args.seconds) for case in cases(args.full)]
    if args.json:
        args.json.write_text(json.dumps(rows))
    before = json.loads(args.compare.read_text()) if args.compare else []
    print(table(rows, before))


def table(rows: list[dict], before: list[dict]) -> str:
    """Markdown: a line a rate, jitter and kind of disturbance, the worst over skews and streams;
    before -> now."""
    shown = {}
    for now, then in zip(rows, before or rows, strict=True):
        inside = abs(now['skew']) <= 0.4
        skew = ('0 to ±0.4' if inside else '±0.5') if now['rates'][0] == now['rates'][1] else '0'
        disturbance = 'late' if 'late' in now['disturbance'] else now['disturbance']
        key = (*now['rates'], skew, now['jitter'], disturbance.partition(' of ')[0])
        shown.setdefault(key, []).append((then, now))
    lines = [
        '| rates (Hz) | skew | jitter | disturbance | wrong | lost | wait p99 |',
        '|---|---|---|---|---|---|---|',
    ]
    for (rgb, thermal, skew, jitter, disturbance), both in shown.items():
        worst = [
            ' → '.join(
                form.format(max(pair[which][name] for pair in both))
                for which in ((0, 1) if before else (1,))
            )
            for name, form in (('wrong', '{:.2%}'), ('lost', '{:.2%}'), ('wait', '{:.2f}'))
        ]
        lines.append(
            f'| {rgb:g}/{thermal:g} | {skew} | {jitter:g} | {disturbance} | {" | ".join(worst)} |'
        )
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
