"""Pictures of a training run: curves and samples."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from ..io.whole_files import whole_file
from .data.pairs import ImagePair, eight_bit

SAMPLE_HEIGHT = 240


def write_curves(path: Path, rows: list[dict]) -> None:
    """Draw the loss, every term and other figures over the steps, training and validation, as PNG.

    rows: of metrics.csv, numbers or their text. Training means start at the second row.
    """
    names = [name.removeprefix('train_') for name in rows[0] if name.startswith('train_')]
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.2 * lines))
    figure.subplots_adjust(0.06, 0.16 / lines, 0.98, 1 - 0.1 / lines, 0.3, 0.35)
    # Laid out by hand: matplotlib's own layout takes half a second each time.
    for axes, name in zip(figure.subplots(lines, columns, squeeze=False).flat, names, strict=False):
        for split, first in (('train', 1), ('val', 0)):
            if f'{split}_{name}' not in rows[0]:
                continue
            steps = [int(row['step']) for row in rows[first:]]
            axes.plot(steps, [float(row[f'{split}_{name}']) for row in rows[first:]], label=split)
        axes.set_title(name)
        axes.set_xlabel('step')
        axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=80)


def write_weights(path: Path, names: Sequence[str], history: Sequence[Sequence[float]]) -> None:
    """Weights over the steps, one line a name, the heaviest at the end first in the legend."""
    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    for i in sorted(range(len(names)), key=lambda i: -history[-1][i]):
        axes.plot([row[i] for row in history], label=f'{names[i]} {history[-1][i]:.3f}')
    axes.set_xlabel('step')
    axes.set_ylabel('weight')
    axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), fontsize=8)
    figure.subplots_adjust(0.09, 0.1, 0.72, 0.97)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=80)


@torch.no_grad()
def sheet(network: nn.Module, pairs: list[ImagePair]) -> np.ndarray:
    """thermal | visible | fused, one row a pair: uint8 (H, W), or BGR (H, W, 3) of colour."""
    rows, device = [], next(network.parameters()).device
    for pair in pairs:
        images = (image.to(device) for image in pair.tensors())
        fused = eight_bit(network(*images))[0].cpu().numpy()
        shown = [pair.thermal, pair.visible, fused.transpose(1, 2, 0).squeeze()]
        if pair.visible.ndim == 3:
            shown = [
                cv2.cvtColor(pair.thermal, cv2.COLOR_GRAY2BGR),
                *(x[..., ::-1] for x in shown[1:]),
            ]
        row = np.hstack(shown)
        width = round(row.shape[1] * SAMPLE_HEIGHT / row.shape[0])
        rows.append(cv2.resize(row, (width, SAMPLE_HEIGHT), interpolation=cv2.INTER_AREA))
    widest = max(row.shape[1] for row in rows)
    edges = [((0, 0), (0, widest - row.shape[1]), (0, 0))[: row.ndim] for row in rows]
    return np.vstack([np.pad(row, edge) for row, edge in zip(rows, edges, strict=True)])
