"""The ablation table: variants of the method trained one after the other and scored alike."""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..fusers.classical import CLASSICAL
from ..io.text_files import read_yaml
from ..io.whole_files import make_folder, whole_file
from .config import Config, changed, put, read_complete
from .data.pairs import ImagePair, load_folders, spread
from .export.card import count_parameters
from .loop import TrainingJob, train
from .losses.halo import most_overshoot
from .methods.fusion import FusionMethod
from .methods.registry import find_method
from .run import Checkpoint
from .scores import CARD, Example, Fuse, Scores, fuse, metrics, of_pair, score_examples

BASELINES = ('max', 'average', 'laplacian', 'guided_filter')
METRICS = (*CARD, 'amplified', 'saturated')


@dataclass(frozen=True)
class Variant:
    """label: in the table. config: complete. teacher: name of the variant to learn from, if any."""

    name: str
    label: str
    config: dict
    teacher: str | None


@dataclass(frozen=True)
class Ablation:
    """variants: trained in this order. pairs: that they are scored on. metrics: columns."""

    variants: list[Variant]
    pairs: int
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """rows: label, size and metrics of each; overshoot of luma networks alone."""

    rows: list[dict]
    pairs: int
    metrics: tuple[str, ...]

    def markdown(self) -> str:
        """Means over the pairs, one line a variant."""
        over = any('overshoot' in row for row in self.rows)
        names = ['variant', 'KB', *['overshoot'] * over, *self.metrics]
        lines = [f'| {" | ".join(names)} |', '|---' * len(names) + '|']
        for row in self.rows:
            cells = [row['variant'], f'{row["kilobytes"]:.2f}']
            cells += [f'{row["overshoot"]:.0f}'] if over else []
            cells += [f'{row[name]:.4f}' for name in self.metrics]
            lines.append(f'| {" | ".join(cells)} |')
        told = 'Overshoot: the most at step edges, grey levels. ' if over else ''
        worse = [name for name in ('amplified', 'saturated') if name in self.metrics]
        lower = f', of {" and ".join(worse)} lower' if worse else ''
        lines.append(
            f'\n{told}Means over {self.pairs} pairs, 8-bit luma, our definitions; higher is '
            f'better{lower}.'
        )
        return '\n'.join(lines)


def ablate(
    config_file: Path,
    folder: Path,
    out: Path,
    vgg: str,
    scores: Scores | None = None,
    changes: Iterable[str] = (),
) -> Table:
    """Train every variant into a folder below ``out``, score them and `BASELINES`, write table.md.

    Finished variants are not trained again, and one that was cut off goes on. Model files are left
    to `export`.
    vgg: as the configuration has it: a file, auto or none. scores: of 8-bit images
    (default: `evaluate.metrics`). changes: ``key=value`` for every variant; what the file sets in
    one stands above them. Raises UserError.
    """
    plan = load_plan(config_file, changes)
    scores = scores or metrics(plan.metrics)
    make_folder(Path(out))
    rows: list[dict] = []

    @functools.cache
    def validation(colour: bool) -> list[ImagePair]:
        return spread(load_folders(folder, colour=colour).validation, plan.pairs)

    for variant in plan.variants:
        run = Path(out) / variant.name
        content = dict(variant.config)
        if variant.teacher:
            put(content, 'teacher', str(Path(out) / variant.teacher), variant.name)
        if 'vgg' in content[content['method']]:
            put(content, 'vgg', vgg, variant.name)
        config = Config.check(content, variant.name)
        method = find_method(config.method)
        examples = method.examples(config, validation(method.colour))
        rows = rows or [
            {'variant': name, 'kilobytes': 0.0}
            | _scored(of_pair(CLASSICAL[name]), method, examples, scores, CLASSICAL[name])
            for name in BASELINES
        ]
        train(TrainingJob(config, folder, run, resume=True, model_file=False))
        network = Checkpoint.load(run).network
        size = {'kilobytes': 4 * count_parameters(network) / 1024}
        result = _scored(method.fuser(network), method, examples, scores, fuse(network))
        rows.append({'variant': variant.label, **size, **result})
        table = Table(rows, len(examples), plan.metrics)
        with whole_file(Path(out) / 'table.md') as temporary:
            temporary.write_text(table.markdown() + '\n')
    return table


def _scored(
    fuser: Callable[[Example], np.ndarray],
    method: type[FusionMethod],
    examples: list[Example],
    scores: Scores,
    grey: Fuse,
) -> dict[str, float]:
    """grey: the same on grey images, for the halos of luma networks."""
    over = {} if method.colour else {'overshoot': most_overshoot(grey)}
    return over | score_examples(fuser, examples, scores)


def load_plan(path: Path, changes: Iterable[str] = ()) -> Ablation:
    """The variants of a file and how they are scored. Raises UserError.

    Each starts from a configuration beside the file (``base``) and changes what ``set`` lists,
    by dotted keys; ``all`` is set in every one, then the changes. ``metrics`` are `METRICS` where
    it says nothing.
    """
    try:
        content = read_yaml(path, 'the list of variants')
        common, listed = content['all'], content['variants']
        variants = []
        for name, given in listed.items():
            if not re.fullmatch(r'\w[\w.-]*', str(name)):
                raise UserError(f'{path}: {name!r} is no name for a variant: it becomes a folder')
            base = read_complete(Path(path).parent / f'{given["base"]}.yaml')
            for key, value in common.items():
                put(base, key, value, f'{path}: {name}')
            base = changed(base, changes, f'{path}: {name}')
            for key, value in (given.get('set') or {}).items():
                put(base, key, value, f'{path}: {name}')
            Config.check(base, f'{path}: {name}')
            variants.append(Variant(name, given['label'], base, given.get('teacher')))
        pairs, names = int(content['pairs']), tuple(content.get('metrics', METRICS))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'{path} is not a list of variants: {error!r}') from error
    for i, variant in enumerate(variants):
        if variant.teacher and variant.teacher not in [earlier.name for earlier in variants[:i]]:
            raise UserError(
                f'{path}: {variant.name} needs its teacher {variant.teacher!r} above it'
            )
    return Ablation(variants, pairs, names)
