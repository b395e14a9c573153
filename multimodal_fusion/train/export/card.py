"""Model cards."""

import textwrap

from torch import nn

from ...fusers.classical import CLASSICAL
from ..config import Config
from ..data.pairs import Pair
from ..run import Checkpoint
from ..scores import CARD, fuse, metrics, score

LICENCE = 'Apache-2.0'


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def count_by_part(network: nn.Module) -> dict[str, int]:
    """Parameters of each part of a network, in order."""
    return {name: count_parameters(part) for name, part in network.named_children()}


def _table(name: str, network: nn.Module, pairs: list[Pair]) -> dict[str, dict[str, float]]:
    fusers = {name: fuse(network), 'max': CLASSICAL['max'], 'average': CLASSICAL['average']}
    scores = metrics(CARD)
    return {name: score(fuser, pairs, scores) for name, fuser in fusers.items()}


def _name(checkpoint: Checkpoint, kind: str) -> str:
    name = checkpoint.config.recipe
    return name if kind == checkpoint.network.kind else f'{name}_{kind}'


def _judged(config: Config) -> str:
    if config.synthesis is not None:
        return 'whole images made as in training'
    if config.method is None:
        return 'whole images'
    return (
        f'the middles, {config.method.validation_side} pixels, of {config.method.validation_pairs}'
    )


def _defined(config: Config) -> str:
    simple = config.method is None and config.synthesis is None
    return 'losses' if simple else 'objective'


def card(checkpoint: Checkpoint, name: str, kind: str, table: dict[str, dict[str, float]]) -> str:
    """The model card, Markdown."""
    config, row = checkpoint.config, checkpoint.row
    pixels = {'luma': 'luma', 'colour': 'RGB'}[kind]
    parts = ''
    if config.method is None and len(counts := count_by_part(checkpoint.network)) > 2:
        listed = ', '.join(f'{name} {count}' for name, count in counts.items())
        parts = f'\n| by part | {listed} |'
    limits = textwrap.fill(
        f'{checkpoint.recipe.limits} Not for measuring temperature.'.strip(), 100
    )
    terms = ' + '.join(f'{weight:g} {name}' for name, weight in config.weights.items())
    scores = '\n'.join(
        f'| {name.removeprefix("val_")} | {value:.5f} |'
        for name, value in row.items()
        if name.startswith('val_')
    )
    return f"""# {name}

{checkpoint.recipe.description}.

| | |
|---|---|
| kind | {kind}: 8-bit visible {pixels} and white-hot thermal in, fused {pixels} out |
| parameters | {count_parameters(checkpoint.network)} |{parts}
| trained on | {checkpoint.trained_on} |
| configuration | {config.hash}, seed {config.seed} |
| training | step {row['step']} of {config.steps}, {config.batch} crops of \
{config.patch}x{config.patch} a step, {row['seconds'] / 60:.1f} min |
| machine | {checkpoint.machine} |
| code | {checkpoint.commit} |
| licence of the weights | {LICENCE}; the training data have terms of their own |

Loss: {terms}, defined in
`multimodal_fusion/train/{_defined(config)}.py`.
On the validation pairs ({_judged(config)}, 8-bit output, lower is better):

| term | mean |
|---|---|
{scores}
{_metrics(table)}
## Intended use
Fusing registered thermal and visible images, for people and for detectors.

## Limits
{limits}
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
