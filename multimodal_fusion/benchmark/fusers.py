"""`bench`: fusers beside the machine's floors, in interleaved rounds.

Measured in a process of its own (`python -m multimodal_fusion.benchmark.fusers`, a plan as JSON
on standard input, figures as JSON on standard output), where the BLAS of numpy has one thread.
"""

import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..errors import UserError
from ..fusers.classical import CLASSICAL
from ..fusers.fuser import Fuser, find_model, maskless
from ..fusers.kernel.compiled import Compiled
from ..fusers.kernel.pyramid import MACS as PYRAMID_MACS
from ..fusers.kernel.pyramid import read_pyramid
from ..fusers.kernel.weights import read_two_layer
from ..fusers.pair import MIN_SIDE
from ..host.progress import progress
from ..runtime.manifest import Manifest, read_model
from ..runtime.session import PROVIDERS, onnxruntime_or_none
from .floor import MACS, Floor

_FRAMES = 5  # of one fuser in a row, after one that is not counted
_PAIRS = 4  # different images, in turn


@dataclass(frozen=True)
class BenchPlan:
    """models: names or paths. sizes: (width, height). inputs: ``luma``, ``colour``.
    pytorch: also run the mini-models by PyTorch, where it is installed."""

    models: list[str]
    providers: list[str]
    sizes: list[tuple[int, int]]
    threads: list[int]
    inputs: list[str]
    rounds: int
    allow_unlisted: bool = False
    pytorch: bool = True


@dataclass(frozen=True)
class Way:
    """One way to run a fuser.

    runs: ``opencv``, ``compiled``, ``compiled, float32`` where the kernel would take 16 bits,
    ``pytorch`` or a provider's name.
    """

    model: str
    runs: str
    threads: int
    load: Callable[[], Fuser]
    macs: int = 0  # multiply-adds a pixel, where they are known


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of ``640x480``. Raises UserError."""
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    size = tuple(map(int, match.groups())) if match else (0, 0)
    if min(size) < MIN_SIDE:
        raise UserError(f'--sizes has {text!r}; give WIDTHxHEIGHT of at least 32x32: 640x480')
    return size


def ways(plan: BenchPlan) -> list[Way]:
    """Every way to run the plan's models on this machine, `threads` each. Raises UserError."""
    manifest, found = Manifest.load(), []
    for model in plan.models:
        these = []
        for threads in plan.threads:
            if model in CLASSICAL:
                these.append(Way(model, 'opencv', threads, lambda m=model: Fuser.load(m)))
            else:
                these += _learned(plan, model, threads, manifest)
        # One thread and more side by side: what is compared should see the same moments.
        found += sorted(these, key=lambda way: way.runs)
    return found


def _learned(plan: BenchPlan, model: str, threads: int, manifest: Manifest) -> list[Way]:
    name, path = find_model(model, manifest)
    content = read_model(path, manifest, plan.allow_unlisted)
    weights, pyramid = read_two_layer(content), read_pyramid(content)
    macs = MACS if weights else PYRAMID_MACS if pyramid else 0

    def way(runs: str, provider: str, compiled: bool) -> Way:
        def load() -> Fuser:
            return Fuser.load(
                model, (provider,), threads, plan.allow_unlisted, manifest, compiled=compiled
            )

        return Way(name, runs, threads, load, macs)

    found = []
    for provider in plan.providers:
        if provider != 'cpu':
            # On a GPU the CPU's threads do not matter: measured once.
            if threads == plan.threads[0]:
                found.append(way(provider, provider, False))
            continue
        compiled = way('compiled', provider, True)
        if (weights or pyramid) and compiled.load().provider == 'compiled':
            found.append(compiled)
            if weights and Compiled(weights).sixteen_bit:

                def in_floats() -> Fuser:
                    kernel = Compiled(weights, threads, sixteen_bit=False)
                    return Fuser(
                        name, 'luma', maskless(kernel.fuse), 'compiled', returns_colour=True
                    )

                found.append(Way(name, 'compiled, float32', threads, in_floats, macs))
        if importlib.util.find_spec('onnxruntime'):
            found.append(way('onnxruntime', provider, False))
        if plan.pytorch and weights and importlib.util.find_spec('torch'):

            def load() -> Fuser:
                from .eager import eager

                return Fuser(name, 'luma', maskless(eager(weights)), 'pytorch')

            found.append(Way(name, 'pytorch', threads, load, macs))
    return found


