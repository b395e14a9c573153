"""Tasks on executors: all of them, so many at once, and errors told."""

import threading
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.host import workers
from multimodal_fusion.host.workers import ATTEMPTS, run_all


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
