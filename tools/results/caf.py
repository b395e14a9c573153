"""The loss search end to end: searches, fusion under each loss, task networks, tables and bars.

    python -m tools.results.caf --data DATA --runs runs/caf --out docs/results

DATA holds ivif, boxes and segmentation. Every run is a run of ``train`` in a folder of --runs;
those that are there are taken as they are: it can be stopped and called again. Two hours of two
cores. Everything is seen at 320 pixels, as in training: see docs/loss-search.md for what was cut.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from multimodal_fusion.host.progress import progress
from multimodal_fusion.train.losses.search_space import FIXED, NAMES

from .caf_scores import Held, score

TASKS = ('detection', 'segmentation')
SEARCHED = [name for name in NAMES if name not in FIXED]
SEEDS = (1, 2, 3)
OTHERS = ('mmdrfuse_pyramid', 'mobilefuse')  # with detection, one seed
SHIPPED = 'detector_person_car'
SETTINGS = {'detection': 'task-network', 'segmentation': 'task-network-segmentation'}
SEARCH = {'detection': 'loss-search', 'segmentation': 'loss-search-segmentation'}
TUNED_ON = {  # fusing the rest takes long
    'detection': ['task_network.options.scene_seeds=6'],
    'segmentation': [
        'task_network.options.scene_seeds=6',
        'task_network.options.boxes=[labels]',
    ],
}


@dataclass(frozen=True)
class Variant:
    """A loss that a fusion network is trained under: hand, random, uniform, or of a task."""

    network: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        return f'{self.network}-{self.loss}-{self.seed}'

    def suits(self, task: str) -> bool:
        return self.loss not in TASKS or self.loss == task


VARIANTS = [
    *(Variant('dense', loss, n) for n in SEEDS for loss in ('uniform', *TASKS, 'hand', 'random')),
    *(Variant(network, loss, 1) for network in OTHERS for loss in ('uniform', 'detection')),
]


class Runs:
    """The folder of runs, and what makes them."""

    def __init__(self, data: Path, folder: Path, jobs: int):
        self.data, self.folder, self.jobs = data, folder, jobs
        self.more = f'options.more=[{data / "boxes/train"}]'

    def path(self, *words: object) -> Path:
        return self.folder / '-'.join(map(str, words))

    def all(self, commands: Sequence[tuple[Path, list[str]]]) -> None:
        """Run those that are not done, some at once."""
        left = [command for command in commands if not (command[0] / 'model.onnx').is_file()]
        with ThreadPoolExecutor(self.jobs) as pool:
            for _ in progress(pool.map(self._one, left), len(left), unit='runs'):
                pass

    def _one(self, command: tuple[Path, list[str]]) -> None:
        path, words = command
        resume = ['--resume'] if (path / 'last.state').is_file() else []
        with open(f'{path}.log', 'w') as log:
            subprocess.run(
                [sys.executable, '-m', 'multimodal_fusion', 'train', *words, '--out', str(path),
                 '--data', str(self.data / 'ivif'), *resume],
                stdout=log, stderr=log, check=True,
            )  # fmt: skip

    def trained(self) -> None:
        """Task networks from scratch, on images that the searches do not weigh the terms by."""
        more = f'task_network.{self.more}'
        steps = {'detection': 'steps=1500', 'segmentation': 'steps=2500'}
        self.all([(self.path(t, 'trained'), [SETTINGS[t], more, steps[t]]) for t in TASKS])
        mixed = [SETTINGS['detection'], more, *self._gently('detection')]
        self.all([(self.path('detection', 'mixed'), mixed)])

    def searched(self) -> None:
        asked = [(t, 'dense', n) for n in SEEDS for t in TASKS]
        asked += [('detection', network, 1) for network in OTHERS]
        self.all(
            [
                (
                    self.path(task, 'search', network, seed),
                    [
                        SEARCH[task], f'seed={seed}', f'loss_search.network={network}',
                        f'loss_search.trained={self.path(task, "trained")}',
                        f'loss_search.{self.more}',
                    ],
                )
                for task, network, seed in asked
            ]
        )  # fmt: skip

    def loss(self, variant: Variant) -> list[str]:
        """What is said to ``train fusion`` of its loss."""
        if variant.loss == 'hand':
            return []
        if variant.loss in TASKS:
            path = self.path(variant.loss, 'search', variant.network, variant.seed)
            return [f'fusion.loss={path / "searched_loss.yaml"}']
        weights = np.full(len(SEARCHED), 1 / len(SEARCHED))
        if variant.loss == 'random':  # as ``initial: random`` of the search
            drawn = np.exp(np.random.default_rng(variant.seed).normal(size=len(SEARCHED)))
            weights = drawn / drawn.sum()
        path = self.path(variant.loss, variant.seed).with_suffix('.yaml')
        found = dict(zip(SEARCHED, weights.tolist(), strict=True)) | FIXED
        path.write_text(yaml.safe_dump({'weights': found}))
        return [f'fusion.loss={path}']

    def fused(self, variants: Sequence[Variant]) -> None:
        self.all(
            [
                (
                    self.path('fused', variant.name),
                    [
                        'fusion', f'seed={variant.seed}', f'fusion.network={variant.network}',
                        'steps=120', 'batch=4', 'evaluate_every=60', 'fusion.patch=64',
                        'fusion.validation_pairs=8', 'fusion.validation_side=128',
                        'optimiser.learning_rate=1e-3', 'optimiser.warm_up=10',
                        'fusion.perceived=1', f'name=caf_{variant.loss}', *self.loss(variant),
                    ],
                )
                for variant in variants
            ]
        )  # fmt: skip

    def _gently(self, task: str) -> list[str]:
        start = SHIPPED if task == 'detection' else str(self.path(task, 'trained'))
        return ['--start', start, 'steps=150', 'optimiser.learning_rate=3e-4']

    def tuned(self, variants: Sequence[Variant]) -> None:
        self.all(
            [
                (
                    self.path(task, 'tuned', variant.name),
                    [
                        SETTINGS[task], f'seed={variant.seed}', f'task_network.{self.more}',
                        f'task_network.images=[{self.path("fused", variant.name)}]',
                        *self._gently(task), *TUNED_ON[task],
                    ],
                )
                for variant in variants
                for task in TASKS
                if variant.suits(task) and (task == 'detection' or variant.network == 'dense')
            ]
        )  # fmt: skip

    def weights(self, task: str) -> np.ndarray:
        """Of the searches for dense, (seeds, terms)."""
        paths = (self.path(task, 'search', 'dense', seed) for seed in SEEDS)
        found = (yaml.safe_load((p / 'searched_loss.yaml').read_text())['weights'] for p in paths)
        return np.array([[one[name] for name in SEARCHED] for one in found])


def measured(runs: Runs, held: Held, variants: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """{variant: figures}, each kept in its run's folder once it is there."""

    def one(variant: Variant) -> dict[str, Any]:
        kept = runs.path('fused', variant.name) / 'caf.json'
        if not kept.is_file():
            tuned = {t: runs.path(t, 'tuned', variant.name) / 'model.onnx' for t in TASKS}
            there = {task: str(path) for task, path in tuned.items() if path.is_file()}
            found = score(held, str(runs.path('fused', variant.name)), there)
            kept.write_text(json.dumps(found))
        return json.loads(kept.read_text())

    with ThreadPoolExecutor(runs.jobs) as pool:
        found = progress(pool.map(one, variants), len(variants), unit='models')
        return dict(zip((v.name for v in variants), found, strict=True))


