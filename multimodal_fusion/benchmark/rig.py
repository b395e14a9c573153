"""Publisher, node and listener as three processes over DDS, to be measured."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil

from ..errors import UserError
from ..host import processes
from ..pipeline.stages import STAGES
from .statistics import highest_rate

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


class Child:
    """One of the processes; it answers requests where it was made to (``nodes.bench.control``)."""

    def __init__(self, module: str, arguments: list[str], environment: dict[str, str]):

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
    node = {'model.name': model, 'stall.warn_after': 60.0, 'stall.timeout': 60.0}
    if pair.rgb != pair.thermal:
        node['registration.mode'] = 'resize'
    spaces = [f'{root}/node', f'{root}/floor']
    sizes = ['--rgb', *pair.rgb, '--thermal', *pair.thermal, '--bits', pair.bits]
    commands = {
        'node': (
            'fusion_node',
            [*processes.parameter_arguments(node), '-r', f'__ns:={spaces[0]}'],
        ),
        'floor': ('bench.floor', ['--ros-args', '-r', f'__ns:={spaces[1]}']),
        'listener': ('bench.listener', spaces),
        'publisher': ('bench.publisher', [*spaces, *map(str, sizes)]),
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
