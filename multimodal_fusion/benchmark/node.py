"""The node over DDS: latency, where it goes, losses, CPU and memory, beside the floor of rclpy.

Publisher, node and subscriber are processes of their own, in a domain of their own. Beside the node
stands one that only copies the RGB image through; the publisher turns to one, then the other, so
that both see the same machine. Whoever is not spoken to sleeps.
"""

import argparse
import importlib.util
import json
import math
import os
import platform

import numpy as np

from ..errors import UserError
from ..host.machine import cpu_name
from ..pipeline.stages import STAGES
from .rig import Bench, parse_pair, stage
from .statistics import percentiles

_TURN = 2.0  # seconds at most that node and floor are spoken to in turn
_PAIRS = '640x480+640x480,1280x1024+640x512:14'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('node: the node over DDS')
    group.add_argument('--pairs', default=_PAIRS, help=f'RGB+thermal sizes (default: {_PAIRS})')
    group.add_argument('--rates', default='30', help='Hz, with commas (default: 30)')
    group.add_argument('--seconds', type=float, default=20.0, help='at each rate (default: 20)')
    group.add_argument('--model', default='default', help='fuser; of --bandwidth too')
    group.add_argument('--no-search', action='store_true', help='skip the highest rate')
    group.add_argument(
        '--soak', type=float, metavar='MINUTES', help='only this: first pair and rate, memory slope'
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print a Markdown table or (--json) everything. Returns 1 if a soak lost pairs."""
    pairs = [parse_pair(text) for text in args.pairs.split(',')]
    try:
        rates = [float(text) for text in args.rates.split(',')]
    except ValueError:
        rates = []
    if not rates or min(rates) <= 0:
        raise UserError(f'--rates is {args.rates!r}; expected numbers of Hz, such as 30,60')
    for module, advice in (
        ('rclpy', 'source /opt/ros/<distro>/setup.bash, or pip install "multimodal_fusion[ros]"'),
        ('psutil', 'pip install psutil'),
    ):
        if importlib.util.find_spec(module) is None:
            raise UserError(f'bench node needs {module}: {advice}')
    result = {
        'machine': f'{platform.machine()}, {cpu_name()}',
        'python': platform.python_version(),
        'load before': round(os.getloadavg()[0], 2),
        'model': args.model,
    }
    if args.soak:
        from .soak import soak, soak_text

        with stage(pairs[0], args.model) as bench:
            result['soak'] = soak(bench, rates[0], args.soak)
        print(json.dumps(result, indent=2) if args.json else soak_text(result['soak']))
        return int(result['soak']['lost'] > 0)
    result['rows'] = []
    for pair in pairs:
        with stage(pair, args.model) as bench:
            rows = [measure(bench, rate, args.seconds) for rate in rates]
            if not args.no_search:
                for name in ('node', 'floor'):
                    rows[-1][name]['highest rate Hz'] = bench.highest_rate(name)
            result['rows'] += rows
    print(json.dumps(result, indent=2) if args.json else table(result))
    return 0


def measure(bench: Bench, rate: float, seconds: float) -> dict:
    """One row: node and floor in turns at a rate. Ratios of latency are medians of those of each
    turn, with the one median of `fuse` that the node reports at the end."""
    turns = math.ceil(seconds / _TURN)
    rounds = [
        {name: bench.play(name, rate, seconds / turns) for name in ('node', 'floor')}
        for _ in range(turns)
    ]
    row = {'pair': str(bench.pair), 'rate Hz': rate}
    for name in ('node', 'floor'):
        played = [r[name] for r in rounds]
        latencies = [x for p in played for x in p.latencies]
        medians = [float(np.median(p.latencies)) for p in played if p.latencies]
        total = sum(p.seconds for p in played)
        row[name] = {
            'sent': sum(p.sent for p in played),
            'lost': sum(p.lost for p in played),
            'latency ms': percentiles(latencies),
            'median of rounds ms': [round(m, 2) for m in sorted(medians)],
            'cpu % of one core': {
                child: round(100 * sum(p.cpu[child] for p in played) / total, 1)
                for child in played[0].cpu
            },
            'memory MB': {k: round(v, 1) for k, v in bench.children[name].memory().items()},
        }
    row['stages ms'] = stages = bench.stages()
    node, floor = row['node'], row['floor']
    # The image is on its way to the subscriber while the node's call into the middleware lasts.
    before = sum(stages[name]['p50'] for name in stages if name not in ('observe', 'publish'))
    row['deliver ms'] = round(node['latency ms']['median'] - before, 3)
    whole = [r for r in rounds if r['node'].latencies and r['floor'].latencies]
    node_ms, floor_ms = (
        np.array([np.median(r[name].latencies) for r in whole]) for name in ('node', 'floor')
    )
    row['latency over floor'] = spread(node_ms / floor_ms)
    fuse = stages.get('fuse', {}).get('p50', math.nan)
    row['latency less fuse over floor'] = spread((node_ms - fuse) / floor_ms)
    row['cpu over floor'] = ratio(
        node['cpu % of one core']['node'], floor['cpu % of one core']['floor']
    )
    return row


def ratio(a: float, b: float) -> float:
    return round(a / b, 2) if b else math.nan


def spread(values: np.ndarray) -> dict[str, float | list[float]]:
    """Median and quartiles, to two decimals; NaN of nothing."""
    low, median, high = np.percentile(values, (25, 50, 75)) if len(values) else [math.nan] * 3
    return {
        'median': round(float(median), 2),
        'quartiles': [round(float(low), 2), round(float(high), 2)],
    }


def table(result: dict) -> str:
    """Markdown."""
    lines = [
        f'Model `{result["model"]}`; {result["machine"]}; load before {result["load before"]}.',
        '',
        '| pair, rate | | median ms | p95 | p99 | lost | CPU node % | publisher % | subscriber % '
        '| memory MB | highest Hz |',
        '|---|---|---|---|---|---|---|---|---|---|---|',
    ]
    for row in result['rows']:
        for name in ('node', 'floor'):
            r, cpu = row[name], row[name]['cpu % of one core']
            cells = [
                f'{row["pair"]}, {row["rate Hz"]:g} Hz' if name == 'node' else '',
                name,
                *r['latency ms'].values(),
                f'{r["lost"]} of {r["sent"]}',
                cpu[name],
                cpu['publisher'],
                cpu['listener'],
                r['memory MB']['resident'],
                r.get('highest rate Hz', ''),
            ]
            lines.append(f'| {" | ".join(map(str, cells))} |')
    lines += [
        '',
        f'| median ms of | {" | ".join(STAGES)} | deliver | over floor | less fuse | CPU over |',
    ]
    lines.append('|---' * (len(STAGES) + 5) + '|')
    for row in result['rows']:
        stages = [row['stages ms'].get(name, {}).get('p50', '') for name in STAGES]
        cells = [
            f'{row["pair"]}, {row["rate Hz"]:g} Hz',
            *stages,
            row['deliver ms'],
            *(spread_text(row[f'latency {what}over floor']) for what in ('', 'less fuse ')),
            row['cpu over floor'],
        ]
        lines.append(f'| {" | ".join(map(str, cells))} |')
    return '\n'.join(lines)


def spread_text(found: dict) -> str:
    low, high = found['quartiles']
    return f'{found["median"]} ({low}–{high})'
