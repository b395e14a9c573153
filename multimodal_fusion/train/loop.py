"""The training loop: evaluate, checkpoint, step. Killed at any moment, it goes on with ``resume``.

A run folder holds config.yaml, metrics.csv, curves.png, samples/, last.safetensors,
best.safetensors, last.state (all that a resumed run needs) and at the end model.onnx and model.md.
``last.state`` is written last: what was written before it and belongs to a later step is written
again, the same, by the resumed run.
"""

import csv
import dataclasses
import errno
import hashlib
import json
import math
import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ..errors import UserError
from ..files import make_folder, whole_file
from ..networks.vgg import VGG19
from . import report
from .config import Config
from .data import Pair, PairData, spread
from .export import Checkpoint, code_version, eight_bit, export_checkpoint
from .objective import Buffered, Objective, Setup
from .parallel import Place, joined
from .recipe import Recipe

CURVES_EVERY = 30  # s; drawing them takes one
LITTLE = 1 << 20  # bytes; with less the disk is full


class DivergedError(RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Helpers:
    """Files beside the data. teacher, vgg (None for no perception term): of MMDRFuse's own recipes.
    start: run or checkpoint that a fine-tuning recipe goes on from."""

    teacher: Path | None = None
    vgg: Path | None = None
    start: Path | None = None


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


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, or of the nearest one above it that exists."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def device_of(config: Config) -> torch.device:
    wanted = config.method.device if config.method else 'cpu'
    return torch.device('cuda' if wanted == 'auto' and torch.cuda.is_available() else 'cpu')


def begin_from(recipe: Recipe, start: Path | None, data: PairData, network: nn.Module) -> PairData:
    """Take the weights that a fine-tuning recipe starts from, and note them in the description.

    Raises UserError.
    """
    if (start is not None) != (recipe.starts_from is not None):
        raise UserError(
            f'the recipe {recipe.name} goes on from a run of {recipe.starts_from}: give it by '
            '--start'
            if recipe.starts_from
            else f'the recipe {recipe.name} starts afresh; leave --start out'
        )
    if start is None:
        return data
    checkpoint = Checkpoint.load(start)
    if checkpoint.recipe.name != recipe.starts_from:
        raise UserError(
            f'{start} is a run of {checkpoint.recipe.name}, not of {recipe.starts_from}'
        )
    network.load_state_dict(checkpoint.network.state_dict())
    note = f'started from {checkpoint.recipe.name} {fingerprint(network)}'
    return dataclasses.replace(data, description=f'{data.description}; {note}')


def prepare(
    config: Config,
    helpers: Helpers,
    data: PairData,
    network: nn.Module,
    out: Path,
    place: Place,
    device: torch.device,
) -> tuple[Setup, PairData]:
    """Load what the method needs, and note it in the description of the data.

    A student that starts from its teacher takes the last layer from it. Raises UserError.
    """
    method = config.method
    if method is None:
        return Setup(Path(out), place, device, None, None), data
    teacher = vgg = None
    notes = [data.description]
    if config.weights['distillation'] or method.start == 'teacher':
        if helpers.teacher is None:
            raise UserError(
                'this configuration learns from a teacher: give the run folder of mmdr-teacher '
                'by --teacher, or set weights.distillation to 0 and another start'
            )
        checkpoint = Checkpoint.load(helpers.teacher)
        teacher = checkpoint.network.to(device).requires_grad_(False)
        notes.append(f'teacher {fingerprint(teacher)}')
        if method.start == 'teacher':
            last, own = [list(x.children())[-1] for x in (teacher, network)]
            if last.weight.shape != own.weight.shape:
                raise UserError('start: teacher needs widths that end in 4, as the teacher has')
            own.load_state_dict(last.state_dict())
    if config.weights['perception'] and helpers.vgg is not None:
        vgg = VGG19.load(helpers.vgg).to(device)
    else:
        notes.append('no perception term')
    described = PairData(data.crops, data.validation, '; '.join(notes))
    return Setup(Path(out), place, device, vgg, teacher), described


def fingerprint(network: nn.Module) -> str:
    """Twelve hex digits that name a network's weights."""
    weights = [value.cpu().contiguous().numpy() for value in network.state_dict().values()]
    return hashlib.sha256(b''.join(value.tobytes() for value in weights)).hexdigest()[:12]


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to zero at the last step, or constant."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    if config.method and config.method.schedule == 'constant':
        return config.learning_rate
    done = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2


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
        state = torch.load(self.path('last.state'), map_location='cpu', weights_only=True)
        if state['data'] != data.description:
            raise UserError(
                f'the run {self.folder} was started on {state["data"]}, not on {data.description}'
            )
        if state.get('world', 1) != self.place.world:
            raise UserError(
                f'the run {self.folder} was started with {state["world"]} processes, not '
                f'{self.place.world}: each has memories of its own'
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
            report.write_curves(self.path('curves.png'), self.rows)
            self.drawn = time.monotonic()
        report.write_samples(
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
