"""Single steps of a frame as they are done, beside ways that were not taken.

python -m tools.kernel.steps [--rounds 20] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable

import cv2
import numpy as np

from multimodal_fusion.benchmark.table import markdown
from multimodal_fusion.fusers.kernel.recycled import Recycled
from multimodal_fusion.pipeline.thermal import to_white_hot
from multimodal_fusion.registration.warp import Registration, RegistrationSettings

_LIMITS = (7012.37, 8433.21)  # counts
_MATRIX = (2.01, 0.02, 5.0, 0.01, 1.98, -3.0, 1e-5, 2e-5, 1.0)
_SIZE = (1280, 1024)  # of the visible image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=20, help='of ten calls each')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        rows = _measure(args.rounds)
    finally:
        cv2.setNumThreads(threads)
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print(markdown(list(rows[0]), [list(row.values()) for row in rows]))


def _measure(rounds: int) -> list[dict]:
    """Ten calls a round."""
    steps = {
        'thermal 640x512': _thermal(),
        'homography 1280x1024': _homography(),
        'memory of a result 640x480x3': _memory(),
    }
    rows = []
    for step, ways in steps.items():
        results = {way: work() for way, work in ways.items()}
        used = next(iter(results.values())).astype(int)
        for way, seconds in _interleaved(ways, 10 * rounds).items():
            fastest = np.sort(seconds)[: max(1, len(seconds) // 10)] * 1e3
            rows.append(
                {
                    'step': step,
                    'way': way,
                    'fastest ms': float(f'{fastest[0]:.3g}'),
                    'median of fastest tenth': float(f'{np.median(fastest):.3g}'),
                    'most levels from the first': int(np.abs(results[way] - used).max()),
                }
            )
    return rows


def _interleaved(ways: dict[str, Callable], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of every call, one of each in turn."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            start = time.perf_counter()
            work()
            seconds[way].append(time.perf_counter() - start)
    return {way: np.array(times) for way, times in seconds.items()}


def _thermal() -> dict[str, Callable]:
    frame = np.random.default_rng(0).normal(7500, 300, (512, 640)).clip(0, 16383).astype(np.uint16)
    alpha = 255.0 / (_LIMITS[1] - _LIMITS[0])
    table = to_white_hot(np.arange(65536, dtype=np.uint16).reshape(256, 256), _LIMITS).ravel()
    grey = np.empty(frame.shape, np.uint8)
    return {
        'in use': lambda: to_white_hot(frame, _LIMITS),
        'addWeighted': lambda: cv2.addWeighted(
            frame, alpha, frame, 0.0, -_LIMITS[0] * alpha, dtype=cv2.CV_8U
        ),
        'look-up table': lambda: np.take(table, frame, out=grey, mode='clip'),
    }


def _homography() -> dict[str, Callable]:
    noise = np.random.default_rng(0).integers(0, 256, (512, 640), np.uint8)
    thermal = cv2.GaussianBlur(noise, (0, 0), 2)
    settings = RegistrationSettings('homography', list(_MATRIX))
    registration = Registration.of(settings)
    x, y = np.meshgrid(*map(np.arange, _SIZE))
    at = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(np.reshape(_MATRIX, (3, 3))).T
    maps = (at[..., :2] / at[..., 2:]).astype(np.float32)
    fixed = cv2.convertMaps(maps[..., 0], maps[..., 1], cv2.CV_16SC2)
    return {
        'in use': lambda: registration.apply(thermal, _SIZE[::-1]),
        'cached maps, fixed point': lambda: cv2.remap(thermal, *fixed, cv2.INTER_LINEAR),
        'cached maps, float': lambda: cv2.remap(
            thermal, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR
        ),
    }


def _memory() -> dict[str, Callable]:
    """Taken, and written to once."""
    recycled, shape = Recycled(), (480, 640, 3)

    def written(array: np.ndarray) -> np.ndarray:
        array.fill(0)
        return array

    return {
        'in use': lambda: written(recycled.take(shape)),
        'fresh': lambda: written(np.empty(shape, np.uint8)),
    }


if __name__ == '__main__':
    main()
