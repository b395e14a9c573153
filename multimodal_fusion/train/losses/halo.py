"""Made pictures whose fusion is known: step edges, which must have no halos, and flat pairs."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..data.pairs import eight_bit

HEIGHT, WIDTH = 24, 96
FLAT, LOW, HIGH = (30, 125, 220), 30, 220  # grey levels
EQUAL = (0, 50, 100, 150, 200, 255)  # of both sources alike
EXACT = 1 / 255  # how near to its level an equal flat pair stays
NEAR, BOUND = 12, 6 / 255  # pixels from the edge; overshoot that is no halo there
BEYOND = 0.5 / 255  # and further away
PLATEAU = slice(6, 10)  # columns about 40 pixels from the edge


def step_edges() -> tuple[Tensor, Tensor]:
    """Thermal and visible, float (12, 1, 24, 96) in [0, 1]: a step of 30 to 220 and back in either
    source, the other flat at 30, 125 or 220."""
    thermal, visible = [], []
    for level in FLAT:
        for left, right in ((LOW, HIGH), (HIGH, LOW)):
            step = torch.full((1, HEIGHT, WIDTH), float(left))
            step[..., WIDTH // 2 :] = right
            flat = torch.full_like(step, level)
            thermal += [step, flat]
            visible += [flat, step]
    return torch.stack(thermal) / 255, torch.stack(visible) / 255


def flat_pairs() -> tuple[Tensor, Tensor]:
    """Thermal and visible, both the same and flat: float (6, 1, 24, 96) in [0, 1]."""
    levels = torch.tensor(EQUAL).view(-1, 1, 1, 1).expand(-1, 1, HEIGHT, WIDTH) / 255
    return levels, levels


def overshoot(fused: Tensor) -> Tensor:
    """By how much the middle row lies outside of its two plateaus: (N, 96), 0 where it does not."""
    row = fused[:, 0, HEIGHT // 2]
    ends = row[:, PLATEAU].mean(1, keepdim=True), row.flip(1)[:, PLATEAU].mean(1, keepdim=True)
    return (row - torch.maximum(*ends)).relu() + (torch.minimum(*ends) - row).relu()


def halo(network: nn.Module, edges: tuple[Tensor, Tensor], flats: tuple[Tensor, Tensor]) -> Tensor:
    """What is wrong in a row of the made pictures, summed over its 96 pixels, mean over pictures.

    Of step edges the overshoot that is more than 6 grey levels within 12 pixels of the edge, and
    any beyond; of equal flat pairs what is more than a level from their own.
    """
    distance = (torch.arange(WIDTH, device=edges[0].device) - (WIDTH - 1) / 2).abs()
    bound = torch.where(distance > NEAR, BEYOND, BOUND)
    at_edges = (overshoot(network(*edges)) - bound).relu().sum(1).mean()
    off = (network(*flats) - flats[0])[:, 0, HEIGHT // 2].abs()
    return at_edges + (off - EXACT).relu().sum(1).mean()


def most_overshoot(fuse: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """The most at `step_edges`, grey levels. fuse: (thermal, visible) -> fused, uint8 (H, W)."""
    pairs = zip(*(eight_bit(image)[:, 0].numpy() for image in step_edges()), strict=True)
    fused = [torch.from_numpy(fuse(thermal, visible))[None] for thermal, visible in pairs]
    return overshoot(torch.stack(fused).float()).max().item()
