"""Model cards."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ...fusers.classical import CLASSICAL
from ..config import Config
from ..data.pairs import ImagePair
from ..run import Checkpoint
from ..scores import CARD, fuse, metrics, score

LICENCE = 'Apache-2.0'


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def count_by_part(network: nn.Module) -> dict[str, int]:
    """Parameters of each part of a network, in order."""
    return {name: count_parameters(part) for name, part in network.named_children()}


def scores_table(
    name: str, network: nn.Module, pairs: Sequence[ImagePair]
) -> dict[str, dict[str, float]]:
    """Metrics of a network and of two classical fusers over pairs."""
    fusers = {name: fuse(network), 'max': CLASSICAL['max'], 'average': CLASSICAL['average']}
    scores = metrics(CARD)
    return {name: score(fuser, pairs, scores) for name, fuser in fusers.items()}


def default_name(checkpoint: Checkpoint, kind: str) -> str:
    """What a model is called if nobody says."""
    name = checkpoint.config.name
    return name if kind == getattr(checkpoint.network, 'kind', 'luma') else f'{name}_{kind}'


def card(checkpoint: Checkpoint, name: str, kind: str, table: dict[str, dict[str, float]]) -> str:
    """The model card of a fuser, Markdown."""
    config, row = checkpoint.config, checkpoint.row
    about, limits = checkpoint.method.describe(config.section)
    pixels = {'luma': 'luma', 'colour': 'RGB'}[kind]
    ports = f'{kind}: 8-bit visible {pixels} and white-hot thermal in, fused {pixels} out'
    counts = count_by_part(checkpoint.network)
    listed = ', '.join(f'{part} {count}' for part, count in counts.items())
    parts = f'\n| by part | {listed} |' if 2 < len(counts) < 12 else ''
    limits = textwrap.fill(f'{limits} Not for measuring temperature.'.strip(), 100)
    scores = '\n'.join(
        f'| {term.removeprefix("val_")} | {value:.5f} |'
        for term, value in row.items()
        if term.startswith('val_')
    )
    return f"""# {name}

{about}.

{_facts(checkpoint, ports, parts)}

Method: `{config.method}`{_loss(config)}.
On the validation pairs (8-bit output, lower is better):

| term | mean |
|---|---|
{scores}
{_metrics(table)}
## Intended use
Fusing registered thermal and visible images, for people and for detectors.

## Limits
{limits}
"""


def _facts(checkpoint: Checkpoint, kind: str, more: str = '') -> str:
    config, row = checkpoint.config, checkpoint.row
    patch = getattr(config.section, 'patch', None) or getattr(config.section, 'side', None)
    crops = f'{config.batch} crops of {patch}x{patch}' if patch else f'{config.batch} samples'
    return f"""| | |
|---|---|
| kind | {kind} |
| parameters | {count_parameters(checkpoint.network)} |{more}
| trained on | {checkpoint.trained_on} |{_never(config)}
| configuration | {config.hash}, seed {config.seed} |
| training | step {row['step']} of {config.steps}, {crops} a step, {row['seconds'] / 60:.1f} min |
| machine | {checkpoint.machine} |
| code | {checkpoint.commit} |
| licence of the weights | {LICENCE}; the training data have terms of their own |"""


def _never(config: Config) -> str:
    return f'\n| never trained or chosen on | `{config.without}` |' if config.without else ''


def _loss(config: Config) -> str:
    if given := getattr(config.section, 'loss', ''):  # a file of a search, or a function
        return f'; loss: `{Path(given).name}`'
    weights = dict(getattr(config.section, 'weights', {}))
    weights['halo'] = getattr(config.section, 'halo', 0.0)
    terms = ' + '.join(f'{weight:g} {name}' for name, weight in weights.items() if weight)
    return f'; loss: {terms}, defined in `multimodal_fusion/train/losses`' if terms else ''


def detector_card(checkpoint: Checkpoint, classes: Sequence[str]) -> str:
    """The model card, Markdown, without measured accuracy: that is for `evaluate` to add."""
    kind = f"detector: RGB in [0, 1] in, {' and '.join(classes)} boxes out, in YOLOv8's layout"
    about = f'A small anchor-free detector of {_listed(classes)}'
    return _seeing_card(checkpoint, kind, about, 'yolo', 'detection')


def segmenter_card(checkpoint: Checkpoint, classes: Sequence[str]) -> str:
    """As `detector_card`."""
    kind = f'segmenter: RGB in [0, 1] in, logits of {", ".join(classes)} out'
    about = f'A compact segmentation network for {_listed(classes)}'
    return _seeing_card(checkpoint, kind, about, 'segmenter', 'segmentation')


def _listed(classes: Sequence[str]) -> str:
    return ', '.join(classes[:-1]) + f' and {classes[-1]}' if classes[1:] else classes[0]


def _seeing_card(checkpoint: Checkpoint, kind: str, about: str, network: str, loss: str) -> str:
    config = checkpoint.config
    section = config.section
    held_out = getattr(section, 'options', section).held_out
    never = f'\n| never trained on either | `{held_out}` |' if held_out else ''
    return f"""# {config.name}

{about}, for visible, thermal and fused images alike.

{_facts(checkpoint, kind, never)}

Made by `python -m multimodal_fusion train {config.method.replace('_', '-')}`: network in
`networks/{network}.py`, loss in `train/losses/{loss}.py`.
"""


def _metrics(table: dict[str, dict[str, float]]) -> str:
    """The section of the card with the metrics, or nothing."""
    if not table:
        return ''
    lines = [f'| | {" | ".join(CARD)} |', '|---' * (len(CARD) + 1) + '|']
    for name, row in table.items():
        lines.append(f'| {name} | {" | ".join(f"{row[metric]:.3f}" for metric in CARD)} |')
    return f"""
## Scores
Means over all validation pairs, whole images, 8-bit luma, clipped, never stretched; higher is
better. Our definitions: EN in bits, MI in nats; MI, SCD, VIF and SSIM are sums over both sources.
MI of max is degenerate: it copies one source per pixel.

{chr(10).join(lines)}
"""
