"""What the machine can do at best: copy bytes, and multiply matrices."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

MACS = 108  # multiply-adds a pixel of the two-layer network: 2 x 4 x 9 + 4 x 9
_SIDE = 384  # of the matrices: 1.7 MB in all, within the cache of a core


class Floor:
    """Times both floors with a number of threads. Use it with the BLAS of numpy on one thread
    (OPENBLAS_NUM_THREADS=1): the threads are ours, as numpy lets go of the interpreter."""

    def __init__(self, threads: int):
        self.threads = threads
        random = np.random.default_rng(0)
        self._factors = [
            [random.random((_SIDE, _SIDE), np.float32) for _ in range(3)] for _ in range(threads)
        ]
        self._pool = ThreadPoolExecutor(threads)

    def copy_seconds(self, moved: int) -> float:
        """Seconds to move this many bytes, half of them reads and half writes."""
        part = max(1, moved // 2 // self.threads)
        buffers = [np.ones((2, part), np.uint8) for _ in range(self.threads)]
        return self._seconds(lambda pair: np.copyto(pair[1], pair[0]), buffers)

    def multiply_seconds(self, macs: int) -> float:
        """Seconds for this many float32 multiply-adds at the rate of numpy's matrix product."""
        took = self._seconds(lambda abc: np.matmul(abc[0], abc[1], out=abc[2]), self._factors)
        return took * macs / (_SIDE**3 * self.threads)

    def _seconds(self, work, items: list) -> float:
        if self.threads == 1:
            work(items[0])
            start = time.perf_counter()
            work(items[0])
            return time.perf_counter() - start
        list(self._pool.map(work, items))
        start = time.perf_counter()
        list(self._pool.map(work, items))
        return time.perf_counter() - start
