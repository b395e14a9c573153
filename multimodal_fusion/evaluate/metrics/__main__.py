"""Time the metrics: python -m multimodal_fusion.evaluate.metrics [WIDTH HEIGHT]."""

from __future__ import annotations

import statistics
import sys
import time

import cv2
import numpy as np

from . import DEFINITIONS, SourcePair, Triple, evaluate


def main() -> None:
    """Print the median time of all metrics on one core (set OMP_NUM_THREADS=1 as well)."""
    width, height = (int(word) for word in sys.argv[1:3]) if len(sys.argv) > 2 else (640, 480)
    cv2.setNumThreads(1)
    chance = np.random.default_rng(0)
    thermal, visible = (
        cv2.GaussianBlur(chance.integers(0, 256, (height, width), np.uint8), (0, 0), 1.5)
        for _ in range(2)
    )
    fused = np.maximum(thermal, visible)

    def milliseconds(work) -> str:
        walls, cores = [], []
        for _ in range(21):
            wall, core = time.perf_counter(), time.process_time()
            work()
            walls.append(1000 * (time.perf_counter() - wall))
            cores.append(1000 * (time.process_time() - core))
        wall, core = statistics.median(walls), statistics.median(cores)
        return f'median {wall:.1f} ms, of it processor {core:.1f} ms; least {min(walls):.1f} ms'

    def all_definitions(sources: SourcePair) -> None:
        images = Triple(sources, fused)
        for definition in DEFINITIONS:
            evaluate(images, definition)

    for definition in DEFINITIONS:
        print(
            f'{width}x{height}, {definition}, sources and fused:',
            milliseconds(
                lambda name=definition: evaluate(Triple(SourcePair(thermal, visible), fused), name)
            ),
        )
    print(
        f'{width}x{height}, all definitions, sources and fused:',
        milliseconds(lambda: all_definitions(SourcePair(thermal, visible))),
    )
    sources = SourcePair(thermal, visible)
    all_definitions(sources)
    print(
        f'{width}x{height}, ours, a further fused image of the same sources:',
        milliseconds(lambda: evaluate(Triple(sources, fused))),
    )


if __name__ == '__main__':
    main()
