"""The run folder and its checkpoints, written and read here.

A run folder holds config.yaml, metrics.csv, curves.png, samples/, last.safetensors,
best.safetensors, last.state (all that a resumed run needs) and at the end model.onnx and model.md.
``last.state`` is written last: what was written before it and belongs to a later step is written
again, the same, by the resumed run. All are safetensors, JSON or text: reading one runs nothing.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import math
import os
import platform
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import UserError, quoted, told
from ..host.version import code_version
from ..io.whole_files import make_folder, whole_file
from . import curves
from .config import Config, differences
from .engine import Engine, load_exactly
from .methods.method import Method
from .states import read_state, write_state

CURVES_EVERY = 30  # s; drawing them takes one
FORMAT = 2  # of last.state; 1 was torch's own
_ODD = (ValueError, TypeError, AttributeError, RuntimeError, SafetensorError)
LITTLE = 1 << 20  # bytes; with less the disk is full


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what is known of it. ``row`` is its line of metrics.csv."""

    method: type[Method]
    config: Config
    network: nn.Module
    trained_on: str
    commit: str
    machine: str
    row: dict[str, float]

    @classmethod
    def load(cls, path: Path, trusted: Collection[str] = ()) -> Checkpoint:
        """Read a .safetensors checkpoint, or of a run folder the one that ships. Raises UserError.

        Which one ships is told by its method: the best by validation, or the last. trusted: code
        (``FILE.py:NAME``) that may be run to make its network; without it one that names code is
        refused, as a file that somebody sent may name any.
        """
        path = Path(path)
        if path.is_dir():
            best, last = (
                cls.load(path / f'{name}.safetensors', trusted) for name in ('best', 'last')
            )
            return best if best.method.ships == 'best' else last
        if not path.is_file():
            raise UserError(
                f'{path} is missing: give a run folder of "train", or one of its checkpoints'
            )
        try:
            with safe_open(path, 'pt') as file:
                metadata = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            given = json.loads(metadata['config'])
            facts = {name: str(metadata[name]) for name in ('trained_on', 'commit', 'machine')}
            row = json.loads(metadata['row'])
            if not isinstance(row, dict):
                raise TypeError('row is no mapping')
        except (OSError, LookupError, *_ODD) as error:
            raise UserError(f'{path} is not a checkpoint of "train": {told(error)}') from error
        config = Config.check(given, f'the configuration in {path}')
        from .methods.registry import find_method  # here: methods begin from checkpoints

        method = find_method(config.method)
        if own := [name for name in method.code(config.section) if name not in trusted]:
            raise UserError(
                f'{path} has a network made by {quoted(own[0])}, which would be run; if you trust '
                f'it, say so: --trust {own[0]}'
            )
        network = method.made(config.section)
        try:
            load_exactly(network, weights)
        except (LookupError, *_ODD) as error:
            raise UserError(
                f'{path} does not hold the weights of its network: {told(error)}'
            ) from error
        return cls(method, config, network.eval(), row=row, **facts)


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
    """How far a run is.

    step: optimiser steps done. seconds: time spent. best: the least validation loss so far. judged:
    the step of the last evaluation, -1 before the first. sums, count: of training since then.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = math.inf
    judged: int = -1
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0


class Run:
    """The run folder. Every file in it is whole or absent."""

    def __init__(self, folder: Path, config: Config, resume: bool):
        self.folder, self.config = Path(folder), config
        self.rows: list[dict] = []
        self.drawn = time.monotonic()
        state, used = self.path('last.state'), self.path('config.yaml')
        if state.exists() and not resume:
            raise UserError(
                f'{folder} already holds a run; go on with it by --resume, or choose another --out'
            )
        self.resumed = state.exists()
        if self.resumed and (changes := differences(config, Config.load(used))):
            raise UserError(
                f'the configuration differs from the one that {folder} was started with '
                f'({"; ".join(changes[:4])}); resume without --config and changes, or choose '
                'another --out'
            )

    def path(self, name: str) -> Path:
        return self.folder / name

    def begin(self, engine: Engine, method: Method) -> Progress:
        """Begin the folder, or restore engine and method from it. Raises UserError."""
        make_folder(self.path('samples'))
        if not self.resumed:
            engine.wait()  # until all have looked
            if engine.first:
                with whole_file(self.path('config.yaml')) as temporary:
                    temporary.write_text(self.config.to_yaml())
            method.restored(0)
            return Progress()
        state = self._state(engine, method)
        try:
            progress = Progress(**state['progress'])
            engine.restore(state['engine'])
            method.restore(state['method'][engine.rank])
            with open(self.path('metrics.csv'), newline='') as file:
                rows = [r for r in csv.DictReader(file) if int(r['step']) <= progress.judged]
            numbers = [float(value) for row in rows for value in row.values()]
            if not numbers or int(rows[-1]['step']) != progress.judged:
                raise ValueError(f'metrics.csv does not reach step {progress.judged}')
        except (OSError, LookupError, *_ODD) as error:
            raise self._damaged(error) from error
        method.restored(progress.step)
        self.rows = rows
        return progress

    def _state(self, engine: Engine, method: Method) -> dict[str, Any]:
        """What ``last.state`` holds, if it is of this run. Raises UserError."""
        path = self.path('last.state')
        with path.open('rb') as file:
            if file.read(2) == b'PK':
                raise UserError(
                    f'the run {self.folder} was begun by an earlier version, whose state this one '
                    'does not read; begin anew with another --out'
                )
        try:
            state = read_state(path)
            if state['format'] != FORMAT:
                raise ValueError(f'format {state["format"]} is not {FORMAT}')
            progress = Progress(**state['progress'])
            if len(state['progress']) != len(vars(progress)):
                raise KeyError('progress lacks a part')
            for name, kind in (('step', int), ('seconds', float), ('best', float), ('judged', int)):
                if not isinstance(getattr(progress, name), kind):
                    raise TypeError(f'{name} is {getattr(progress, name)!r}')
            if not 0 <= progress.judged <= progress.step <= self.config.steps:
                raise ValueError(f'step {progress.step} of {self.config.steps}')
            data, world = state['data'], state['world']
            if not isinstance(data, list) or not isinstance(world, int):
                raise TypeError('data and world')
        except (OSError, LookupError, *_ODD) as error:
            raise self._damaged(error) from error
        if data != [method.data, method.fingerprint]:
            other = 'the same words, other images' if data[0] == method.data else data[0]
            raise UserError(f'the run {self.folder} was started on {other}, not on {method.data}')
        if world != engine.world:
            raise UserError(
                f'the run {self.folder} was started with {world} processes, not {engine.world}: '
                'each has memories of its own'
            )
        return state

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f'the run {self.folder} cannot be gone on with, its files are damaged or of another '
            f'version: {told(error)}; begin anew with another --out'
        )

    def record(self, row: dict, progress: Progress, engine: Engine, method: Method) -> None:
        """Take down an evaluation: weights, table, curves, a picture."""
        better = row['val_loss'] < progress.best
        progress.best = min(progress.best, row['val_loss'])
        self.rows.append(row)
        picture = method.sample()
        weights = method.weights()
        if not engine.first:
            return
        # Weights, both moments of Adam and copies, so that no checkpoint is begun in vain.
        needed = LITTLE + 6 * sum(value.nbytes for value in weights.values())
        if free_space(self.folder) < needed:
            raise OSError(errno.ENOSPC, f'a checkpoint takes {needed} bytes')
        metadata = {
            'config': self.config.to_json(),
            'trained_on': method.data,
            'commit': code_version(),
            'machine': machine(engine),
            'row': json.dumps(row),
        }
        for name in ('last', 'best')[: 1 + better]:
            self._save_weights(f'{name}.safetensors', weights, metadata)
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
        if self.config.tensorboard:
            write_tensorboard(self.folder, row, picture)
        if picture is not None:
            with whole_file(self.path(f'samples/{progress.step:07d}.png')) as temporary:
                cv2.imwrite(str(temporary), picture)

    def save(self, progress: Progress, engine: Engine, method: Method) -> None:
        """Make a checkpoint; ``last.state`` seals it."""
        states = engine.of_all(method.state())
        state = {
            'format': FORMAT,
            'progress': vars(progress),
            'data': [method.data, method.fingerprint],
            'world': engine.world,
            'engine': engine.state(),
            'method': states,
        }
        if engine.first:
            with whole_file(self.path('last.state')) as temporary:
                write_state(temporary, state)
        engine.wait()
        method.sealed(progress.step)

    def _save_weights(self, name: str, weights: dict[str, Tensor], metadata: dict[str, str]):
        plain = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
        with whole_file(self.path(name)) as temporary:
            save_file(plain, temporary, metadata)

    def shipped_row(self, method: Method) -> dict[str, float]:
        """Step and validation values of the checkpoint that ships."""
        row = self.rows[-1]
        if method.ships == 'best':
            row = min(self.rows, key=lambda row: float(row['val_loss']))
        scores = {name: float(value) for name, value in row.items() if name.startswith('val_')}
        return {'step': int(row['step']), **scores}


def write_tensorboard(folder: Path, row: dict[str, float], picture: np.ndarray | None) -> None:
    """Add an evaluation to TensorBoard's files in a run folder. Raises UserError without it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            'tensorboard: true needs the package tensorboard: pip install tensorboard'
        ) from None
    with SummaryWriter(folder / 'tensorboard') as writer:
        for name, value in row.items():
            writer.add_scalar(name.replace('_', '/', 1), float(value), int(row['step']))
        if picture is not None:
            shape = 'HWC' if picture.ndim == 3 else 'HW'
            pixels = picture[..., ::-1].copy() if picture.ndim == 3 else picture
            writer.add_image('sample', pixels, int(row['step']), dataformats=shape)


def machine(engine: Engine) -> str:
    threads = f'{engine.config.threads} of {os.cpu_count()} CPU cores ({platform.machine()})'
    if engine.device.type == 'cuda':
        threads = torch.cuda.get_device_name(engine.device)
    several = f', {engine.world} processes' if engine.world > 1 else ''
    return f'{threads}{several}, torch {torch.__version__}'
