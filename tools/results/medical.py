"""The text prior's network on medical slices, trained and scored for each kind apart (table II).

    python -m tools.results.medical --data medical --out runs/medical

Of each kind's pairs every fourth is held back and scored, and of the others every sixth chooses the
checkpoint. MRI takes the place of thermal; PET, SPECT or CT that of visible.
"""

import argparse
import os
from pathlib import Path

from multimodal_fusion.fusers.classical import CLASSICAL
from multimodal_fusion.host.share import share_file
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data.pairs import load_pairs
from multimodal_fusion.train.loop import TrainingJob, train
from multimodal_fusion.train.methods.textprior import TextPriorMethod
from multimodal_fusion.train.run import Checkpoint
from multimodal_fusion.train.scores import metrics, of_pair, score_examples

KINDS = {'mri_pet': 'pet', 'mri_spect': 'spect', 'mri_ct': 'ct'}
METRICS = ('SSIM', 'VIF', 'Qabf', 'MI', 'EN')


def laid_out(source: Path, other: str, out: Path) -> Path:
    """Links to the slices as train, val and test."""
    stems = sorted(p.name for p in (source / 'mri').iterdir())
    held, rest = stems[::4], [s for n, s in enumerate(stems) if n % 4]
    parts = {'test': held, 'val': rest[::6], 'train': [s for n, s in enumerate(rest) if n % 6]}
    for part, names in parts.items():
        for folder, of in (('vis', other), ('ir', 'mri')):
            (out / part / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                link = out / part / folder / name
                if not link.is_symlink():
                    os.symlink((source / of / name).resolve(), link)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True, help='mri_pet, mri_spect and mri_ct')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('changes', metavar='KEY=VALUE', nargs='*', help='of the configuration')
    args = parser.parse_args()
    config = Config.load(share_file('config/train/textprior-medical.yaml'), args.changes)
    print(f'| pairs | fuser | {" | ".join(METRICS)} |\n' + '|---' * (len(METRICS) + 2) + '|')
    for kind, other in KINDS.items():
        data = laid_out(args.data / kind, other, args.out / 'data' / kind)
        train(TrainingJob(config, data, args.out / kind, resume=True, model_file=False))
        network = Checkpoint.load(args.out / kind).network
        examples = TextPriorMethod.examples(config, load_pairs(data / 'test', colour=True)[0])
        rows = {
            'max': of_pair(CLASSICAL['max']),
            'average': of_pair(CLASSICAL['average']),
            'text prior': TextPriorMethod.fuser(network),
        }
        for name, fuse in rows.items():
            found = score_examples(fuse, examples, metrics(METRICS))
            cells = ' | '.join(f'{found[metric]:.4f}' for metric in METRICS)
            print(f'| {kind}, {len(examples)} | {name} | {cells} |', flush=True)


if __name__ == '__main__':
    main()
