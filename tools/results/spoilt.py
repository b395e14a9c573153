"""Fusion of spoilt pairs, scored against the clean ones: what mending is worth.

    python -m tools.results.spoilt --data DATA/train --stems config/train/ivif_test.txt \\
        --models max,guided_filter,mmdrfuse_plus,mmdrfuse_pyramid,runs/student/model.onnx

Each pair is spoilt by one fault of `train.data.faults` at three strengths, or by several at once;
every fuser gets the spoilt pair. VIF, Qabf, SSIM and KC are those of its result beside the clean
sources. ``chain`` is what one would build today: OpenCV's fast non-local means and CLAHE on both
images, then the fuser of ``--chain``. A teacher (``--teacher``) is told what was planted.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.evaluate.metrics import SourcePair, Triple, evaluate
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.text import FAULTS, PHRASES
from multimodal_fusion.host.progress import progress
from multimodal_fusion.io.datasets import find_pairs
from multimodal_fusion.io.image_files import read_thermal, read_visible
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.io.stems import Selection
from multimodal_fusion.train.data.faults import Found, spoil
from multimodal_fusion.train.data.text import noise_level

METRICS = ('VIF', 'Qabf', 'SSIM', 'KC')
SINGLE = (
    'low light in the visible image',
    'over-exposure in the visible image',
    'haze in the visible image',
    'blur in the visible image',
    'noise in the visible image',
    'noise in the thermal image',
    'stripes in the thermal image',
)
TOGETHER = (
    ('low light in the visible image', 'noise in the thermal image'),
    ('haze in the visible image', 'stripes in the thermal image'),
    ('low light in the visible image', 'noise in the visible image', 'noise in the thermal image',
     'stripes in the thermal image'),
)  # fmt: skip
STRENGTHS = (0.25, 0.55, 1.0)
Phrases = tuple[str, ...]
Fuse = Callable[[np.ndarray, np.ndarray, Phrases], np.ndarray]
"""(visible, thermal, what was planted) -> fused, uint8."""


def conditions() -> dict[str, tuple[Phrases, float]]:
    """{name: (phrases, strength)}; clean first."""
    found: dict[str, tuple[Phrases, float]] = {'clean': ((), 0.0)}
    for phrase in SINGLE:
        for strength in STRENGTHS:
            found[f'{phrase}, {strength:g}'] = ((phrase,), strength)
    for phrases in TOGETHER:
        found[f'{len(phrases)} at once: {"; ".join(phrases)}'] = (phrases, STRENGTHS[1])
    return found


def chain(fuser: Fuser) -> Fuse:
    """Denoising as strong as the measured noise, CLAHE, then a fuser."""
    clahe = cv2.createCLAHE(2.0, (8, 8))

    def mended(image: np.ndarray) -> np.ndarray:
        grey = luma(image)
        return clahe.apply(cv2.fastNlMeansDenoising(grey, None, min(30.0, noise_level(grey))))

    return lambda visible, thermal, _: fuser.fuse(mended(visible), mended(thermal))


def untold(fuser: Fuser) -> Fuse:
    return lambda visible, thermal, _: fuser.fuse(visible, thermal)


def told(model: str) -> Fuse:
    """A teacher, with a session for each text."""
    fusers: dict[Phrases, Fuser] = {}

    def fuse(visible: np.ndarray, thermal: np.ndarray, phrases: Phrases) -> np.ndarray:
        if phrases not in fusers:
            text = '. '.join(said(phrase) for phrase in phrases) or 'clean'
            fusers[phrases] = Fuser.load(model, allow_unlisted=True, text=text)
        return fusers[phrases].fuse(visible, thermal)

    return fuse


def said(phrase: str) -> str:
    """A fault in the words of a text."""
    image, name = list(FAULTS)[PHRASES.index(phrase)]
    return f'{image}: {name}'


def contenders(names: list[str], last: str, teacher: str = '') -> dict[str, Fuse]:
    fusers = [Fuser.load(name, allow_unlisted=True) for name in names]
    found = {fuser.name: untold(fuser) for fuser in fusers}
    found |= {'teacher, told': told(teacher)} if teacher else {}
    return found | {f'chain, {last}': chain(Fuser.load(last))}


def planted(phrases: Phrases, strength: float, visible, thermal, seed: tuple[int, ...]):
    """A pair with these faults."""
    faults = [Found(PHRASES.index(phrase), strength) for phrase in phrases]
    return spoil(visible, thermal, faults, np.random.default_rng(seed))


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image, at most ``side`` pixels wide and high; 0: all of it."""
    if not side:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def measure(
    pairs, fusers: dict[str, Fuse], side: int = 0, seed: int = 0
) -> dict[str, dict[str, dict]]:
    """{condition: {fuser: {metric: mean}}}."""
    rows: dict[str, dict[str, list]] = {}
    for number, files in enumerate(progress(pairs, unit='pairs')):
        visible = middle(read_visible(files.visible), side)
        thermal = middle(read_thermal(files.thermal), side)
        sources = SourcePair(thermal, luma(visible))
        for name, (phrases, strength) in conditions().items():
            spoilt = planted(phrases, strength, visible, thermal, (seed, number))
            for fuser, fuse in fusers.items():
                fused = luma(fuse(*spoilt, phrases))
                values = evaluate(Triple(sources, fused), metrics=METRICS)
                rows.setdefault(name, {}).setdefault(fuser, []).append(values)
    return {
        name: {
            fuser: {m: float(np.nanmean([v[m] for v in values])) for m in METRICS}
            for fuser, values in of.items()
        }
        for name, of in rows.items()
    }


def table(means: dict[str, dict[str, dict]], metric: str) -> str:
    fusers = list(next(iter(means.values())))
    lines = [f'| {metric} | {" | ".join(fusers)} |', '|---' * (len(fusers) + 1) + '|']
    for name, of in means.items():
        best = max(of[fuser][metric] for fuser in fusers)
        cells = [f'{of[f][metric]:.3f}' for f in fusers]
        cells = [
            f'**{c}**' if of[f][metric] == best else c for f, c in zip(fusers, cells, strict=True)
        ]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--stems', type=Path)
    parser.add_argument('--every', type=int, default=4, help='take every n-th pair (default: 4)')
    parser.add_argument('--side', type=int, default=0, help='of the middle that is taken; 0: all')
    parser.add_argument('--models', required=True, help='names or .onnx paths, by comma')
    parser.add_argument('--teacher', default='', help='model file that is told what was planted')
    parser.add_argument('--chain', default='mmdrfuse_pyramid', help='its last link')
    args = parser.parse_args()
    pairs = Selection.read(args.stems).choose(find_pairs(args.data).pairs, args.data)
    pairs = pairs[:: args.every]
    fusers = contenders(args.models.split(','), args.chain, args.teacher)
    means = measure(pairs, fusers, args.side)
    print(f'{len(pairs)} pairs.\n')
    for metric in METRICS:
        print(table(means, metric))


if __name__ == '__main__':
    main()
