"""The run folder and its checkpoints."""

import csv
import errno
import hashlib
import json
import math
import os
import pickle
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import UserError, told
from ..host.version import code_version
from ..io.whole_files import make_folder, whole_file
from . import curves
from .config import Config
from .data.pairs import PairData, spread
from .distributed import Place
from .methods.method import Recipe

CURVES_EVERY = 30  # s; drawing them takes one
_ODD = (ValueError, TypeError, AttributeError, RuntimeError)  # what damaged files lead torch into
LITTLE = 1 << 20  # bytes; with less the disk is full


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what is known of it. ``row`` is its line of metrics.csv."""

    recipe: Recipe
    config: Config
    network: nn.Module
    trained_on: str
    commit: str
    machine: str
    row: dict[str, float]

    @classmethod
    def load(cls, path: Path) -> 'Checkpoint':
        """Read a .safetensors checkpoint, or the best one of a run folder. Raises UserError."""
        path = Path(path)
        if path.is_dir():
            path = path / 'best.safetensors'
        if not path.is_file():
            raise UserError(
                f'{path} is missing: give a run folder of "train", or one of its checkpoints'
            )
        try:
            with safe_open(path, 'pt') as file:
                metadata = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            given = json.loads(metadata['config'])
            if given.get('recipe') == 'detector':
                raise UserError(
                    f'{path} is of a detector; "train" has written its model.onnx beside it'
                )
            from .methods.registry import find_recipe  # here: recipes begin from checkpoints

            config = Config.check(given, f'the configuration in {path}')
            recipe = find_recipe(config.recipe)
            network = recipe.network(config)
            for name, value in network.state_dict().items():
                if weights[name].dtype != value.dtype:  # else it would be converted, unasked
                    raise TypeError(f'{name} is {weights[name].dtype}')
            network.load_state_dict(weights)
            return cls(
                recipe,
                config,
                network.eval(),
                metadata['trained_on'],
                metadata['commit'],
                metadata['machine'],
                json.loads(metadata['row']),
            )
        except UserError:
            raise
        except (SafetensorError, OSError, LookupError, *_ODD) as error:
            raise UserError(f'{path} is not a checkpoint of "train": {told(error)}') from error


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, or of the nearest one above it that exists."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def fingerprint(network: nn.Module) -> str:
    """Twelve hex digits that name a network's weights."""
    weights = [value.cpu().contiguous().numpy() for value in network.state_dict().values()]
    return hashlib.sha256(b''.join(value.tobytes() for value in weights)).hexdigest()[:12]


@dataclass
class Progress:
    """step: optimiser steps done. seconds: time spent. best: the least validation loss so far."""

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf


class Run:
    """The run folder. Every file in it is whole or absent."""

    def __init__(self, folder: Path, config: Config, resume: bool, place: Place):
        self.folder, self.config, self.place = Path(folder), config, place
        self.rows: list[dict] = []
        self.saved_at = -1
        self.drawn = time.monotonic()
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
        fresh = not self.path('last.state').exists()
        self.place.wait()  # until all have looked: the first one writes it soon
        if fresh:
            with whole_file(self.path('config.yaml')) as temporary:
                temporary.write_text(text)
            return Progress()
        state = self._state()
        if state['data'] != data.description:
            raise UserError(
                f'the run {self.folder} was started on {state["data"]}, not on {data.description}'
            )
        if state.get('world', 1) != self.place.world:
            raise UserError(
                f'the run {self.folder} was started with {state["world"]} processes, not '
                f'{self.place.world}: each has memories of its own'
            )
        try:
            network.load_state_dict(state['network'])
            optimiser.load_state_dict(state['optimiser'])
            torch.set_rng_state(state['random'])
            with open(self.path('metrics.csv'), newline='') as file:
                rows = [row for row in csv.DictReader(file) if int(row['step']) <= state['step']]
            if int(rows[-1]['step']) != state['step'] or None in rows[-1].values():
                raise ValueError(f'metrics.csv does not reach step {state["step"]}')
        except (OSError, LookupError, *_ODD) as error:
            raise self._damaged(error) from error
        self.rows, self.saved_at = rows, state['step']
        return Progress(state['step'], state['seconds'], state['best'])

    def _state(self) -> dict:
        """What ``last.state`` holds. Raises UserError."""
        try:
            state = torch.load(self.path('last.state'), map_location='cpu', weights_only=True)
            kinds = {'step': int, 'seconds': float, 'best': float, 'data': str, 'world': int}
            for name, kind in kinds.items():
                if not isinstance(state[name], kind):
                    raise TypeError(f'{name} is {state[name]!r}')
            if not 0 <= state['step'] <= self.config.steps:
                raise ValueError(f'step {state["step"]} of {self.config.steps}')
            return state
        except (OSError, LookupError, EOFError, pickle.UnpicklingError, *_ODD) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f'the run {self.folder} cannot be gone on with, its files are damaged or of another '
            f'version: {told(error)}; begin anew with another --out'
        )

    def save(
        self,
        row: dict,
        progress: Progress,
        data: PairData,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        """Record an evaluation and make a checkpoint of it; ``last.state`` seals it."""
        # Weights, both moments of Adam and copies, so that no checkpoint is begun in vain.
        needed = LITTLE + 6 * sum(value.nbytes for value in network.state_dict().values())
        if self.place.first and free_space(self.folder) < needed:
            raise OSError(errno.ENOSPC, f'a checkpoint takes {needed} bytes')
        self.rows.append(row)
        self.saved_at = progress.step
        if not self.place.first:
            return
        metadata = {
            'config': self.config.to_json(),
            'trained_on': data.description,
            'commit': code_version(),
            'machine': machine(self.config),
            'row': json.dumps(row),
        }
        weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
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
        if progress.step == self.config.steps or time.monotonic() - self.drawn > CURVES_EVERY:
            curves.write_curves(self.path('curves.png'), self.rows)
            self.drawn = time.monotonic()
        curves.write_samples(
            self.path(f'samples/{progress.step:07d}.png'),
            network,
            spread(data.validation, self.config.samples),
        )
        with whole_file(self.path('last.state')) as temporary:
            torch.save(
                {
                    'step': progress.step,
                    'seconds': progress.seconds,
                    'best': progress.best,
                    'data': data.description,
                    'world': self.place.world,
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


def machine(config: Config) -> str:
    return (
        f'{config.threads} of {os.cpu_count()} CPU cores ({platform.machine()}), '
        f'torch {torch.__version__}'
    )
