"""``train``: run a recipe."""

import json
import sys
from pathlib import Path

from ..errors import UserError
from ..host.share import share_file
from ..train import require_extra
from . import options

HELP = 'Train a fusion network, or the detector, on folders of registered pairs.'
EXAMPLE = (
    'python -m multimodal_fusion train mmdr-student --teacher runs/teacher '
    '--data data/ivif --out runs/student'
)
PRESETS = ('paper', 'cpu', 'gpu', 'quick', 'plus')


def add_arguments(parser):
    parser.add_argument(
        'recipe',
        metavar='RECIPE',
        help='mmdr-teacher, mmdr-student, mmdrfuse, mmdrfuse_plus, mobilefuse, '
        'mobilefuse-blending-only, mobilefuse-generative-only, ifcnn or detector',
    )
    parser.add_argument(
        '--config',
        help='parameters: a file, or for mmdr-* one of paper, cpu, gpu, quick, plus (default: '
        'those of the run if resumed, else config/train/RECIPE.yaml or RECIPE-cpu.yaml)',
    )
    parser.add_argument(
        '--data',
        type=Path,
        help='folder with train/{vis,ir} and val/{vis,ir}; for mmdr-* also a file of "data pack"; '
        'for mobilefuse* and ifcnn a folder with images/ and foreground masks/; for detector with '
        'labels and labels_pseudo beside vis',
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        help='run folder, such as runs/NAME',
    )
    parser.add_argument(
        '--finetune-on',
        type=Path,
        metavar='DATA',
        help='mobilefuse: go on from --start on registered pairs (laid out as for mmdrfuse), which '
        'makes the model mobilefuse-thermal',
    )
    parser.add_argument('--start', type=Path, help='run or checkpoint to fine-tune')
    parser.add_argument(
        '--resume', action='store_true', help='go on with the run in --out, if there is one'
    )
    parser.add_argument('--teacher', type=Path, help='run or checkpoint of mmdr-teacher')
    options.add_vgg(parser)
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def run(args) -> int:
    require_extra()
    from ..train.loop import DivergedError

    try:
        return _detector(args) if args.recipe == 'detector' else _train(args)
    except DivergedError as error:
        print(f'multimodal_fusion train: {error}', file=sys.stderr)
        return 1


def _train(args) -> int:
    from ..train.distributed import Place
    from ..train.loop import train
    from ..train.methods.mmdrfuse import Helpers
    from ..train.methods.registry import find_recipe

    name, data = _finetuned(args) if args.finetune_on else (args.recipe, _data(args))
    recipe = find_recipe(name)
    config = _config(args, recipe.name, '-cpu' if recipe.method else '')
    vgg = options.vgg(args, data) if recipe.method else None
    helpers = Helpers(args.teacher, vgg, args.start)
    best = train(recipe, config, data, args.out, args.resume, helpers)
    model = args.out / 'model.onnx'
    if not Place.of_environment().first:
        return 0
    if args.json:
        print(json.dumps({'model': str(model), **best}))
    else:
        print(f'{model}: validation loss {best["val_loss"]:.5f} at step {best["step"]}')
    return 0


def _finetuned(args) -> tuple[str, Path]:
    """Recipe and data of --finetune-on. Raises UserError."""
    if args.recipe not in ('mobilefuse', 'mobilefuse-thermal'):
        raise UserError(f'--finetune-on is of the recipe mobilefuse, not of {args.recipe}')
    if args.data is not None:
        raise UserError('give the pairs by --finetune-on, or by --data, not both')
    return 'mobilefuse-thermal', args.finetune_on


def _data(args) -> Path:
    if args.data is None:
        raise UserError(f'train {args.recipe} needs --data, the folder to learn from')
    return args.data


def _detector(args) -> int:
    from ..train.methods.detector import train_detector

    config = _config(args, 'detector', '')
    last = train_detector(config, _data(args), args.out, args.resume)
    model = args.out / 'model.onnx'
    if args.json:
        print(json.dumps({'model': str(model), **last}))
    else:
        print(f'{model}: loss {last["val_loss"]:.4f} on validation images with machine labels')
    return 0


def _config(args, name: str, suffix: str) -> Path:
    used = args.out / 'config.yaml'
    if args.config in PRESETS:
        folder = share_file('config/train')
        if not (folder / f'{name}-{args.config}.yaml').exists():
            known = [p.stem.removeprefix(f'{name}-') for p in sorted(folder.glob(f'{name}-*.yaml'))]
            presets = ', '.join(word for word in known if word in PRESETS)
            raise UserError(
                f'{name} has no configuration {args.config!r}; '
                + (f'it has {presets}' if presets else 'leave --config out, or give a file')
            )
        return folder / f'{name}-{args.config}.yaml'
    if args.config:
        return Path(args.config)
    if args.resume and used.exists():
        return used
    return share_file(f'config/train/{name}{suffix}.yaml')
