"""What a collection costs here, and a schedule of many workers, reckoned from it.

    python -m tools.scale --scratch /tmp/scale --out docs/results/scale.md

Measured: a made bag of 640x480 at 30 Hz through ``evaluate --bags`` and ``replay --bags`` by one
and two processes, and Dask's time a task. Reckoned: 10,000 hours by 10, 100 and 1000 workers.
"""

import argparse
import heapq
import json
import logging
import resource
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from multimodal_fusion.evaluate.collection.measure import Measuring
from multimodal_fusion.evaluate.collection.stretches import Cutting, Stretch
from multimodal_fusion.evaluate.run import Job, plan_of
from multimodal_fusion.host.machine import cpu_name
from multimodal_fusion.host.workers import IN_FLIGHT, cluster, run_all
from multimodal_fusion.io.bag import BagWriter, Topic, type_store
from multimodal_fusion.io.bag_topics import BagTopics
from multimodal_fusion.io.messages import bytes_of, fields
from multimodal_fusion.pipeline.settings import checked
from multimodal_fusion.scene import Scene

SIZE, RATE, SECONDS, BAGS = (640, 480), 30, 40, 2
HOURS = 10_000
EARLY = 20.0  # seconds that a stretch reads before it begins, by the default of thermal.memory
SPREAD = 0.25  # of the time of a task, standard deviation over its mean: light, losses, machines
TASKS = 20_000  # by which the overhead is told
METRICS = 'EN,SD,SF,SCD,VIF,Qabf,SSIM,KC'


def make_bag(path: Path) -> None:
    """The synthetic road; a second of it, over and over."""
    road, store = Scene(*SIZE), type_store()
    frames = [(road.visible(10 + i / RATE), road.thermal(10 + i / RATE)) for i in range(RATE)]
    kind = 'sensor_msgs/msg/Image'
    bag = BagWriter(path)
    topics = '/camera/image_raw', '/thermal/image_raw'
    for topic in topics:
        bag.add(Topic(topic, kind))
    types = store.types
    for i in range(SECONDS * RATE):
        stamp = 1_790_000_000 * 10**9 + i * 10**9 // RATE
        header = types['std_msgs/msg/Header'](
            types['builtin_interfaces/msg/Time'](*divmod(stamp, 10**9)), 'camera'
        )
        for topic, pixels in zip(topics, frames[i % RATE], strict=True):
            values = fields(pixels) | {'data': bytes_of(pixels)}
            message = types[kind](header=header, **values)
            bag.write(topic, stamp, store.serialize_cdr(message, kind))
    bag.close()


def run(*words: str) -> float:
    start = time.monotonic()
    subprocess.run(
        [sys.executable, '-m', 'multimodal_fusion', *words], check=True, capture_output=True
    )
    return time.monotonic() - start


def evaluated(scratch: Path, jobs: int) -> dict:
    out = scratch / f'evaluated{jobs}'
    shutil.rmtree(out, ignore_errors=True)
    words = ('--models', 'mmdrfuse_plus', '--no-baselines', '--metrics', METRICS)
    seconds = run(
        'evaluate', '--bags', str(scratch / 'bags'), '--out', str(out), '--jobs', str(jobs),
        '--stretch', '20', *words,
    )  # fmt: skip
    return {'wall s': seconds, **json.loads((out / 'cost.json').read_text())}


def replayed(scratch: Path, jobs: int) -> dict:
    out = scratch / f'replayed{jobs}'
    shutil.rmtree(out, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    seconds = run(
        'replay', '--bags', str(scratch / 'bags'), '-o', str(out), '--jobs', str(jobs),
        '--model', 'mmdrfuse_plus',
    )  # fmt: skip
    peak = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    return {'wall s': seconds, 'peak MB': peak}


def nothing(stretch: Stretch, measuring: Measuring) -> int:
    return stretch.number


def overhead() -> tuple[float, float]:
    """Seconds of a task beside what it does, and MB that the scheduler and the client take with as
    many tasks under way as are handed out: Dask, two workers, tasks as of a collection."""
    from distributed import LocalCluster

    logging.getLogger('distributed').setLevel(logging.CRITICAL)  # of a cluster that is taken down
    settings = checked({})
    plan = plan_of(Job(models=('mmdrfuse_plus',), metrics=tuple(METRICS.split(','))), settings)
    measuring = Measuring(plan, Cutting(settings), 'bag', 'mmdrfuse_plus:KC')
    topics = BagTopics('/camera/image_raw', '/thermal/image_raw', {})
    tasks = [
        Stretch(f's3://fleet/flight{n}.mcap', n, 0, 0, 0, 0, 0.0, topics) for n in range(TASKS)
    ]
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, protocol='tcp'
    ) as here:
        executor = partial(cluster, here.scheduler_address)
        list(run_all(executor, nothing, tasks[:100], measuring))
        process, peak = psutil.Process(), 0
        before, start = process.memory_info().rss, time.monotonic()
        for number, _ in enumerate(run_all(executor, nothing, tasks, measuring)):
            if number % 100 == 0:
                peak = max(peak, process.memory_info().rss)
        return (time.monotonic() - start) / TASKS, (peak - before) * 1e-6


