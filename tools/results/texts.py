"""Does the text do something? A teacher of the text prior on spoilt pairs, told right and wrong.

    python -m tools.results.texts --data DATA/train --stems config/train/ivif_test.txt \\
        --model runs/teacher/model.onnx

Each fault is planted alone; the teacher is told it, told nothing ("clean"), and told another one.
SSIM is the sum over both clean sources; luma and noise are of the fused image.
"""

import argparse
from pathlib import Path

import numpy as np

from multimodal_fusion.evaluate.metrics import SourcePair, Triple, evaluate
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.text import FAULTS, PHRASES
from multimodal_fusion.io.datasets import find_pairs
from multimodal_fusion.io.image_files import read_thermal, read_visible
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.io.stems import Selection
from multimodal_fusion.train.data.faults import Found, spoil
from multimodal_fusion.train.data.text import noise_level

PLANTED = (  # a fault, and the other one that the teacher is told
    ('low light in the visible image', 'over-exposure in the visible image'),
    ('over-exposure in the visible image', 'low light in the visible image'),
    ('noise in the visible image', 'blur in the visible image'),
    ('noise in the thermal image', 'blur in the thermal image'),
    ('haze in the visible image', 'noise in the visible image'),
)
STRENGTH = 0.6


def said(phrase: str) -> str:
    image, name = list(FAULTS)[PHRASES.index(phrase)]
    return f'{image}: {name}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--stems', type=Path)
    parser.add_argument('--every', type=int, default=8, help='take every n-th pair (default: 8)')
    parser.add_argument('--model', required=True)
    args = parser.parse_args()
    pairs = Selection.read(args.stems).choose(find_pairs(args.data).pairs, args.data)
    pairs = pairs[:: args.every]
    texts = ['clean', *dict.fromkeys(said(phrase) for row in PLANTED for phrase in row)]
    fusers = {text: Fuser.load(args.model, allow_unlisted=True, text=text) for text in texts}
    print('| planted | told | luma | noise | SSIM |\n|---|---|---|---|---|')
    for phrase, other in PLANTED:
        rows: dict[str, list] = {said(phrase): [], 'clean': [], said(other): []}
        for number, files in enumerate(pairs):
            visible, thermal = read_visible(files.visible), read_thermal(files.thermal)
            sources = SourcePair(thermal, luma(visible))
            fault = [Found(PHRASES.index(phrase), STRENGTH)]
            spoilt = spoil(visible, thermal, fault, np.random.default_rng(number))
            for text, values in rows.items():
                fused = luma(fusers[text].fuse(*spoilt))
                ssim = evaluate(Triple(sources, fused), metrics=('SSIM',))['SSIM']
                values.append((fused.mean(), noise_level(fused), ssim))
        for text, values in rows.items():
            light, noise, ssim = np.mean(values, axis=0)
            print(f'| {phrase} | {text} | {light:.2f} | {noise:.2f} | {ssim:.4f} |', flush=True)
    print(f'\n{len(pairs)} pairs.')


if __name__ == '__main__':
    main()
