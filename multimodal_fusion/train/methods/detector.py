"""Training of the detector of people and cars: assemble, step, average, judge, save.

The run folder is that of `loop`: config.yaml, metrics.csv, curves.png, samples/, last.safetensors,
best.safetensors, last.state, and at the end model.onnx and model.md. The weights that are judged
and shipped are the running average of those that are trained. ``best`` is by the validation loss,
on machine labels; what is exported is ``last``.
"""

import csv
import dataclasses
import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from ...detect.detection import Detection, draw
from ...detect.suppress import suppress
from ...errors import UserError
from ...host.share import share_file
from ...host.version import code_version
from ...io.text_files import read_text, read_yaml
from ...io.whole_files import make_folder, whole_file
from ...networks.yolo import Yolo, cells, decode
from .. import curves
from ..data.boxes import CLASSES, SOURCES, VIEWS, Boxed, Crops, Sample, load_boxed, to_tensor, whole
from ..loop import DivergedError
from ..losses.assign import corners
from ..losses.detection import detection_loss
from ..run import machine
from ..sections import complete, number

TERMS = ('box', 'class')
_LEAST = {
    'seed': 0,
    'threads': 1,
    'steps': 1,
    'finish': 0,
    'batch': 1,
    'side': 64,
    'long_side': 64,
    'learning_rate': 0.0,
    'weight_decay': 0.0,
    'warm_up': 0,
    'average': 0.0,
    'evaluate_every': 1,
    'samples': 1,
    'scene_seed': 0,
    'scene_seeds': 0,
    'scene_frames': 1,
    'zoom_out': 0.01,
    'zoom_in': 0.01,
    'gain': 1.0,
    'gamma': 1.0,
    'noise': 0.0,
}


@dataclass(frozen=True)
class DetectorConfig:
    """config/train/detector.yaml, complete and checked; what each value means is said there."""

    recipe: str
    seed: int
    threads: int
    steps: int
    finish: int
    batch: int
    side: int
    long_side: int
    learning_rate: float
    weight_decay: float
    warm_up: int
    average: float
    evaluate_every: int
    samples: int
    scene_seed: int
    scene_seeds: int
    scene_frames: int
    zoom_out: float
    zoom_in: float
    gain: float
    gamma: float
    noise: float
    held_out: str
    persons_only: tuple[str, ...]
    weights: dict[str, float]
    before: dict[str, float]
    after: dict[str, float]

    @classmethod
    def load(cls, path: Path) -> 'DetectorConfig':
        """Read a YAML file. Raises UserError that names the key and what was expected."""
        return cls.check(read_yaml(path, 'the configuration'), str(path))

    @classmethod
    def check(cls, content: object, source: str) -> 'DetectorConfig':
        """A configuration from a mapping. source: where it came from, for messages."""
        values = dict(complete(cls, content, source))
        if values['recipe'] != 'detector':
            raise UserError(f'{source} is for recipe {values["recipe"]!r}, not for detector')
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        for key, least in _LEAST.items():
            values[key] = number(f'{source}: {key}', values[key], kinds[key], least)
        if values['side'] % 32 or values['long_side'] % 32:
            raise UserError(f'{source}: side and long_side must be multiples of 32')
        for key, names in (('weights', TERMS), ('before', SOURCES), ('after', SOURCES)):
            if not isinstance(values[key], dict) or set(values[key]) != set(names):
                raise UserError(f'{source}: {key} must name exactly {", ".join(names)}')
            values[key] = {
                n: number(f'{source}: {key}.{n}', values[key][n], float, 0) for n in names
            }
            if not sum(values[key].values()):
                raise UserError(f'{source}: {key} must not be all 0')
        values['persons_only'] = tuple(map(str, values['persons_only']))
        return cls(**values)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @property
    def hash(self) -> str:
        """Twelve hex digits that name the configuration, whatever its comments."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


def held_out_stems(name: str) -> list[str]:
    """The stems in a split file, a path or one of the package's own. Raises UserError."""
    path = Path(name) if Path(name).is_file() else share_file(name)
    lines = (line.partition('#')[0].strip() for line in read_text(path, 'the stems').splitlines())
    return [line for line in lines if line]


