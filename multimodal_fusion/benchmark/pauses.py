"""When a processor did not run what was ready, for other guests of the host or other jobs."""

import os
import threading
import time

_NAP = 0.001  # seconds
_PRIORITY = 50  # of 1 to 99


class Pauses:
    """Notes, on every processor, when a thread that naps for a millisecond did not come back for
    ``least`` seconds. A context manager.

    priority: of its threads: ``real-time``, above the processes that are measured, where the user
    may ask for that; else ``equal``, and then those processes may be what it waited for.
    """

    def __init__(self, least: float = 0.01):
        self.found: list[tuple[float, float]] = []  # begin and end, of time.monotonic
        self.priority = 'equal'
        self._least, self._done = least, threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(cpu,), daemon=True)
            for cpu in os.sched_getaffinity(0)
        ]
        self._ready = threading.Barrier(len(self._threads) + 1)

    def longest(self, begin: float, end: float) -> float:
        """Seconds of the longest pause that overlaps this stretch; 0 if there was none."""
        overlapping = (b - a for a, b in list(self.found) if a < end and b > begin)
        return max(overlapping, default=0.0)

    def __enter__(self) -> 'Pauses':
        for thread in self._threads:
            thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})  # of this thread
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
            self.priority = 'real-time'
        except PermissionError:
            pass
        last = time.monotonic()
        self._ready.wait()
        while not self._done.is_set():
            time.sleep(_NAP)
            now = time.monotonic()
            if now - last >= self._least:
                self.found.append((last, now))
            last = now
