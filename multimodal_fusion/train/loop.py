"""The training loop: evaluate, checkpoint, step. Killed at any moment, it goes on with ``resume``.

A run folder holds config.yaml, metrics.csv, curves.png, samples/, last.safetensors,
best.safetensors, last.state (all that a resumed run needs) and at the end model.onnx and model.md.
``last.state`` is written last: what was written before it and belongs to a later step is written
again, the same, by the resumed run.
"""

import csv
import json
import math
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import UserError
from ..files import make_folder, whole_file
from . import report
from .config import Config
from .data import Pair, PairData
from .export import code_version, eight_bit, export_checkpoint
from .recipe import Recipe


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


def train(recipe: Recipe, config_file: Path, data_folder: Path, out: Path, resume: bool) -> dict:
    """Run a recipe to the end, from scratch or from where it stopped.

    Returns the step and validation values of the best checkpoint. Raises UserError on bad input,
    and DivergedError when a loss term is not finite; the last checkpoint before that stays.
    """
    config = Config.load(config_file)
    recipe.check(config)
    run = Run(out, config, resume)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    data = recipe.data(data_folder, config)
    network = recipe.network(config).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    progress = run.start(config_file, data, network, optimiser)
    sums = dict.fromkeys(('loss', *recipe.terms), 0.0)
    started = time.monotonic() - progress.seconds
    with tqdm(total=config.steps, initial=progress.step, disable=None, unit='step') as bar:
        while True:
            if run.due(progress.step):
                count = progress.step - max(run.saved_at, 0)
                row = {
                    'step': progress.step,
                    'seconds': round(time.monotonic() - started, 1),
                    'learning_rate': learning_rate(config, progress.step),
                    **{f'train_{name}': _mean(value, count) for name, value in sums.items()},
                    **evaluate(recipe, config, network, data.validation, progress.step),
                }
                progress.seconds = row['seconds']
                run.save(row, progress, data, network, optimiser)
                sums = dict.fromkeys(sums, 0.0)
            if progress.step == config.steps:
                break

            optimiser.param_groups[0]['lr'] = learning_rate(config, progress.step)
            thermal, visible = data.crops(progress.step)
            loss, terms = recipe.loss(config, network(thermal, visible), thermal, visible)
            values = {'loss': loss.item(), **{name: term.item() for name, term in terms.items()}}
            _check(values, progress.step, 'training')
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            sums = {name: sums[name] + value for name, value in values.items()}
            progress.step += 1
            bar.update()
            bar.set_postfix(loss=f'{values["loss"]:.4f}', refresh=False)
    export_checkpoint(run.path('best.safetensors'), run.path('model.onnx'))
    return run.best_row()


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to zero at the last step."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    done = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def evaluate(
    recipe: Recipe, config: Config, network: nn.Module, pairs: list[Pair], step: int
) -> dict[str, float]:
    """Mean loss and terms over whole validation pairs, on the 8-bit pixels of the model file."""
    sums = dict.fromkeys(('loss', *recipe.terms), 0.0)
    for pair in pairs:
        thermal, visible = pair.tensors()
        fused = network(thermal, visible)
        if torch.isfinite(fused).all():
            fused = eight_bit(fused).float() / 255
        loss, terms = recipe.loss(config, fused, thermal, visible)
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


@dataclass
class Progress:
    """step: optimiser steps done. seconds: time spent. best: the least validation loss so far."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf


class Run:
    """The run folder. Every file in it is whole or absent."""

    def __init__(self, folder: Path, config: Config, resume: bool):
        self.folder, self.config = Path(folder), config
        self.rows: list[dict] = []
        self.saved_at = -1
        state, used = self.path('last.state'), self.path('config.yaml')
        if state.exists() and not resume:
            raise UserError(
                f'{folder} already holds a run; go on with it by --resume, or choose another --out'
            )
        if state.exists() and Config.load(used) != config:
            raise UserError(
                f'the configuration differs from the one that {folder} was started with; '
                f'resume with --config {used}, or choose another --out'
            )

    def path(self, name: str) -> Path:
        return self.folder / name

    def due(self, step: int) -> bool:
        """Whether to evaluate and save at this step: not again where a resumed run just did."""
        regular = step % self.config.evaluate_every == 0 or step == self.config.steps
        return regular and step > self.saved_at

    def start(
        self,
        config_file: Path,
        data: PairData,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> Progress:
        """Begin the folder, or restore network, optimiser and random numbers from it."""
        make_folder(self.path('samples'))
        text = Path(config_file).read_text()
        if not self.path('last.state').exists():
            with whole_file(self.path('config.yaml')) as temporary:
                temporary.write_text(text)
            return Progress()
        state = torch.load(self.path('last.state'), weights_only=True)
        if state['data'] != data.description:
            raise UserError(
                f'the run {self.folder} was started on {state["data"]}, not on {data.description}'
            )
        network.load_state_dict(state['network'])
        optimiser.load_state_dict(state['optimiser'])
        torch.set_rng_state(state['random'])
        with open(self.path('metrics.csv'), newline='') as file:
            self.rows = [row for row in csv.DictReader(file) if int(row['step']) <= state['step']]
        self.saved_at = state['step']
        return Progress(state['step'], state['seconds'], state['best'])

    def save(
        self,
        row: dict,
        progress: Progress,
        data: PairData,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        """Record an evaluation and make a checkpoint of it; ``last.state`` seals it."""
        self.rows.append(row)
        metadata = {
            'config': self.config.to_json(),
            'trained_on': data.description,
            'commit': code_version(),
            'machine': machine(self.config),
            'row': json.dumps(row),
        }
        weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        if row['val_loss'] < progress.best:
            progress.best = row['val_loss']
            self._save_weights('best.safetensors', weights, metadata)
        self._save_weights('last.safetensors', weights, metadata)
        with (
            whole_file(self.path('metrics.csv')) as temporary,
            open(temporary, 'w', newline='') as file,
        ):
            writer = csv.DictWriter(file, row.keys())
            writer.writeheader()
            writer.writerows(self.rows)
        report.write_curves(self.path('curves.png'), self.rows)
        report.write_samples(
            self.path(f'samples/{progress.step:07d}.png'),
            network,
            spread(data.validation, self.config.samples),
        )
        self.saved_at = progress.step
        with whole_file(self.path('last.state')) as temporary:
            torch.save(
                {
                    'step': progress.step,
                    'seconds': progress.seconds,
                    'best': progress.best,
                    'data': data.description,
                    'network': network.state_dict(),
                    'optimiser': optimiser.state_dict(),
                    'random': torch.get_rng_state(),
                },
                temporary,
            )

    def _save_weights(self, name: str, weights: dict[str, Tensor], metadata: dict[str, str]):
        with whole_file(self.path(name)) as temporary:
            save_file(weights, temporary, metadata)

    def best_row(self) -> dict[str, float]:
        """Step and validation values of the best checkpoint."""
        best = min(self.rows, key=lambda row: float(row['val_loss']))
        scores = {name: float(value) for name, value in best.items() if name.startswith('val_')}
        return {'step': int(best['step']), **scores}


def spread(pairs: list[Pair], count: int) -> list[Pair]:
    """``count`` pairs (or all, if fewer), evenly over the list: the same ones at every step."""
    count = min(count, len(pairs))
    return [pairs[i * len(pairs) // count] for i in range(count)]


def machine(config: Config) -> str:
    return (
        f'{config.threads} of {os.cpu_count()} CPU cores ({platform.machine()}), '
        f'torch {torch.__version__}'
    )