def table_3(found: dict[str, dict[str, Any]]) -> str:
    """Means and standard deviations over the seeds."""
    columns = {
        'MI': 'MI', 'VIF': 'VIF', 'Qabf': 'Qabf', 'SSIM': 'SSIM', 'KC': 'KC',
        'person': 'AP.5 person', 'car': 'AP.5 car', 'miou': 'mIoU',
    }  # fmt: skip
    lines = [['network', 'loss', *columns.values()], ['---', '---', *['---:'] * len(columns)]]
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for variant in VARIANTS:
        rows.setdefault((variant.network, variant.loss), []).append(found[variant.name])
    for (network, loss), figures in rows.items():
        cells = []
        for key in columns:
            values = [f[key] for f in figures if f.get(key) is not None]
            spread = f' ±{np.std(values, ddof=1):.3f}' if len(values) > 1 else ''
            cells.append(f'{np.mean(values):.3f}{spread}' if values else '–')
        named = f'searched by {loss}' if loss in TASKS else loss
        once = ' (one seed)' if len(figures) == 1 else ''
        lines.append([network, named + once, *cells])
    return _markdown(lines)


def table_1_and_2(held: Held, runs: Runs, names: Sequence[str]) -> str:
    """One task network for all: what is seen through each fuser."""
    networks = {
        'detection': runs.path('detection', 'mixed') / 'model.onnx',
        'segmentation': runs.path('segmentation', 'trained') / 'model.onnx',
    }
    kept = runs.path('tables-1-2').with_suffix('.json')
    rows = json.loads(kept.read_text()) if kept.is_file() else {}
    for name in progress(list(names), len(names), unit='fusers'):
        if name not in rows:
            rows[name] = score(held, name, {t: str(p) for t, p in networks.items()}, metrics=False)
            kept.write_text(json.dumps(rows))
    head = [
        'image',
        'AP.5 person',
        'AP.5 car',
        'mAP.5:.95',
        'mIoU',
        *('IoU ' + c for c in held.classes),
    ]
    lines = [head, ['---', *['---:'] * (len(head) - 1)]]
    for name in names:
        row = rows[name]
        cells = [row['person'], row['car'], row['map'], row['miou'], *row['iou'].values()]
        lines.append([Path(name).stem, *(f'{cell:.3f}' for cell in cells)])
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def bars(runs: Runs, path: Path) -> str:
    """Figure 5: the weights that each task found, as bars, PNG; and as a table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout='constrained')
    axes = figure.subplots()
    places = np.arange(len(SEARCHED))
    lines = [['term', *TASKS], ['---', '---:', '---:']]
    found = {task: runs.weights(task) for task in TASKS}
    for i, (task, weights) in enumerate(found.items()):
        axes.bar(
            places + 0.4 * i - 0.2, weights.mean(0), 0.4, yerr=weights.std(0, ddof=1), label=task
        )
    axes.axhline(1 / len(SEARCHED), color='grey', linewidth=0.8)
    axes.set_xticks(places, SEARCHED, rotation=40, ha='right')
    axes.set_ylabel('weight')
    axes.legend()
    figure.savefig(path, dpi=90)
    for k, name in enumerate(SEARCHED):
        cells = [f'{w[:, k].mean():.3f} ±{w[:, k].std(ddof=1):.3f}' for w in found.values()]
        lines.append([name, *cells])
    return _markdown(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--runs', type=Path, required=True)
    parser.add_argument('--out', type=Path, default=Path('docs/results'))
    parser.add_argument('--jobs', type=int, default=2, help='runs at once')
    parser.add_argument(
        '--models',
        default='visible,thermal,average,max,laplacian,mmdrfuse,mmdrfuse_plus,mmdrfuse_pyramid,'
        'mobilefuse,caf_detection,caf_segmentation',
    )
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    runs = Runs(args.data.resolve(), args.runs.resolve(), args.jobs)
    for stage in (runs.trained, runs.searched):
        stage()
    runs.fused(VARIANTS)
    runs.tuned(VARIANTS)
    held = Held.read(args.data)
    parts = [
        f'# The loss search\n\n`python -m tools.results.caf`; {held.about}\n',
        f'## The weights that each task found\n\n![](caf_weights.png)\n\n'
        f'{bars(runs, args.out / "caf_weights.png")}',
        f'## Networks under each loss (the shape of table 3)\n\n'
        f'{table_3(measured(runs, held, VARIANTS))}',
        f'## Fusers under one task network (the shape of tables 1 and 2)\n\n'
        f'{table_1_and_2(held, runs, args.models.split(","))}',
    ]
    (args.out / 'caf.md').write_text('\n'.join(parts))


if __name__ == '__main__':
    main()
