"""Tasks on executors: all of them, so many at once, and errors told."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from multimodal_fusion.errors import Interrupted, UserError
from multimodal_fusion.host import workers
from multimodal_fusion.host.workers import ATTEMPTS, local, run_all, run_in_order


def twice(task, more=0):
    return 2 * task + more


def fails(task):
    raise UserError(f'task {task}')


class Counting(ThreadPoolExecutor):
    """Counts what is handed out and not done yet."""

    def __init__(self):
        super().__init__(2)
        self.out = self.most = 0
        self.lock = threading.Lock()

    def submit(self, *words):
        future = super().submit(*words)
        with self.lock:
            self.out += 1
            self.most = max(self.most, self.out)
        future.add_done_callback(self.back)
        return future

    def back(self, _):
        with self.lock:
            self.out -= 1


def test_every_task_has_its_result_and_few_are_out_at_once(monkeypatch):
    monkeypatch.setattr(workers, 'IN_FLIGHT', 7)
    pool = Counting()
    found = dict(run_all(lambda: pool, twice, range(500), 1))
    assert found == {n: 2 * n + 1 for n in range(500)}
    assert 0 < pool.most <= 7
    assert list(run_all(lambda: pool, twice, [])) == []


def test_an_error_of_a_task_is_told():
    with pytest.raises(UserError, match='task 1'):
        list(run_all(lambda: ThreadPoolExecutor(1), fails, [1]))


class Broken(ThreadPoolExecutor):
    """Dies after so many tasks."""

    def __init__(self, after):
        super().__init__(1)
        self.after = after

    def submit(self, *words):
        self.after -= 1
        if self.after < 0:
            raise BrokenExecutor('dead')
        return super().submit(*words)


def test_what_a_dead_process_left_runs_again():
    pools = [Broken(2), Broken(0), Broken(0), Broken(9)]
    found = dict(run_all(lambda: pools.pop(0), twice, range(2)))
    assert found == {0: 0, 1: 2} and len(pools) == 3
    pools = [Broken(0)] * ATTEMPTS
    with pytest.raises(UserError, match='a process died 3 times in a row'):
        list(run_all(lambda: pools.pop(0), twice, range(2)))


def holds(task, folder):
    """Works until a signal comes, with a folder that is to be removed."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        (Path(own) / 'ready').touch()
        signal.pause()


def hold(folder):
    """As a command does: 100 tasks by two processes, until a signal comes."""

    def interrupt(*_):
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        list(run_all(lambda: local(2), holds, range(100), folder))
    except Interrupted:
        sys.exit(130)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_processes_which_clean_up(tmp_path, number):
    """SIGINT goes to all of them, as from a terminal, SIGTERM to the first alone."""
    command = [sys.executable, '-c', f'from {__name__} import hold; hold({str(tmp_path)!r})']
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob('*/ready'))) < 2 and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    assert process.communicate(timeout=50) == (None, '') and process.returncode == 130
    assert not list(tmp_path.iterdir())
    assert not psutil.wait_procs(children, timeout=20)[1]


def test_processes_end_with_the_one_that_made_them(tmp_path):
    """kill -9 of the first: the others clean up and end by themselves."""
    command = [sys.executable, '-c', f'from {__name__} import hold; hold({str(tmp_path)!r})']
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob('*/ready'))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert not psutil.wait_procs(children, timeout=20)[1]
    assert not list(tmp_path.iterdir())


def dies(task):
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def test_results_in_order_and_a_process_that_dies():
    assert list(run_in_order(2, twice, range(20), 1)) == [2 * n + 1 for n in range(20)]
    with pytest.raises(UserError, match='a process died, perhaps of memory'):
        list(run_in_order(2, dies, range(20)))