def providers_present(wanted: list[str]) -> list[str]:
    """Those of the wanted providers that onnxruntime offers here. Raises UserError for others."""
    unknown = [name for name in wanted if name not in PROVIDERS]
    if unknown:
        raise UserError(f'--provider has {unknown[0]!r}; name of {", ".join(PROVIDERS)}')
    ort = onnxruntime_or_none()
    offered = ort.get_available_providers() if ort else []
    return [name for name in wanted if name == 'cpu' or PROVIDERS[name] in offered]


def measure_all(plan: BenchPlan) -> dict:
    """``rows`` and ``floors`` of a plan, measured in processes of their own. Raises UserError."""
    found = ways(plan)
    for way in found:
        way.load()
    figures = _in_a_process('fusers', plan)
    places = [(size, kind) for size in plan.sizes for kind in plan.inputs]
    peaks = {}
    for number, way in enumerate(found):
        if way.threads == plan.threads[0]:  # threads hardly change it
            for (size, kind), peak in zip(
                places, _in_a_process('memory', plan, number), strict=True
            ):
                peaks[way.model, way.runs, f'{size[0]}x{size[1]}', kind] = peak
    for row in figures['rows']:
        row['peak_mb'] = peaks[row['model'], row['runs'], row['size'], row['input']]
    return figures


