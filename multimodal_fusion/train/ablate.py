"""The ablation table: variants of the method trained one after the other and scored alike."""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..fusers.classical import CLASSICAL
from ..io.text_files import read_yaml
from ..io.whole_files import make_folder, whole_file
from .config import Config, put, read_complete
from .data.pairs import load_folders, spread
from .export.card import count_parameters
from .loop import TrainingJob, train
from .losses.halo import most_overshoot
from .run import Checkpoint
from .scores import CARD, Scores, fuse, metrics, score

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
class Table:
    rows: list[dict]
    pairs: int

    def markdown(self) -> str:
        """Means over the pairs, one line a variant."""
        lines = [
            '| variant | KB | overshoot | ' + ' | '.join(METRICS) + ' |',
            '|---' * (len(METRICS) + 3) + '|',
        ]
        for row in self.rows:
            cells = ' | '.join(f'{row[name]:.4f}' for name in METRICS)
            size, over = row['kilobytes'], row['overshoot']
            lines.append(f'| {row["variant"]} | {size:.2f} | {over:.0f} | {cells} |')
        lines.append(
            '\nOvershoot: the most at step edges, grey levels. '
            f'Means over {self.pairs} pairs, 8-bit luma, our definitions; higher is better, '
            'of amplified and saturated lower.'
        )
        return '\n'.join(lines)


def ablate(
    config_file: Path, folder: Path, out: Path, vgg: str, scores: Scores | None = None
) -> Table:
    """Train every variant into a folder below ``out``, score them and `BASELINES`, write table.md.

    Finished variants are not trained again, and one that was cut off goes on.
    vgg: as the configuration has it: a file, auto or none. scores: of 8-bit images
    (default: `evaluate.metrics`). Raises UserError.
    """
    scores = scores or metrics(METRICS)
    variants, pairs = load_variants(config_file)
    validation = spread(load_folders(folder).validation, pairs)
    make_folder(Path(out))
    rows = [
        {
            'variant': name,
            'kilobytes': 0.0,
            'overshoot': most_overshoot(CLASSICAL[name]),
            **score(CLASSICAL[name], validation, scores),
        }
        for name in BASELINES
    ]
    for variant in variants:
        run = Path(out) / variant.name
        content = dict(variant.config)
        if variant.teacher:
            put(content, 'teacher', str(Path(out) / variant.teacher), variant.name)
        if 'vgg' in content[content['method']]:
            put(content, 'vgg', vgg, variant.name)
        train(TrainingJob(Config.check(content, variant.name), folder, run, resume=True))
        checkpoint = Checkpoint.load(run)
        fused = fuse(checkpoint.network)
        rows.append(
            {
                'variant': variant.label,
                'kilobytes': 4 * count_parameters(checkpoint.network) / 1024,
                'overshoot': most_overshoot(fused),
                **score(fused, validation, scores),
            }
        )
        table = Table(rows, len(validation))
        with whole_file(Path(out) / 'table.md') as temporary:
            temporary.write_text(table.markdown() + '\n')
    return table


def load_variants(path: Path) -> tuple[list[Variant], int]:
    """The variants of a file and on how many pairs they are scored. Raises UserError.

    Each starts from a configuration beside the file (``base``) and changes what ``set`` lists,
    by dotted keys; ``all`` is set in every one.
    """
    try:
        content = read_yaml(path, 'the list of variants')
        common, listed = content['all'], content['variants']
        variants = []
        for name, given in listed.items():
            if not re.fullmatch(r'\w[\w.-]*', str(name)):
                raise UserError(f'{path}: {name!r} is no name for a variant: it becomes a folder')
            base = read_complete(Path(path).parent / f'{given["base"]}.yaml')
            for key, value in {**common, **(given.get('set') or {})}.items():
                put(base, key, value, f'{path}: {name}')
            Config.check(base, f'{path}: {name}')
            variants.append(Variant(name, given['label'], base, given.get('teacher')))
        pairs = int(content['pairs'])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'{path} is not a list of variants: {error!r}') from error
    for i, variant in enumerate(variants):
        if variant.teacher and variant.teacher not in [earlier.name for earlier in variants[:i]]:
            raise UserError(
                f'{path}: {variant.name} needs its teacher {variant.teacher!r} above it'
            )
    return variants, pairs
