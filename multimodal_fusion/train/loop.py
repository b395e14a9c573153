"""The training loop: evaluate, checkpoint, step. Killed at any moment, it goes on with ``resume``.

A run folder holds config.yaml, metrics.csv, curves.png, samples/, last.safetensors,
best.safetensors, last.state (all that a resumed run needs) and at the end model.onnx and model.md.
``last.state`` is written last: what was written before it and belongs to a later step is written
again, the same, by the resumed run.
"""

import errno
import math
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ..errors import UserError
from .config import Config
from .data.pairs import Pair
from .distributed import Place, joined
from .export.onnx import eight_bit, export_checkpoint
from .methods.fusion import begin_from
from .methods.method import Objective, Recipe
from .methods.mmdrfuse import Buffered, Helpers, device_of, prepare
from .run import LITTLE, Run, free_space
from .schedule import learning_rate


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


def train(
    recipe: Recipe,
    config_file: Path,
    data_folder: Path,
    out: Path,
    resume: bool,
    helpers: Helpers | None = None,
) -> dict:
    """Run a recipe to the end, from scratch or from where it stopped; alone or under torchrun.

    Returns the step and validation values of the best checkpoint. Raises UserError on bad input
    and on a full disk, and DivergedError when a loss term is not finite; the last checkpoint before
    that stays.
    """
    with joined() as place:
        try:
            return _train(
                recipe, config_file, data_folder, out, resume, helpers or Helpers(), place
            )
        except (OSError, RuntimeError) as error:
            # OpenCV, torch and safetensors each have words of their own for a full disk.
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            if not full and free_space(out) > LITTLE:
                raise
            raise UserError(
                f'the disk of {out} is full; free some space and go on with --resume'
            ) from error


def _train(recipe, config_file, data_folder, out, resume, helpers: Helpers, place: Place) -> dict:
    config = Config.load(config_file)
    recipe.check(config)
    run = Run(out, config, resume, place)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = device_of(config)
    data = recipe.data(data_folder, config, place)
    network = recipe.network(config).to(memory_format=torch.channels_last)
    data = begin_from(recipe, helpers.start, data, network)
    setup, data = prepare(config, helpers, data, network, out, place, device)
    network.to(device)
    objective = recipe.objective(config, data.crops, setup)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    progress = run.start(config_file, data, network, optimiser)
    objective.resume(progress.step)
    trained = Buffered(network) if recipe.method else network
    trained = DistributedDataParallel(trained) if place.world > 1 else trained
    sums = dict.fromkeys(recipe.columns, 0.0)
    started = time.monotonic() - progress.seconds
    quiet = None if place.first else True
    with tqdm(total=config.steps, initial=progress.step, disable=quiet, unit='step') as bar:
        while True:
            if run.due(progress.step):
                count = progress.step - max(run.saved_at, 0)
                means = {name: _mean(value, count) for name, value in sums.items()}
                row = {
                    'step': progress.step,
                    'seconds': round(time.monotonic() - started, 1),
                    'learning_rate': learning_rate(config, progress.step),
                    **{f'train_{name}': value for name, value in place.mean(means).items()},
                }
                # Every process judges, so that one that fails does not leave the others waiting.
                network.eval()
                row |= evaluate(recipe, objective, network, data.validation, progress.step)
                progress.seconds = row['seconds']
                run.save(row, progress, data, network, optimiser)
                network.train()
                place.wait()
                objective.sealed(progress.step)
                sums = dict.fromkeys(sums, 0.0)
            if progress.step == config.steps:
                break

            optimiser.param_groups[0]['lr'] = learning_rate(config, progress.step)
            loss, terms = objective.step(trained, progress.step)
            values = {'loss': loss.item(), **{name: term.item() for name, term in terms.items()}}
            _check(values, progress.step, 'training')
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            values |= objective.extras
            sums = {name: sums[name] + values.get(name, 0.0) for name in sums}
            progress.step += 1
            bar.update()
            bar.set_postfix(loss=f'{values["loss"]:.4f}', refresh=False)
    if place.first:
        export_checkpoint(run.path('best.safetensors'), run.path('model.onnx'))
    return run.best_row()


@torch.no_grad()
def evaluate(
    recipe: Recipe, objective: Objective, network: nn.Module, pairs: list[Pair], step: int
) -> dict[str, float]:
    """Mean loss and terms over validation pairs, on the 8-bit pixels of the model file."""
    sums = dict.fromkeys(('loss', *recipe.judged), 0.0)
    device = next(network.parameters()).device
    for pair in pairs:
        fused = network(*(image.to(device) for image in pair.tensors()))
        if torch.isfinite(fused).all():
            fused = eight_bit(fused).float() / 255
        loss, terms = objective.judge(fused, pair)
        values = {'loss': loss.item(), **{name: term.item() for name, term in terms.items()}}
        _check(values, step, 'validation')
        sums = {name: sums[name] + value for name, value in values.items()}
    return {f'val_{name}': value / len(pairs) for name, value in sums.items()}


def _check(values: dict[str, float], step: int, where: str) -> None:
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        term = next((name for name in bad if name != 'loss'), 'loss')
        raise DivergedError(
            f'the {where} loss is {values["loss"]} at step {step}, first in its term {term!r}; '
            'the last checkpoint is kept: lower learning_rate, or look at the data'
        )


def _mean(total: float, count: int) -> float:
    return total / count if count else math.nan