def _in_a_process(module: str, plan: BenchPlan, *arguments: int):
    done = subprocess.run(
        [sys.executable, '-m', f'{__package__}.{module}', *map(str, arguments)],
        input=json.dumps(dataclasses.asdict(plan)),
        env={**os.environ, 'OPENBLAS_NUM_THREADS': '1', 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise UserError(f'the measuring process ended with {done.returncode}; its message is above')
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Case:
    """A way to run a fuser on one kind of input, and what each round measured of it."""

    way: Way
    kind: str
    fuser: Fuser
    frames: list[list[float]] = field(default_factory=list)  # seconds of each
    cpu: list[float] = field(default_factory=list)  # seconds a frame
    copy: list[float] = field(default_factory=list)  # seconds of the floors, just before
    sgemm: list[float] = field(default_factory=list)

    def over(self, others: 'Case | list[float]') -> float:
        """How many times as long as the other took: the median of the rounds' own ratios."""
        if isinstance(others, Case):
            others = np.median(others.frames, axis=1)
        return _r(np.median(np.median(self.frames, axis=1) / others))


def _measure(plan: BenchPlan) -> dict:
    found = ways(plan)
    fusers = [way.load() for way in found]
    floors = {threads: Floor(threads) for threads in plan.threads}
    result: dict[str, list] = {'rows': [], 'floors': []}
    for size in progress(plan.sizes, len(plan.sizes), 'sizes'):
        pairs = {kind: images(size, kind) for kind in plan.inputs}
        moved = {kind: pair[0].nbytes * 2 + pair[1].nbytes for kind, (pair, *_) in pairs.items()}
        cases = [
            Case(way, kind, fuser)
            for way, fuser in zip(found, fusers, strict=True)
            for kind in plan.inputs
        ]
        for number in range(plan.rounds + 1):
            for case in cases:
                way = case.way
                _set_threads(way.threads, way.runs == 'pytorch')
                floor, macs = floors[way.threads], MACS * size[0] * size[1]
                # What the machine can do at this moment: the best of as many.
                copy = min(floor.copy_seconds(moved[case.kind]) for _ in range(_FRAMES))
                sgemm = min(floor.multiply_seconds(macs) for _ in range(_FRAMES))
                frames, cpu = _frames(case.fuser, pairs[case.kind])
                if number:  # the first warms up
                    case.frames.append(frames)
                    case.cpu.append(cpu)
                    case.copy.append(copy)
                    case.sgemm.append(sgemm)
        for kind in plan.inputs:
            for threads in plan.threads:
                here = [c for c in cases if c.kind == kind and c.way.threads == threads]
                result['floors'].append(
                    {
                        **_where(size, kind, threads),
                        'bytes': moved[kind],
                        **_floor_statistics('copy', [x for c in here for x in c.copy]),
                        **_floor_statistics('sgemm', [x for c in here for x in c.sgemm]),
                    }
                )
        result['rows'] += [
            {
                'model': case.way.model,
                'runs': case.way.runs,
                **_where(size, case.kind, case.way.threads),
                **_statistics(case.frames, case.cpu),
                **ratios(case, cases),
            }
            for case in cases
        ]
    return result


def _where(size: tuple[int, int], kind: str, threads: int) -> dict:
    return {'size': f'{size[0]}x{size[1]}', 'input': kind, 'threads': threads}


def ratios(case: Case, cases: list[Case]) -> dict[str, float | None]:
    """Times as long as the floors and as luma; times as fast as the usual runtimes and as one
    thread. None where there is nothing to compare with."""
    way = case.way

    def other(runs: str = way.runs, kind: str = case.kind, threads: int = way.threads):
        wanted = (way.model, runs, threads, kind)
        for c in cases:
            if (c.way.model, c.way.runs, c.way.threads, c.kind) == wanted and c is not case:
                return c
        return None

    onnxruntime, pytorch = other('onnxruntime'), other('pytorch')
    luma, one = other(kind='luma'), other(threads=1)
    return {
        'times_copy': case.over(case.copy),
        'times_sgemm': case.over(case.sgemm) if way.macs else None,
        'times_luma': case.over(luma) if luma else None,
        'faster_than_onnxruntime': onnxruntime.over(case) if onnxruntime else None,
        'faster_than_pytorch': pytorch.over(case) if pytorch else None,
        'faster_than_one_thread': one.over(case) if one else None,
    }


def _frames(fuser: Fuser, pairs: list) -> tuple[list[float], float]:
    """(seconds of each frame, CPU seconds a frame) of a few frames in a row."""
    fuser.fuse(*pairs[-1])
    walls, cpu = [], time.process_time()
    for i in range(_FRAMES):
        start = time.perf_counter()
        fuser.fuse(*pairs[i % len(pairs)])
        walls.append(time.perf_counter() - start)
    return walls, (time.process_time() - cpu) / _FRAMES


def _statistics(frames: list[list[float]], cpu: list[float]) -> dict:
    p10, p25, median, p75, p95, p99 = np.percentile(frames, (10, 25, 50, 75, 95, 99)) * 1e3
    return {
        'fastest_tenth_ms': _r(p10),
        'median_ms': _r(median),
        'quartiles_ms': [_r(p25), _r(p75)],
        'p95_ms': _r(p95),
        'p99_ms': _r(p99),
        'fps': _r(1e3 / median),
        'cpu_ms': _r(np.median(cpu) * 1e3),
        'frames': np.size(frames),
    }


def _floor_statistics(name: str, seconds: list[float]) -> dict:
    p10, p25, median, p75 = np.percentile(seconds, (10, 25, 50, 75)) * 1e3
    return {
        f'{name}_fastest_tenth_ms': _r(p10),
        f'{name}_ms': _r(median),
        f'{name}_quartiles_ms': [_r(p25), _r(p75)],
    }


def images(size: tuple[int, int], kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of noise over ramps: neither flat nor all noise."""
    width, height = size
    random = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(height), np.arange(width)) // 8
    channels = (3,) if kind == 'colour' else ()

    def image(*shape: int) -> np.ndarray:
        base = ramp.reshape(ramp.shape + (1,) * (len(shape) - 2))
        return (base + random.integers(0, 64, shape)).astype(np.uint8)

    return [(image(height, width, *channels), image(height, width)) for _ in range(_PAIRS)]


def _set_threads(threads: int, torch_too: bool) -> None:
    cv2.setNumThreads(threads)
    if torch_too:
        from .eager import set_threads

        set_threads(threads)


def _r(value: float) -> float:
    """Four significant digits."""
    return float(f'{value:.4g}')


if __name__ == '__main__':
    print(json.dumps(_measure(BenchPlan(**json.load(sys.stdin)))))