def schedule(workers: int, tasks: int, mean: float, each: float, seed: int = 0) -> float:
    """Seconds until all is done: a scheduler hands out a task every ``each`` seconds to whoever is
    free first. mean: seconds of a task."""
    shape = 1 / SPREAD**2
    lengths = np.random.default_rng(seed).gamma(shape, mean / shape, tasks)
    free = [0.0] * workers
    given, end = 0.0, 0.0
    for length in lengths:
        start = max(heapq.heappop(free), given)
        given = start + each if start == given else given + each
        heapq.heappush(free, start + length)
        end = max(end, start + length)
    return end


def plan(cost: dict, each: float) -> list[str]:
    """A table of stretch lengths and workers."""
    seconds = SECONDS * BAGS
    # What a second of a bag costs a core; what is read early costs reading alone.
    reading = cost['read and pair s'] / (seconds + 2 * EARLY)  # two of four stretches read early
    rest = (cost['total s'] - cost['read and pair s']) / seconds
    rows = ['| stretch s | tasks | core hours | read twice | workers | hours | busy |',
            '|---:|---:|---:|---:|---:|---:|---:|']  # fmt: skip
    for length in (30, 60, 300, 900):
        tasks = HOURS * 3600 // length
        mean = length * (reading + rest) + EARLY * reading
        for workers in (10, 100, 1000):
            wall = schedule(workers, tasks, mean, each)
            rows.append(
                f'| {length} | {tasks} | {tasks * mean / 3600:.0f} | {EARLY / length:.0%} '
                f'| {workers} | {wall / 3600:.2f} | {tasks * mean / (wall * workers):.1%} |'
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m tools.scale', description=__doc__)
    parser.add_argument('--scratch', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--rounds', type=int, default=2)
    args = parser.parse_args()
    for number in range(BAGS):
        if not (args.scratch / f'bags/{number}').exists():
            make_bag(args.scratch / f'bags/{number}')
    size = sum(f.stat().st_size for f in (args.scratch / 'bags').rglob('*.mcap')) * 1e-6
    kinds = [(work, jobs) for work in (evaluated, replayed) for jobs in (1, 2)]
    found: dict[tuple, list[dict]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind in kinds:
            found[kind].append(kind[0](args.scratch, kind[1]))
            print(kind[0].__name__, kind[1], found[kind][-1], file=sys.stderr)
    each, memory = overhead()

    def median(work, jobs: int, name: str) -> float:
        return float(np.median([one[name] for one in found[work, jobs]]))

    names = {name for name, value in found[evaluated, 1][0].items() if isinstance(value, float)}
    cost = {name: median(evaluated, 1, name) for name in names}
    frames = BAGS * SECONDS * RATE * 2
    lines = [
        f'{BAGS} bags of {SECONDS} s, 640x480 bgr8 and mono8 at 30 Hz, {size:.0f} MB; '
        f'{cpu_name()}; medians of {args.rounds} rounds, interleaved (`python -m tools.scale`).',
        '',
        '| | processes | wall s | frames/s | MB/s | times one process | peak MB a worker |',
        '|---|---:|---:|---:|---:|---:|---:|',
    ]
    for work, name in ((evaluated, 'evaluate, 8 metrics a second'), (replayed, 'replay')):
        for jobs in (1, 2):
            wall = median(work, jobs, 'wall s')
            peak = median(work, jobs, 'peak MB of a worker' if work is evaluated else 'peak MB')
            times = median(work, 1, 'wall s') / wall
            lines.append(
                f'| {name} | {jobs} | {wall:.1f} | {frames / wall:.0f} | {size / wall:.0f} '
                f'| {times:.2f} | {peak:.0f} |'
            )
    whole = cost['total s']
    stages = ', '.join(
        f'{stage} {cost[f"{stage} s"] / whole:.0%}'
        for stage in ('read and pair', 'decode', 'fuse', 'metrics')
    )
    lines += [
        '',
        f'Where the time of `evaluate` goes, one process: {stages}; the rest is loading and '
        f'writing. {cost["frames/s of a core"]:.0f} frames and {cost["MB/s of a core"]:.0f} MB a '
        f'second of a core. Dask takes {each * 1e3:.2f} ms a task (two workers), and '
        f'{memory:.0f} MB with {IN_FLIGHT} tasks under way, which is the most that are handed out.',
        '',
        f'**Reckoned** from these: {HOURS} hours, tasks by a gamma law, spread {SPREAD:.0%}.',
        '',
        *plan(cost, each),
    ]
    args.out.write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
