"""``train``: run a training recipe."""

import json
import sys
from pathlib import Path

from ..share import share_file
from ..train import require_extra

HELP = 'Train a fusion network on folders of registered pairs.'
EXAMPLE = 'python -m multimodal_fusion train mmdrfuse_plus --data data/ivif --out runs/plus'


def add_arguments(parser):
    parser.add_argument('recipe', metavar='RECIPE', help='mmdrfuse or mmdrfuse_plus')
    parser.add_argument(
        '--config',
        type=Path,
        help="parameters (default: the run's own if resumed, else config/train/RECIPE.yaml)",
    )
    parser.add_argument(
        '--data', type=Path, required=True, help='folder with train/{vis,ir} and val/{vis,ir}'
    )
    parser.add_argument('--out', type=Path, required=True, help='run folder, such as runs/NAME')
    parser.add_argument(
        '--resume', action='store_true', help='go on with the run in --out, if there is one'
    )
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def run(args) -> int:
    require_extra()
    from ..train.loop import DivergedError, train
    from ..train.recipe import find_recipe

    recipe = find_recipe(args.recipe)
    used = args.out / 'config.yaml'
    if args.config:
        config = args.config
    elif args.resume and used.exists():
        config = used
    else:
        config = share_file(f'config/train/{recipe.name}.yaml')
    try:
        best = train(recipe, config, args.data, args.out, args.resume)
    except DivergedError as error:
        print(f'multimodal_fusion train: {error}', file=sys.stderr)
        return 1
    model = args.out / 'model.onnx'
    if args.json:
        print(json.dumps({'model': str(model), **best}))
    else:
        print(f'{model}: validation loss {best["val_loss"]:.5f} at step {best["step"]}')
    return 0
