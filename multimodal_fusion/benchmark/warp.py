"""`bench warp`: what registration costs a frame, one thread, beside a copy of the image."""

import argparse
import json
import time

import cv2
import numpy as np

from ..registration.camera import Lens
from ..registration.plane import KnownRig, Pose
from ..registration.stored import Stored
from ..registration.warp import Registration, RegistrationSettings, blend
from .fusers import parse_size
from .table import markdown

_TURN = cv2.Rodrigues(np.deg2rad([1.0, -2.0, 3.0]))[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes and rounds are those of the fusers."""


def run(args: argparse.Namespace) -> int:
    rows = [
        row
        for text in args.sizes.split(',')
        for row in _of_size(parse_size(text), max(args.rounds, 1))
    ]
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print(markdown(list(rows[0]), [list(row.values()) for row in rows]))
    return 0


def _of_size(size: tuple[int, int], rounds: int) -> list[dict]:
    """size: width, height, of both images. The ways in turn, round by round."""
    width, height = size
    thermal = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    visible = np.dstack((thermal,) * 3)
    ways = {
        f'{mode}{", straightened" if bent else ""}': _registration(mode, bent, (height, width))
        for mode, bent in (('homography', False), ('homography', True), ('calibrated', True))
    }
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        took: dict[str, list[float]] = {'copy': [], 'blend at the edges': []}
        took |= {name: [] for name in ways}
        for number in range(rounds + 1):
            found = {'copy': _seconds(thermal.copy)}
            for name, way in ways.items():
                found[name] = _seconds(lambda way=way: way.apply(thermal, (height, width)))
            weights = ways['homography'].weights((height, width), (height, width))
            assert weights is not None
            found['blend at the edges'] = _seconds(lambda w=weights: blend(visible, visible, w))
            if number:  # the first makes the maps
                for name, seconds in found.items():
                    took[name].append(seconds)
    finally:
        cv2.setNumThreads(threads)
    return [
        {
            'size': f'{width}x{height}',
            'what': name,
            'median (ms)': f'{np.median(seconds) * 1e3:.2f}',
            'quartiles (ms)': ' - '.join(
                f'{q * 1e3:.2f}' for q in np.percentile(seconds, (25, 75))
            ),
        }
        for name, seconds in took.items()
    ]


def _registration(mode: str, bent: bool, size: tuple[int, int]) -> Registration:
    height, width = size
    matrix = (
        float(width),
        0.0,
        (width - 1) / 2,
        0.0,
        float(width),
        (height - 1) / 2,
        0.0,
        0.0,
        1.0,
    )
    lens = Lens(size, matrix, 'plumb_bob', (-0.2, 0.05, 0.0, 0.0, 0.0))
    place = np.array([[0.9, -0.05, 0.06 * width], [0.05, 0.9, 0.02 * height], [1e-5, 0, 1]])
    stored = Stored(place, size, size, {}, Pose(tuple(_TURN.ravel()), (0.1, 0.0, 0.0)))
    settings = RegistrationSettings(mode=mode, undistort=bent)
    return Registration(settings, stored, KnownRig({'rgb': lens, 'thermal': lens}))


def _seconds(work) -> float:
    """Of one call, the best of five."""
    best = float('inf')
    for _ in range(5):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
