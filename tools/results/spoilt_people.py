"""People found on spoilt pairs: a detector on each source and on every fuser's image.

    python -m tools.results.spoilt_people --data boxes/val --labels boxes/val/labels \\
        --detector detector_person_car --models max,mmdrfuse_pyramid,runs/student/model.onnx

Average precision of people (IoU 0.5) and, after the bar, recall at the score 0.3, by boxes that
people drew on the clean pairs.
"""

import argparse
from pathlib import Path

import numpy as np

from multimodal_fusion.evaluate import detection
from multimodal_fusion.host.progress import progress
from multimodal_fusion.io.datasets import find_pairs
from multimodal_fusion.io.image_files import read_thermal, read_visible
from multimodal_fusion.io.stems import Selection

from .spoilt import contenders, planted

STRENGTH, AT = 0.55, 0.3
PLANTED: dict[str, tuple[str, ...]] = {
    'clean': (),
    'low light': ('low light in the visible image',),
    'noise of both': ('noise in the visible image', 'noise in the thermal image'),
    'stripes': ('stripes in the thermal image',),
    'all of these': (
        'low light in the visible image',
        'noise in the visible image',
        'noise in the thermal image',
        'stripes in the thermal image',
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--labels', type=Path, required=True)
    parser.add_argument('--stems', type=Path)
    parser.add_argument('--partial', action='append', default=[], help='such as llvip_=person')
    parser.add_argument('--every', type=int, default=1, help='take every n-th pair (default: 1)')
    parser.add_argument('--detector', default='detector_person_car')
    parser.add_argument('--models', required=True, help='names or .onnx paths, by comma')
    parser.add_argument('--teacher', default='', help='model file that is told what was planted')
    parser.add_argument('--chain', default='mmdrfuse_pyramid', help='its last link')
    args = parser.parse_args()
    chosen = Selection.read(args.stems).choose(find_pairs(args.data).pairs, args.data)
    pairs = {
        p.stem: (read_visible(p.visible), read_thermal(p.thermal))
        for p in chosen[:: args.every]
        if (args.labels / f'{p.stem}.txt').is_file()
    }
    sizes = {stem: thermal.shape for stem, (_, thermal) in pairs.items()}
    truths = detection.read_truth(args.labels, sizes, detection.parse_partial(args.partial))
    detector = detection.open_detector(args.detector, allow_unlisted=True)
    fusers = contenders(args.models.split(','), args.chain, args.teacher)
    names = [*detection.INPUTS, *fusers]
    print(f'| {" | ".join(["planted", *names, detection.BOTH])} |')
    print('|---' * (len(names) + 2) + '|')
    for condition, phrases in progress(PLANTED.items(), unit='conditions'):
        spoilt = {
            stem: planted(phrases, STRENGTH, *pair, (0, number))
            for number, (stem, pair) in enumerate(pairs.items())
        }

        def picture(stem: str, name: str, spoilt=spoilt, phrases=phrases) -> np.ndarray:
            if name in detection.INPUTS:
                return spoilt[stem][detection.INPUTS.index(name)]
            return fusers[name](*spoilt[stem], phrases)

        found = detection.detect_all(detector, truths, names, picture)
        rows = detection.summarise(detector, truths, found, AT)['rows']
        cells = [rows[name]['person'] for name in (*names, detection.BOTH)]
        shown = [f'{cell["AP50"]:.3f} / {cell["recall"]:.2f}' for cell in cells]
        print(f'| {condition} | {" | ".join(shown)} |', flush=True)
    people = sum(label == 'person' for truth in truths for label in truth.labels)
    print(f'\n{len(truths)} images, {people} people; strength {STRENGTH}.')


if __name__ == '__main__':
    main()
