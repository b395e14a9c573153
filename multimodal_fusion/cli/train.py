"""``train``: run a configuration."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..host.share import share_file
from ..train import require_extra

HELP = 'Train a fusion network, or the detector, on folders of registered pairs.'
EXAMPLE = (
    'python -m multimodal_fusion train mmdrfuse_plus --data data/ivif --out runs/plus steps=900'
)
# Short for keys of the configuration, where its method has them.
_SHORT = {
    'network': 'network of the method: a name, or FILE.py:NAME',
    'loss': 'fusion: FILE.py:NAME, or a file.yaml with weights',
    'teacher': 'mmdrfuse, textprior: run or checkpoint of the teacher',
    'vgg': "mmdrfuse: VGG-19 weights, .npz or torchvision's .pth",
    'stems': 'file of the training pairs that are used, a stem on each line',
    'without': 'file of the pairs that are left out, in place of the one of the configuration',
    'start': 'run or checkpoint whose weights it goes on from (fine-tuning)',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'recipe',
        metavar='RECIPE',
        help='a configuration by name (mmdrfuse, mmdrfuse_plus, mmdrfuse_pyramid, '
        'mmdrfuse-teacher, mobilefuse, ifcnn, fusion, detector, detector-roads, textprior-teacher, '
        'textprior-student, loss-search; of mmdrfuse, its teacher and the text prior -cpu and '
        '-gpu, of the first two -paper too) or a .yaml file',
    )
    parser.add_argument(
        'changes',
        metavar='KEY=VALUE',
        nargs='*',
        help='of the configuration, such as steps=900 optimiser.learning_rate=0.002',
    )
    parser.add_argument(
        '--data',
        type=Path,
        required=True,
        help='folder with train/{vis,ir} and val/{vis,ir}, or vis and ir, which are split; for '
        'mmdrfuse also a file of "data pack"; for mobilefuse and ifcnn images/ and foreground '
        'masks/; for detector labels and labels_pseudo too',
    )
    parser.add_argument('--out', type=Path, required=True, help='run folder, such as runs/NAME')
    parser.add_argument(
        '--resume', action='store_true', help='go on with the run in --out, if there is one'
    )
    for name, text in _SHORT.items():
        parser.add_argument(f'--{name}', metavar=name.upper(), help=text)
    parser.add_argument(
        '--no-perception', action='store_true', help='mmdrfuse: leave the perception term out'
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='print the configuration, the data, the parameters and the time a step takes',
    )
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def run(args: argparse.Namespace) -> int:
    require_extra()
    from ..train.loop import DivergedError, TrainingJob, train

    job = TrainingJob(_config(args), args.data, args.out, args.resume)
    if args.dry_run:
        from ..train.dry_run import dry_run

        return _told(args, dry_run(job))
    try:
        best = train(job)
    except DivergedError as error:
        print(f'multimodal_fusion train: {error}', file=sys.stderr)
        return 1
    if int(os.environ.get('RANK', 0)):
        return 0
    model = args.out / 'model.onnx'
    if args.json:
        return _told(args, {'model': str(model), **best})
    print(f'{model}: validation loss {best["val_loss"]:.5f} at step {best["step"]}')
    return 0


def _told(args: argparse.Namespace, facts: dict[str, Any]) -> int:
    print(json.dumps(facts) if args.json else '\n'.join(f'{k}: {v}' for k, v in facts.items()))
    return 0


def _config(args: argparse.Namespace):
    from ..train.config import Config

    changes = [f'{name}={getattr(args, name)}' for name in _SHORT if getattr(args, name)]
    changes += ['vgg=none'] * args.no_perception + args.changes
    asked = Config.load(recipe_file(args.recipe), changes)
    if not args.resume or changes or not (args.out / 'last.state').exists():
        return asked
    # The run's own goes on: what was changed at its start need not be said again.
    known = Config.load(args.out / 'config.yaml')
    return known if (known.method, known.name) == (asked.method, asked.name) else asked


def recipe_file(name: str) -> Path:
    """A configuration by name or path. Raises UserError."""
    if name.endswith(('.yaml', '.yml')):
        return Path(name)
    folder = share_file('config/train')
    if not (folder / f'{name}.yaml').exists():
        import difflib

        known = [
            p.stem
            for p in sorted(folder.glob('*.yaml'))
            if not p.stem.startswith(('ablate', 'search'))
        ]
        near = difflib.get_close_matches(name, known, 1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        raise UserError(
            f'there is no configuration {name!r}; known are {", ".join(known)}, or give a .yaml '
            f'file{hint}'
        )
    return folder / f'{name}.yaml'
