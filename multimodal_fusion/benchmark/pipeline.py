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
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from .. import processes
from ..errors import UserError
from ..machine import cpu_name
from ..stages import STAGES
from .statistics import highest_rate, percentiles

_TURN = 2.0  # seconds at most that node and floor are spoken to in turn
_PAIRS = '640x480+640x480,1280x1024+640x512:14'
_TRIAL = 2.0  # seconds at each rate of the search
_HIGHEST = 480.0  # Hz at which the search ends
_LEAD = 1.0  # seconds of pairs before and after the node is held up
_ANSWER = 30.0  # seconds that the node may take to start


@dataclass(frozen=True)
class PairSize:
    """Sizes (width, height) of the two images, and the bits of thermal: 8 or 14."""

    rgb: tuple[int, int]
    thermal: tuple[int, int]
    bits: int

    def __str__(self) -> str:
        kind = 'mono8' if self.bits == 8 else 'mono16'
        return '{}x{} bgr8 + {}x{} {}'.format(*self.rgb, *self.thermal, kind)


def parse_pair(text: str) -> PairSize:
    """``640x480+640x480`` or ``1280x1024+640x512:14``: RGB, thermal, bits. Raises UserError."""
    match = re.fullmatch(r'(\d+)x(\d+)\+(\d+)x(\d+)(?::(8|14))?', text)
    numbers = [int(x) for x in match.groups()[:4]] if match else [0]
    if not match or not all(64 <= x <= 4096 for x in numbers):
        raise UserError(
            f'--pairs has {text!r}; expected WIDTHxHEIGHT+WIDTHxHEIGHT of RGB and thermal, sides '
            'from 64 to 4096, and :14 for 14-bit thermal, such as 1280x1024+640x512:14'
        )
    return PairSize(tuple(numbers[:2]), tuple(numbers[2:]), int(match[5] or 8))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('--pipeline: the node over DDS')
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
            raise UserError(f'bench --pipeline needs {module}: {advice}')
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