def train_detector(config_file: Path, data_folder: Path, out: Path, resume: bool) -> dict:
    """Run the recipe to the end, from scratch or from where it stopped.

    Returns the last row of metrics.csv. Raises UserError on bad input, and DivergedError when the
    loss is not finite; the last checkpoint before that stays.
    """
    from ..export.detector import (
        export_detector,  # here: it reads checkpoints by this file's config
    )

    config = DetectorConfig.load(config_file)
    run = DetectorRun(Path(out), config, resume)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    data = load_boxed(data_folder, config, held_out_stems(config.held_out))
    run.restore(config_file, data)
    crops, network, optimiser = Crops(data, config), run.network, run.optimiser
    started, sums = time.monotonic() - run.seconds, dict.fromkeys(('loss', *TERMS), 0.0)
    with tqdm(total=config.steps, initial=run.step, disable=None, unit='step') as bar:
        while True:
            if run.due():
                count = run.step - max(run.saved_at, 0)
                run.seconds = round(time.monotonic() - started, 1)
                row = {
                    'step': run.step,
                    'seconds': run.seconds,
                    'learning_rate': rate(config, run.step),
                    **{f'train_{n}': v / count if count else math.nan for n, v in sums.items()},
                    **judge(run.averaged, data.validation, config),
                }
                run.save(row, data)
                sums = dict.fromkeys(sums, 0.0)
            if run.step == config.steps:
                break

            for group in optimiser.param_groups:
                group['lr'] = rate(config, run.step)
            images, targets = crops(run.step)
            terms = detection_loss(network.train(), images, targets)
            loss = total(terms, config)
            if not math.isfinite(loss.item()):
                raise DivergedError(
                    f'the training loss is {loss.item()} at step {run.step}; the last checkpoint '
                    'is kept: lower learning_rate, or look at the data'
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimiser.step()
            run.step += 1
            average(run.averaged, network, config.average, run.step)
            values = {'loss': loss.item(), **{name: term.item() for name, term in terms.items()}}
            sums = {name: sums[name] + value for name, value in values.items()}
            bar.update()
            bar.set_postfix(loss=f'{values["loss"]:.3f}', refresh=False)
    export_detector(run.path('last.safetensors'), run.path('model.onnx'))
    return run.rows[-1]


def rate(config: DetectorConfig, step: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to a hundredth of it."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    done = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def total(terms: dict[str, torch.Tensor], config: DetectorConfig) -> torch.Tensor:
    return sum(config.weights[name] * term for name, term in terms.items())


@torch.no_grad()
def average(averaged: Yolo, network: Yolo, most: float, step: int) -> None:
    """Move the running average towards the network; quickly at first."""
    keep = most * (1 - math.exp(-step / 200))
    for mean, value in zip(
        averaged.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)


@torch.no_grad()
def judge(network: Yolo, samples: list[Sample], config: DetectorConfig) -> dict[str, float]:
    """The loss over validation images, each in one view. On machine labels: no accuracy."""
    network.eval()
    sums = dict.fromkeys(('loss', *TERMS), 0.0)
    for start in range(0, len(samples), 8):
        some = [
            whole(sample, VIEWS[(start + i) % len(VIEWS)], config.long_side)
            for i, sample in enumerate(samples[start : start + 8])
        ]
        terms = detection_loss(
            network, to_tensor(np.stack([s[0] for s in some])), [s[1] for s in some]
        )
        for name, value in (('loss', total(terms, config)), *terms.items()):
            sums[name] += value.item() * len(some)
    return {f'val_{name}': value / len(samples) for name, value in sums.items()}


class DetectorRun:
    """The run folder and all that a resumed run needs. Every file in it is whole or absent."""

    def __init__(self, folder: Path, config: DetectorConfig, resume: bool):
        self.folder, self.config = folder, config
        self.rows: list[dict] = []
        self.step, self.seconds, self.saved_at, self.best = 0, 0.0, -1, math.inf
        if self.path('last.state').exists():
            if not resume:
                raise UserError(
                    f'{folder} already holds a run; go on with it by --resume, or choose another '
                    '--out'
                )
            if DetectorConfig.load(self.path('config.yaml')) != config:
                raise UserError(
                    f'the configuration differs from the one that {folder} was started with; '
                    f'resume with --config {self.path("config.yaml")}, or choose another --out'
                )

    def path(self, name: str) -> Path:
        return self.folder / name

    def due(self) -> bool:
        """Whether to judge and save now: not again where a resumed run just did."""
        regular = self.step % self.config.evaluate_every == 0 or self.step == self.config.steps
        return regular and self.step > self.saved_at

    def restore(self, config_file: Path, data: Boxed) -> None:
        """Make network, average and optimiser, and fill them from the folder if it has a run."""
        make_folder(self.path('samples'))
        torch.manual_seed(self.config.seed)
        self.network = Yolo(len(CLASSES)).to(memory_format=torch.channels_last)
        self.averaged = Yolo(len(CLASSES)).to(memory_format=torch.channels_last)
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.requires_grad_(False)
        self.optimiser = _optimiser(self.network, self.config)
        if not self.path('last.state').exists():
            text = Path(config_file).read_text()
            with whole_file(self.path('config.yaml')) as temporary:
                temporary.write_text(text)
            return
        state = torch.load(self.path('last.state'), map_location='cpu', weights_only=True)
        if state['data'] != data.description:
            raise UserError(
                f'the run {self.folder} was started on {state["data"]}, not on {data.description}'
            )
        self.network.load_state_dict(state['network'])
        self.averaged.load_state_dict(state['averaged'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.step = self.saved_at = state['step']
        self.seconds, self.best = state['seconds'], state['best']
        with open(self.path('metrics.csv'), newline='') as file:
            self.rows = [row for row in csv.DictReader(file) if int(row['step']) <= self.step]

    def save(self, row: dict, data: Boxed) -> None:
        """Record a row and make a checkpoint; ``last.state`` is written last and seals it."""
        self.rows.append(row)
        self.saved_at = self.step
        metadata = {
            'config': self.config.to_json(),
            'trained_on': data.description,
            'commit': code_version(),
            'machine': machine(self.config),
            'row': json.dumps(row),
        }
        weights = {n: v.contiguous() for n, v in self.averaged.state_dict().items()}
        names = ['last.safetensors']
        if row['val_loss'] < self.best:
            self.best = row['val_loss']
            names.append('best.safetensors')
        for name in names:
            with whole_file(self.path(name)) as temporary:
                save_file(weights, temporary, metadata)
        with (
            whole_file(self.path('metrics.csv')) as temporary,
            open(temporary, 'w', newline='') as file,
        ):
            writer = csv.DictWriter(file, row.keys())
            writer.writeheader()
            writer.writerows(self.rows)
        curves.write_curves(self.path('curves.png'), self.rows)
        write_samples(
            self.path(f'samples/{self.step:07d}.png'), self.averaged, data.validation, self.config
        )
        with whole_file(self.path('last.state')) as temporary:
            torch.save(
                {
                    'step': self.step,
                    'seconds': self.seconds,
                    'best': self.best,
                    'data': data.description,
                    'network': self.network.state_dict(),
                    'averaged': self.averaged.state_dict(),
                    'optimiser': self.optimiser.state_dict(),
                },
                temporary,
            )


def _optimiser(network: Yolo, config: DetectorConfig) -> torch.optim.Optimizer:
    """AdamW; biases and normalisation are not decayed."""
    plain = [p for p in network.parameters() if p.ndim < 2]
    decayed = [p for p in network.parameters() if p.ndim >= 2]
    return torch.optim.AdamW(
        [
            {'params': decayed, 'weight_decay': config.weight_decay},
            {'params': plain, 'weight_decay': 0.0},
        ],
        lr=config.learning_rate,
    )


@torch.no_grad()
def write_samples(path: Path, network: Yolo, samples: list[Sample], config: DetectorConfig) -> None:
    """Validation images with what is found in them at a score of 0.3, side by side, as PNG."""
    import cv2

    pictures = []
    for i in range(min(config.samples, len(samples))):
        sample = samples[i * len(samples) // config.samples]
        image, _ = whole(sample, VIEWS[i % len(VIEWS)], config.long_side)
        grid = cells(*image.shape[:2])
        boxes, logits = decode(network.eval()(to_tensor(image[None])), *grid)
        boxes, (scores, labels) = corners(boxes[0].T).numpy(), logits[0].sigmoid().max(0)
        good = scores.numpy() >= 0.3
        boxes, scores, labels = boxes[good], scores.numpy()[good], labels.numpy()[good]
        found = [
            Detection(CLASSES[labels[k]], float(scores[k]), *map(float, boxes[k]))
            for k in suppress(boxes, scores, labels, 0.5)
        ]
        pictures.append(draw(image, found))
    with whole_file(path) as temporary:
        cv2.imwrite(str(temporary), np.hstack(pictures))
