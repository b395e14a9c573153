"""Tasks on processes of this machine, or on a cluster: both are a `concurrent.futures.Executor`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

from ..errors import UserError, told

Task = TypeVar('Task')
ATTEMPTS = 3  # of what was under way when a process died
IN_FLIGHT = 10_000  # tasks handed out at most: each takes some 25 kB of Dask's scheduler


@contextmanager
def local(jobs: int) -> Iterator[Executor]:
    # spawn: forking a process that has threads (OpenCV, ONNX Runtime, rclpy) can hang it.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context('spawn')) as pool:
        yield pool


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Dask's workers at a scheduler, ``tcp://host:8786``; Dask reruns what a dead one left."""
    try:
        from distributed import Client
    except ImportError:
        raise UserError('--cluster needs Dask: pip install "multimodal_fusion[cluster]"') from None
    try:
        client = Client(address, timeout='5s', set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f'no scheduler answers at {address} ({told(error)}): start one with "dask scheduler", '
            f'and workers with "dask worker {address}"'
        ) from error
    with client:
        if not client.scheduler_info()['workers']:
            raise UserError(f'the scheduler at {address} has no workers: dask worker {address}')
        yield client.get_executor(pure=False, retries=ATTEMPTS - 1)


def run_all(
    executor: Callable[[], Any], work: Callable[..., Any], tasks: Iterable[Task], *common: Any
) -> Iterator[tuple[Task, Any]]:
    """(task, result of ``work(task, *common)``), as they come. An error of a task is raised.

    A process that dies takes those beside it along: all that was not done runs again, in new ones.
    """
    left, attempts = dict(enumerate(tasks)), 0
    while left:
        before = len(left)
        try:
            with executor() as pool:
                for number, result in _results(pool, work, list(left.items()), common):
                    yield left.pop(number), result
        except BrokenExecutor as error:
            attempts = attempts + 1 if len(left) == before else 1
            if attempts >= ATTEMPTS:
                raise UserError(
                    f'a process died {ATTEMPTS} times in a row, perhaps of memory: give fewer '
                    '--jobs or shorter stretches'
                ) from error


def _results(
    pool: Executor,
    work: Callable[..., Any],
    tasks: Sequence[tuple[int, Any]],
    common: tuple[Any, ...],
) -> Iterator[tuple[int, Any]]:
    done: SimpleQueue[Future] = SimpleQueue()
    numbers: dict[Future, int] = {}
    left = iter(tasks)

    def hand_out(count: int) -> None:
        for number, task in islice(left, count):
            future = pool.submit(work, task, *common)
            numbers[future] = number
            future.add_done_callback(done.put)

    hand_out(IN_FLIGHT)
    while numbers:
        future = done.get()
        result = future.result()
        yield numbers.pop(future), result
        hand_out(1)
