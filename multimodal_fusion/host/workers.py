"""Tasks on processes of this machine, or on a cluster: both are a `concurrent.futures.Executor`."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice, repeat
from queue import SimpleQueue
from typing import Any, TypeVar

from ..errors import Interrupted, UserError, told

Task = TypeVar('Task')
ATTEMPTS = 3  # of what was under way when a process died
_CLEANING_UP = 5.0  # seconds that a process has for it
_SIGNALS = signal.SIGINT, signal.SIGTERM
IN_FLIGHT = 10_000  # tasks handed out at most: each takes some 25 kB of Dask's scheduler


@contextmanager
def local(jobs: int) -> Iterator[Executor]:
    """Processes of this machine. Where the context is left by an exception they are ended, once
    they have cleaned up; nobody waits for what was handed out."""
    before = set(multiprocessing.active_children())
    # spawn: forking a process that has threads (OpenCV, ONNX Runtime, rclpy) can hang it.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context('spawn'), _begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        own = set(multiprocessing.active_children()) - before
        for process in own:
            process.terminate()
        for process in own:
            process.join(_CLEANING_UP)
            process.kill()
        pool.shutdown()
        raise
    pool.shutdown()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals wait; and so they do for processes that are made meanwhile, until `_begin`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_working = False  # in a process of `local`


def _begin() -> None:
    """In a new process: a signal ends it once it has cleaned up, and so does the end of the one
    that made it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for number in _SIGNALS:
        signal.signal(number, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _end(*_: Any) -> None:
    if not _working:
        os._exit(1)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)  # a second one would end the cleaning up
    raise Interrupted


def _run(work: Callable[..., Any], task: Any, *common: Any) -> Any:
    global _working
    _working = True
    try:
        return work(task, *common)
    except Interrupted:
        os._exit(1)  # the task has cleaned up; the executor would go on with the next one
    finally:
        _working = False


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Dask's workers at a scheduler, ``tcp://host:8786``; Dask reruns what a dead one left."""
    try:
        from distributed import Client
    except ImportError:
        raise UserError('--cluster needs Dask: pip install "multimodal_fusion[cluster]"') from None
    if not re.fullmatch(r'\w+://.+:\d+', address):
        raise UserError(
            f'--cluster is {address!r}; give the address of a scheduler: tcp://HOST:8786'
        )
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


def run_in_order(
    jobs: int, work: Callable[..., Any], tasks: Iterable[Any], *common: Any
) -> Iterator[Any]:
    """Results of ``work(task, *common)`` by processes of this machine, in the order of the tasks.
    Raises UserError where one dies."""
    try:
        with local(jobs) as pool:
            with _signals_held():
                found = pool.map(partial(_run, work), tasks, *map(repeat, common))
            yield from found
    except BrokenExecutor as error:
        raise UserError('a process died, perhaps of memory: give fewer --jobs') from error


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
        with _signals_held():
            for number, task in islice(left, count):
                future = pool.submit(_run, work, task, *common)
                numbers[future] = number
                future.add_done_callback(done.put)

    hand_out(IN_FLIGHT)
    while numbers:
        future = done.get()
        result = future.result()
        yield numbers.pop(future), result
        hand_out(1)
