"""How well calibration without a target does, on real pairs with truth and on planted warps.

    python -m tools.results.registration --data DATA --out docs/results

DATA holds registration and ivif. Thresholds were set on registration/train. Some 20 minutes of one
core; --only pairs, strangers, planted or targets for a part.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.errors import UserError
from multimodal_fusion.host.progress import progress
from multimodal_fusion.io.image_files import read_thermal, read_visible
from multimodal_fusion.registration.calibrate import calibrate
from multimodal_fusion.registration.estimate import Estimate, estimate
from multimodal_fusion.registration.search import gap
from multimodal_fusion.registration.targets import target

PARTS = ('pairs', 'strangers', 'planted', 'targets')
STRANGERS, TRIALS, FRAMES = 40, 20, 20
SIZE = (480, 640)  # planted


@dataclass(frozen=True)
class Pair:
    """truth: 3x3, thermal to visible pixels; None where nobody knows."""

    stem: str
    part: str
    visible: np.ndarray
    thermal: np.ndarray
    truth: np.ndarray | None

    def error(self, matrix: np.ndarray) -> float:
        """Per cent of the visible's diagonal, mean over a 5x5 grid of thermal pixels."""
        diagonal = float(np.hypot(*self.visible.shape[:2]))
        return 100 * gap(matrix, self.truth, self.thermal.shape[:2]) / diagonal


def real(data: Path) -> Iterator[Pair]:
    for part in ('train', 'val'):
        for thermal in sorted((data / 'registration' / part / 'ir').iterdir()):
            folder, stem = data / 'registration' / part, thermal.stem
            truth = folder / f'gt/{stem}_H.txt'
            visible = next((folder / 'vis').glob(f'{stem}.*'))
            yield Pair(
                stem,
                part,
                read_visible(visible),
                read_thermal(thermal),
                np.loadtxt(truth) if truth.is_file() else None,
            )


def timed(pair: Pair) -> tuple[Estimate, float]:
    start = time.process_time()
    return estimate([(pair.visible, pair.thermal)]), time.process_time() - start


def pairs(data: Path) -> str:
    known = [pair for pair in real(data) if pair.truth is not None]
    lines = [['pair', 'part', 'error, %', 'agreement', 'blocks', 'rival', 's', '']]
    errors: dict[str, list[float]] = {'train': [], 'val': []}
    counts = dict.fromkeys(errors, 0)
    for pair in progress(known, len(known)):
        found, seconds = timed(pair)
        off = pair.error(found.matrix)
        counts[pair.part] += 1
        if found.sure:
            errors[pair.part].append(off)
        lines.append(
            [
                pair.stem, pair.part, f'{off:.2f}', f'{found.vote.share:.2f}',
                str(found.vote.blocks), f'{found.rival:.2f}', f'{seconds:.1f}',
                'accepted' if found.sure else 'refused',
            ]
        )  # fmt: skip
    both = errors['train'] + errors['val']
    words = [
        f'{len(some)} of {count} accepted on {part}, {sum(e < 2.5 for e in some)} of these under '
        f'2.5%, at most {max(some):.1f}%, median {np.median(some):.2f}%'
        for part, some, count in (
            ('train', errors['train'], counts['train']),
            ('val', errors['val'], counts['val']),
            ('both', both, sum(counts.values())),
        )
    ]
    return f'## Single real pairs\n\n{"; ".join(words)}.\n\n{_table(lines)}'


def strangers(data: Path) -> str:
    """Visible and thermal of two different scenes."""
    every = list(real(data))
    random = np.random.default_rng(3)
    mixed = []
    for a, b in itertools.islice(
        ((every[i], every[j]) for i, j in _draws(random, len(every))), 10 * STRANGERS
    ):
        alike = a.stem.split('_')[0] == b.stem.split('_')[0]
        if not (alike and a.stem.startswith(('aruco', 'flirone'))) and len(mixed) < STRANGERS:
            mixed.append((a, b))
    shares, accepted = [], []
    for a, b in progress(mixed, len(mixed)):
        found = estimate([(a.visible, b.thermal)])
        shares.append(found.vote.share)
        if found.sure:
            accepted.append(f'{a.stem} with {b.stem}')
    return (
        f'## Pairs of two different scenes\n\n{len(accepted)} of {len(mixed)} accepted'
        f'{": " * bool(accepted)}{", ".join(accepted)}; agreement at most {max(shares):.2f}, '
        f'median {np.median(shares):.2f}.\n'
    )


def _draws(random: np.random.Generator, count: int) -> Iterator[tuple[int, int]]:
    while True:
        i, j = random.choice(count, 2, replace=False)
        yield int(i), int(j)


