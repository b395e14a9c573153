"""Does the text do something? A teacher of the text prior on spoilt pairs, told right and wrong.

    python -m tools.results.texts --data DATA/train --stems config/train/ivif_test.txt \\
        --model runs/teacher/model.onnx --sheet sheet.jpg

Each fault is planted alone; the teacher is told it, told nothing ("clean"), and told another one.
SSIM is the sum over both clean sources; luma and noise are of the fused image. At the end the means
over all: told rightly, nothing, wrongly. The sheet has a clean pair under each text.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.evaluate.metrics import SourcePair, Triple, evaluate
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.io.datasets import find_pairs
from multimodal_fusion.io.image_files import read_thermal, read_visible, write_image
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.io.stems import Selection
from multimodal_fusion.train.data.text import noise_level

from .spoilt import middle, planted, said

PLANTED = (  # a fault, and the other one that the teacher is told
    ('low light in the visible image', 'over-exposure in the visible image'),
    ('over-exposure in the visible image', 'low light in the visible image'),
    ('noise in the visible image', 'blur in the visible image'),
    ('noise in the thermal image', 'blur in the thermal image'),
    ('haze in the visible image', 'noise in the visible image'),
)
STRENGTH = 0.6
SHOWN = ('visible: low light', 'visible: noise', 'visible: over-exposure')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--stems', type=Path)
    parser.add_argument('--every', type=int, default=8, help='take every n-th pair (default: 8)')
    parser.add_argument('--side', type=int, default=0, help='of the middle that is taken; 0: all')
    parser.add_argument('--model', required=True)
    parser.add_argument('--sheet', type=Path, help='picture of the first pair under each text')
    args = parser.parse_args()
    pairs = Selection.read(args.stems).choose(find_pairs(args.data).pairs, args.data)
    pairs = pairs[:: args.every]
    texts = ['clean', *dict.fromkeys(said(phrase) for row in PLANTED for phrase in row)]
    fusers = {text: Fuser.load(args.model, allow_unlisted=True, text=text) for text in texts}
    means: list[list[float]] = [[], [], []]
    print('| planted | told | luma | noise | SSIM |\n|---|---|---|---|---|')
    for phrase, other in PLANTED:
        rows: dict[str, list] = {said(phrase): [], 'clean': [], said(other): []}
        for number, files in enumerate(pairs):
            visible = middle(read_visible(files.visible), args.side)
            thermal = middle(read_thermal(files.thermal), args.side)
            sources = SourcePair(thermal, luma(visible))
            spoilt = planted((phrase,), STRENGTH, visible, thermal, (number,))
            for text, values in rows.items():
                fused = luma(fusers[text].fuse(*spoilt))
                ssim = evaluate(Triple(sources, fused), metrics=('SSIM',))['SSIM']
                values.append((fused.mean(), noise_level(fused), ssim))
        for place, (text, values) in enumerate(rows.items()):
            light, noise, ssim = np.mean(values, axis=0)
            means[place].append(ssim)
            print(f'| {phrase} | {text} | {light:.2f} | {noise:.2f} | {ssim:.4f} |', flush=True)
    right, nothing, wrong = (np.mean(values) for values in means)
    print(f'\n{len(pairs)} pairs. SSIM told rightly {right:.4f}, nothing {nothing:.4f}, '
          f'wrongly {wrong:.4f}.')  # fmt: skip
    if args.sheet:
        visible = middle(read_visible(pairs[0].visible), args.side)
        thermal = middle(read_thermal(pairs[0].thermal), args.side)
        shown = {text: fusers[text].fuse(visible, thermal) for text in ['clean', *SHOWN]}
        write_image(args.sheet, sheet({'visible': visible, 'thermal': thermal} | shown))
        for text, image in shown.items():
            grey = luma(image)
            print(f'sheet, {text}: luma {grey.mean():.2f}, noise {noise_level(grey):.2f}')


def sheet(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Named pictures side by side, BGR."""
    found = []
    for name, image in pictures.items():
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
        image = cv2.copyMakeBorder(image, 22, 0, 0, 0, cv2.BORDER_CONSTANT)
        cv2.putText(image, name, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
        found.append(image)
    return np.hstack(found)


if __name__ == '__main__':
    main()