class Child:
    """One of the processes; it answers requests where it was made to (``bench_control``)."""

    def __init__(self, module: str, arguments: list[str], environment: dict[str, str]):
        import psutil

        self.module = module
        self.process = processes.start(
            f'multimodal_fusion.nodes.{module}',
            arguments,
            environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._usage = psutil.Process(self.process.pid)

    def ask(self, do: str, **request) -> dict:
        """The answer to a request. Raises UserError if the process is gone."""
        try:
            self.process.stdin.write(json.dumps({'do': do, **request}) + '\n')
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ''
        if not answer:
            self.process.wait()
            self.check()
        return json.loads(answer)

    def check(self) -> None:
        """Raise UserError if the process is gone."""
        if self.process.poll() is not None:
            raise UserError(
                f'{self.module} ended with code {self.process.poll()}; the messages above say why'
            )

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = self._usage.cpu_times()
        return times.user + times.system

    def memory(self) -> dict[str, float]:
        """MB: resident, and the part that no other process shares (without DDS's segments)."""
        info = self._usage.memory_full_info()
        return {'resident': info.rss * 1e-6, 'private': info.uss * 1e-6}

    def stop(self) -> None:
        self.process.stdin.close()
        processes.stop(self.process)
        self.process.stdout.close()


@dataclass
class Played:
    """What became of one stretch of pairs; latencies in milliseconds of those that came through."""

    sent: int
    latencies: list[float]
    seconds: float
    lag: float
    cpu: dict[str, float]
    lost_at: list[float]  # when they were sent, in seconds of time.monotonic

    @property
    def lost(self) -> int:
        return len(self.lost_at)


class Bench:
    """The four processes. Names of targets: ``node`` and ``floor``."""

    def __init__(self, pair: PairSize, children: dict[str, Child], root: str):
        self.pair, self.children, self.root = pair, children, root

    def play(self, target: str, rate: float, seconds: float) -> Played:
        """Send pairs to the node or the floor, and collect what comes back."""
        watched = {name: self.children[name] for name in ('publisher', target, 'listener')}
        before = {name: child.cpu() for name, child in watched.items()}
        start = time.monotonic()
        answer = self.children['publisher'].ask(
            'play', namespace=f'{self.root}/{target}', rate=rate, seconds=seconds
        )
        sent = {stamp: moment for stamp, moment in answer['sent']}
        received = self.children['listener'].ask(
            'collect', namespace=f'{self.root}/{target}', last=max(sent), timeout=1.0
        )['received']
        taken = time.monotonic() - start
        latencies = [(arrival - sent[s]) * 1e-6 for s, arrival in received if s in sent]
        lost = sent.keys() - {stamp for stamp, _ in received}
        return Played(
            len(sent),
            latencies,
            taken,
            answer['lag'] * 1e-6,
            {name: child.cpu() - before[name] for name, child in watched.items()},
            sorted(sent[stamp] * 1e-9 for stamp in lost),
        )

    def stall(self, target: str, rate: float, seconds: float) -> None:
        """Send pairs while the target is held up, as on a machine that has too much to do."""
        send = self.children[target].process.send_signal
        timers = [
            threading.Timer(_LEAD, send, (signal.SIGSTOP,)),
            threading.Timer(_LEAD + seconds, send, (signal.SIGCONT,)),
        ]
        for timer in timers:
            timer.start()
        try:
            self.play(target, rate, seconds + 2 * _LEAD)
        finally:
            for timer in timers:
                timer.cancel()
            send(signal.SIGCONT)

    def warm_up(self) -> None:
        """Until everybody has found everybody: a short stretch comes through whole."""
        deadline = time.monotonic() + _ANSWER
        for target in ('node', 'floor'):
            while self.play(target, 10.0, 0.5).lost:
                self.children[target].check()
                if time.monotonic() > deadline:
                    raise UserError(
                        f'the {target} returned no fused images within {_ANSWER:.0f} s; the '
                        'messages above may say why'
                    )

    def figures(self) -> dict[str, str]:
        """What the node reports next on /diagnostics."""
        return self.children['listener'].ask(
            'diagnostics', namespace=f'{self.root}/node', timeout=3.0
        )

    def stages(self) -> dict[str, dict[str, float]]:
        """Milliseconds of each stage that the node reports of its last pairs."""
        figures = self.figures()
        return {
            name: {p: float(figures[f'{name} {p} (ms)']) for p in ('p50', 'p99')}
            for name in STAGES
            if f'{name} p50 (ms)' in figures
        }

    def highest_rate(self, target: str) -> float:
        """Hz, within a tenth: the publisher keeps up and every pair comes back."""

        def lossless(rate: float) -> bool:
            played = self.play(target, rate, _TRIAL)
            return not played.lost and played.lag < 100.0

        return round(highest_rate(lossless, 15.0, _HIGHEST), 1)


@contextmanager
def stage(pair: PairSize, model: str) -> Iterator[Bench]:
    """Start the processes, wait until images flow, and end them whatever happens."""
    root = f'/bench_{os.getpid()}'
    environment = processes.local_environment(1 + os.getpid() % 100)
    node = {'model.name': model, 'stall.warn_after': 60.0}
    if pair.rgb != pair.thermal:
        node['registration.mode'] = 'resize'
    spaces = [f'{root}/node', f'{root}/floor']
    sizes = ['--rgb', *pair.rgb, '--thermal', *pair.thermal, '--bits', pair.bits]
    commands = {
        'node': (
            'fusion_node',
            [*processes.parameter_arguments(node), '-r', f'__ns:={spaces[0]}'],
        ),
        'floor': ('bench_floor', ['--ros-args', '-r', f'__ns:={spaces[1]}']),
        'listener': ('bench_listener', spaces),
        'publisher': ('bench_publisher', [*spaces, *map(str, sizes)]),
    }
    with ExitStack() as stack:
        children = {}
        for name, (module, arguments) in commands.items():
            with processes.undisturbed():
                children[name] = Child(module, arguments, environment)
                stack.callback(children[name].stop)
        bench = Bench(pair, children, root)
        bench.warm_up()
        yield bench


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