def planted(data: Path) -> str:
    """Registered pairs whose thermal image is warped as another camera would see it."""
    folder = data / 'ivif/train'
    stems = sorted(path.stem for path in (folder / 'ir').iterdir())
    sets = {
        name: [s for s in stems if s.startswith(f'{name}_') and not s.startswith('llvip_020')]
        for name in ('msrs', 'road', 'llvip')
    }
    random = np.random.default_rng(7)
    lines = [['set', 'scale', 'inside, px', 'corners, px', 'sure', 's']]
    found_by: dict[str, list[tuple[float, float]]] = {name: [] for name in sets}
    for k in progress(range(TRIALS), TRIALS):
        name = list(sets)[k % len(sets)]
        chosen = random.permutation(sets[name])[:FRAMES]
        matrix = _warp(random)
        frames = []
        for stem in chosen:
            visible = read_visible(next((folder / 'vis').glob(f'{stem}.*')))
            thermal = read_thermal(folder / f'ir/{stem}.png')
            both = [cv2.resize(image, SIZE[::-1]) for image in (visible, thermal)]
            seen = cv2.warpPerspective(
                both[1], np.linalg.inv(matrix), SIZE[::-1], flags=cv2.INTER_AREA
            )
            frames.append((both[0], seen))
        start = time.process_time()
        found = estimate(frames)
        seconds = time.process_time() - start
        inside, corners = _off(found.matrix, matrix)
        found_by[name].append((inside, corners))
        lines.append(
            [
                name, f'{np.sqrt(abs(np.linalg.det(matrix[:2, :2]))):.2f}', f'{inside:.2f}',
                f'{corners:.2f}', 'yes' if found.sure else 'no', f'{seconds:.0f}',
            ]
        )  # fmt: skip
    every = [pair for some in found_by.values() for pair in some]
    words = [
        f'{name}: {np.median([a for a, _ in some]):.1f} inside, '
        f'{np.median([b for _, b in some]):.1f} at the corners'
        for name, some in (*found_by.items(), ('all', every))
    ]
    return (
        f'## {FRAMES} frames, planted warps\n\nMedians over the trials, pixels at {SIZE[1]} wide: '
        f'{"; ".join(words)}. The pairs themselves are 1 to 4 pixels off.\n\n{_table(lines)}'
    )


def _warp(random: np.random.Generator) -> np.ndarray:
    """Scale 0.7 to 1.4, 5 degrees, 80 pixels, slight perspective, about the middle."""
    scale = np.exp(random.uniform(np.log(0.7), np.log(1.4)))
    turn = np.deg2rad(random.uniform(-5, 5))
    dx, dy = random.uniform(-80, 80, 2)
    px, py = random.uniform(-5e-5, 5e-5, 2)
    middle = np.array([[1, 0, SIZE[1] / 2], [0, 1, SIZE[0] / 2], [0, 0, 1]])
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    inner = np.array([[cosine, -sine, dx], [sine, cosine, dy], [px, py, 1]])
    return middle @ inner @ np.linalg.inv(middle)


def _off(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(median over what lies inside the visible image, mean of the corners), px."""
    x, y = np.meshgrid(np.linspace(0, SIZE[1] - 1, 21), np.linspace(0, SIZE[0] - 1, 21))
    points = np.stack((x.ravel(), y.ravel()), 1)[:, None]
    one, other = (cv2.perspectiveTransform(points, m)[:, 0] for m in (truth, found))
    off = np.hypot(*(one - other).T)
    inside = ((one >= 0) & (one < SIZE[::-1])).all(1)
    corners = off.reshape(21, 21)[[0, 0, -1, -1], [0, -1, 0, -1]]
    return float(np.median(off[inside])), float(corners.mean())


def targets(data: Path) -> str:
    lines = [['pair', 'points', 'residual, px', 'at most', "the truth's own, px"]]
    for pair in real(data):
        kind = {'aruco': 'aruco', 'chess': 'chessboard:6x5'}.get(pair.stem.split('_')[0])
        if kind is None:
            continue
        note = json.loads(
            (data / f'registration/{pair.part}/gt/{pair.stem}.json').read_text()
        )['note']  # fmt: skip
        own = note.partition('residual')[2].split(';')[0].split('(')[0].strip(' .mean')
        try:
            found = calibrate([(pair.visible, pair.thermal)], matcher=target(kind), exact=True)
            median, most = found.estimate.residuals
            points = found.estimate.model.removeprefix('homography of ').removesuffix(' points')
            lines.append([pair.stem, points, f'{median:.2f}', f'{most:.2f}', own[:34]])
        except UserError as error:
            lines.append([pair.stem, '–', '–', '–', str(error)])
    return f'## Targets\n\n{_table(lines)}'


def _table(lines: list[list[str]]) -> str:
    rows = [lines[0], ['---', *['---:'] * (len(lines[0]) - 1)], *lines[1:]]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--out', type=Path, default=Path('docs/results'))
    parser.add_argument('--only', choices=PARTS, action='append', default=[])
    args = parser.parse_args()
    cv2.setNumThreads(1)
    makers = {'pairs': pairs, 'strangers': strangers, 'planted': planted, 'targets': targets}
    found = [makers[name](args.data) for name in PARTS if not args.only or name in args.only]
    text = (
        '# Calibration without a target\n\n`python -m tools.results.registration`. Seconds are of '
        'one core.\n\n' + '\n'.join(found)
    )
    if args.only:
        print(text)
    else:
        (args.out / 'registration.md').write_text(text)


if __name__ == '__main__':
    main()
