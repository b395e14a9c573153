"""Pictures of a training run: curves and samples."""

from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from ..files import whole_file
from .data import Pair
from .export import eight_bit

SAMPLE_HEIGHT = 240


def write_curves(path: Path, rows: list[dict]) -> None:
    """Draw the loss and every term over the steps, training and validation, as PNG.

    rows: of metrics.csv, numbers or their text. Training means start at the second row.
    """
    names = [name.removeprefix('val_') for name in rows[0] if name.startswith('val_')]
    figure = Figure(figsize=(3.2 * len(names), 3.2), layout='constrained')
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for split, first in (('train', 1), ('val', 0)):
            steps = [int(row['step']) for row in rows[first:]]
            axes.plot(steps, [float(row[f'{split}_{name}']) for row in rows[first:]], label=split)
        axes.set_title(name)
        axes.set_xlabel('step')
        axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=100)


@torch.no_grad()
def write_samples(path: Path, network: nn.Module, pairs: list[Pair]) -> None:
    """Write thermal | visible | fused luma, one row a pair, as PNG."""
    rows = []
    for pair in pairs:
        fused = eight_bit(network(*pair.tensors()))[0, 0].numpy()
        row = np.hstack((pair.thermal, pair.visible, fused))
        width = round(row.shape[1] * SAMPLE_HEIGHT / row.shape[0])
        rows.append(cv2.resize(row, (width, SAMPLE_HEIGHT), interpolation=cv2.INTER_AREA))
    widest = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(row, ((0, 0), (0, widest - row.shape[1]))) for row in rows])
    with whole_file(path) as temporary:
        cv2.imwrite(str(temporary), sheet)
