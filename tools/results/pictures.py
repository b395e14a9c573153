"""What a person would see, measured on made pictures: halos, flat areas, flicker, noise, polarity,
signs. Their step edges are wider than those that training shows (`train.losses.halo`).

python -m tools.results.pictures --models max,laplacian,mmdrfuse_plus,mmdrfuse_pyramid
"""

import argparse
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from multimodal_fusion.evaluate.metrics import flicker
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.scene import Scene

LOW, HIGH = 30, 220  # grey levels of a step edge
FLAT = (30, 125, 220)  # of the other source
FAR, PLATEAU = 12, 40  # pixels from the edge
NOISE = 6.0  # standard deviation, grey levels
Fuse = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(visible, thermal) -> fused, uint8 (H, W)."""


def steps() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Visible and thermal, uint8 (64, 160): a step in one of them, the other flat."""
    for level, (left, right) in itertools.product(FLAT, ((LOW, HIGH), (HIGH, LOW))):
        step = np.full((64, 160), left, np.uint8)
        step[:, 80:] = right
        flat = np.full_like(step, level)
        yield step, flat
        yield flat, step


def overshoot(fuse: Fuse) -> tuple[int, int]:
    """The most grey levels beyond the plateaus, anywhere and over 12 pixels from the edge."""
    distance, most = np.abs(np.arange(160) - 79.5), [0, 0]
    for visible, thermal in steps():
        row = fuse(visible, thermal)[32].astype(int)
        low, high = sorted((row[80 - PLATEAU], row[79 + PLATEAU]))
        over = np.maximum(row - high, low - row)
        most = [max(most[0], over.max()), max(most[1], over[distance > FAR].max())]
    return int(most[0]), int(most[1])


def off_flat(fuse: Fuse) -> int:
    """The most grey levels by which equal flat sources do not give their value."""
    flats = (np.full((64, 64), level, np.uint8) for level in range(0, 256, 5))
    return max(int(np.abs(fuse(flat, flat).astype(int) - flat).max()) for flat in flats)


def scene(frames: int = 20) -> list[tuple[np.ndarray, np.ndarray]]:
    """Visible luma and thermal of the synthetic road, ten frames a second."""
    road = Scene(seed=3, freeze_for=0)
    return [(luma(road.visible(i / 10)), road.thermal(i / 10)) for i in range(frames)]


def flickering(fuse: Fuse) -> float:
    """`flicker` on the synthetic road, grey levels."""
    visible, thermal = zip(*scene(), strict=True)
    return flicker(thermal, visible, map(fuse, visible, thermal))


def noise_passed(fuse: Fuse) -> float:
    """How much of noise that is added to thermal is there in the fused synthetic road."""
    random, shares = np.random.default_rng(0), []
    for visible, thermal in scene()[::5]:
        noisy = np.clip(thermal + random.normal(0, NOISE, thermal.shape), 0, 255).round()
        change = fuse(visible, noisy.astype(np.uint8)).astype(float) - fuse(visible, thermal)
        shares.append(change.std() / (noisy - thermal).std())
    return float(np.mean(shares))


def black_hot_person(fuse: Fuse) -> int:
    """Grey levels by which a black-hot person (20 on 150) over a flat visible of 120 is darker."""
    thermal = np.full((96, 96), 150, np.uint8)
    thermal[30:66, 40:54] = 20
    fused = fuse(np.full_like(thermal, 120), thermal).astype(int)
    return int(fused[10, 10] - fused[48, 47])


def sign_kept(fuse: Fuse) -> tuple[float, ...]:
    """The share of a sign's contrast (bars of 150 on 90) that is left under a flat thermal of 180,
    for bars of 2, 4 and 8 pixels."""
    found = []
    for bar in (2, 4, 8):
        visible = np.full((96, 128), 90, np.uint8)
        for top in range(24, 72, 2 * bar):
            visible[top : top + bar, 20:108] = 150
        fused = fuse(visible, np.full_like(visible, 180))[24:72, 64].astype(float)
        bright = visible[24:72, 64] == 150
        found.append(float(fused[bright].mean() - fused[~bright].mean()) / 60)
    return tuple(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--models', required=True, help='names or .onnx paths, by comma')
    parser.add_argument('--allow-unlisted', action='store_true')
    args = parser.parse_args()
    columns = (
        'overshoot', 'beyond 12 px', 'off flat', 'flicker', 'noise passed', 'black-hot person',
        'sign kept',
    )  # fmt: skip
    print(f'| | {" | ".join(columns)} |')
    print('|---' * (len(columns) + 1) + '|')
    for name in args.models.split(','):
        fuser = Fuser.load(name, allow_unlisted=args.allow_unlisted)
        near, far = overshoot(fuser.fuse)
        cells = (
            near, far, off_flat(fuser.fuse), f'{flickering(fuser.fuse):.3f}',
            f'{noise_passed(fuser.fuse):.2f}', black_hot_person(fuser.fuse),
            ', '.join(f'{share:.2f}' for share in sign_kept(fuser.fuse)),
        )  # fmt: skip
        print(f'| {fuser.name} | ' + ' | '.join(map(str, cells)) + ' |', flush=True)


if __name__ == '__main__':
    main()
