"""`bench`: fusers beside the machine's floors, in interleaved rounds.

Measured in a process of its own (`python -m multimodal_fusion.benchmark.fusers`, a `Plan` as JSON
on standard input, figures as JSON on standard output), where the BLAS of numpy has one thread.
"""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..classical import CLASSICAL
from ..cli.progress import progress
from ..errors import UserError
from ..fuser import Fuser, find_model, maskless
from ..kernel.compiled import Compiled
from ..kernel.weights import read_two_layer
from ..model_file import Manifest, read_model
from ..runtime import PROVIDERS, onnxruntime_or_none
from .floor import MACS, Floor

_FRAMES = 5  # of one fuser in a row, after one that is not counted
_PAIRS = 4  # different images, in turn


@dataclass(frozen=True)
class Plan:
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


def ways(plan: Plan) -> list[Way]:
    """Every way to run the plan's models on this machine, `threads` each. Raises UserError."""
    manifest, found = Manifest.load(), []
    for model in plan.models:
        for threads in plan.threads:
            if model in CLASSICAL:
                found.append(Way(model, 'opencv', threads, lambda m=model: Fuser.load(m)))
            else:
                found += _learned(plan, model, threads, manifest)
    return found


def _learned(plan: Plan, model: str, threads: int, manifest: Manifest) -> list[Way]:
    name, path = find_model(model, manifest)
    weights = read_two_layer(read_model(path, manifest, plan.allow_unlisted))
    macs = MACS if weights else 0

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
        if weights and compiled.load().provider == 'compiled':
            found.append(compiled)
            if Compiled(weights).sixteen_bit:

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
                from ..networks.eager import eager

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


def measure_all(plan: Plan) -> dict:
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


def _in_a_process(module: str, plan: Plan, *arguments: int):
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


def _measure(plan: Plan) -> dict:
    found = ways(plan)
    fusers = [way.load() for way in found]
    floors = {threads: Floor(threads) for threads in plan.threads}
    result: dict[str, list] = {'rows': [], 'floors': []}
    steps = [(size, kind) for size in plan.sizes for kind in plan.inputs]
    for size, kind in progress(steps, len(steps), 'sizes'):
        pairs = images(size, kind)
        wall: list[list[float]] = [[] for _ in found]
        cpu: list[list[float]] = [[] for _ in found]
        moved = sum(image.nbytes for image in pairs[0]) + pairs[0][0].nbytes
        least: dict[int, list] = {threads: [] for threads in plan.threads}
        for number in range(plan.rounds + 1):  # the first warms up
            for threads, floor in floors.items():
                macs = MACS * size[0] * size[1]
                for _ in range(_FRAMES):
                    least[threads].append((floor.copy_seconds(moved), floor.multiply_seconds(macs)))
            for way, fuser, walls, cpus in zip(found, fusers, wall, cpu, strict=True):
                _set_threads(way.threads, way.runs == 'pytorch')
                frames, seconds = _frames(fuser, pairs)
                if number:
                    walls += frames
                    cpus.append(seconds)
        where = {'size': f'{size[0]}x{size[1]}', 'input': kind}
        # A floor is what the machine can do: the best of all rounds, not what others left of it.
        floor_ms = {t: np.min(times, axis=0) * 1e3 for t, times in least.items()}
        for threads, (copy, multiply) in floor_ms.items():
            floor_row = {'copy_ms': _r(copy), 'sgemm_ms': _r(multiply), 'bytes': moved}
            result['floors'].append({**where, 'threads': threads, **floor_row})
        for way, walls, cpus in zip(found, wall, cpu, strict=True):
            copy, multiply = floor_ms[way.threads]
            result['rows'].append(
                {
                    'model': way.model,
                    'runs': way.runs,
                    **where,
                    'threads': way.threads,
                    **_statistics(walls, cpus),
                    'times_copy': _r(np.median(walls) * 1e3 / copy),
                    'times_sgemm': _r(np.median(walls) * 1e3 / multiply) if way.macs else None,
                }
            )
    return result


def _frames(fuser: Fuser, pairs: list) -> tuple[list[float], float]:
    """(seconds of each frame, CPU seconds a frame) of a few frames in a row."""
    fuser.fuse(*pairs[-1])
    walls, cpu = [], time.process_time()
    for i in range(_FRAMES):
        start = time.perf_counter()
        fuser.fuse(*pairs[i % len(pairs)])
        walls.append(time.perf_counter() - start)
    return walls, (time.process_time() - cpu) / _FRAMES


def _statistics(walls: list[float], cpus: list[float]) -> dict:
    p25, median, p75, p95, p99 = np.percentile(walls, (25, 50, 75, 95, 99)) * 1e3
    return {
        'median_ms': _r(median),
        'quartiles_ms': [_r(p25), _r(p75)],
        'p95_ms': _r(p95),
        'p99_ms': _r(p99),
        'fps': _r(1e3 / median),
        'cpu_ms': _r(np.median(cpus) * 1e3),
        'frames': len(walls),
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
        import torch

        torch.set_num_threads(threads)


def _r(value: float) -> float:
    """Four significant digits."""
    return float(f'{value:.4g}')


if __name__ == '__main__':
    print(json.dumps(_measure(Plan(**json.load(sys.stdin)))))
