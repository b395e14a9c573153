"""How far colour moves under `output.colour`: CIEDE2000 parts against the visible image.

    python -m tools.results.colour --data DATA/train --stems config/train/ivif_test.txt

Of each fused pair, the difference of hue (dH) and of chroma (dC) in CIELAB to the visible image,
and CIEDE2000 with lightness left out (the fused image's L put into both); means over pixels whose
visible chroma is over 10, then over pairs. Luma is how far the result's own luma is from the fused.
"""

import argparse
from pathlib import Path

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.pair import keep_colour, return_colour
from multimodal_fusion.io.datasets import find_pairs
from multimodal_fusion.io.image_files import read_thermal, read_visible
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.io.stems import Selection

COLOURED = 10  # CIELAB chroma, from which a pixel has a hue to keep
WAYS = {'add': return_colour, 'keep': keep_colour}


def differences(visible: np.ndarray, fused: np.ndarray) -> tuple[float, float, float]:
    """Means of |dH|, |dC| and CIEDE2000 at equal lightness. uint8 (H, W, 3) BGR."""
    one, other = (rgb2lab(image[..., ::-1]) for image in (visible, fused))
    chroma = [np.hypot(lab[..., 1], lab[..., 2]) for lab in (one, other)]
    coloured = chroma[0] > COLOURED
    if not coloured.any():
        return (np.nan,) * 3
    d_chroma = np.abs(chroma[1] - chroma[0])
    apart = np.hypot(one[..., 1] - other[..., 1], one[..., 2] - other[..., 2])
    d_hue = np.sqrt(np.maximum(apart**2 - d_chroma**2, 0))
    one[..., 0] = other[..., 0]
    total = deltaE_ciede2000(one, other)
    return tuple(float(part[coloured].mean()) for part in (d_hue, d_chroma, total))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--stems', type=Path)
    parser.add_argument('--model', default='default')
    args = parser.parse_args()
    fuser = Fuser.load(args.model)
    rows: dict[str, list] = {way: [] for way in WAYS}
    for pair in Selection.read(args.stems).choose(find_pairs(args.data).pairs, args.data):
        visible, thermal = read_visible(pair.visible), read_thermal(pair.thermal)
        if visible.ndim == 2:
            continue
        grey = luma(visible)
        fused = fuser.fuse(grey, thermal)
        for way, bring_back in WAYS.items():
            colour = bring_back(visible, grey, fused)
            off = np.abs(luma(colour).astype(int) - fused).mean()
            rows[way].append((*differences(visible, colour), off))
    print('| `output.colour` | hue dH | chroma dC | CIEDE2000 at equal lightness | luma off |')
    print('|---|---|---|---|---|')
    for way, values in rows.items():
        means = np.nanmean(values, axis=0)
        print(f'| {way} | ' + ' | '.join(f'{value:.2f}' for value in means) + ' |')
    print(f'\nMeans over {len(rows["add"])} pairs through {fuser.name}.')


if __name__ == '__main__':
    main()
