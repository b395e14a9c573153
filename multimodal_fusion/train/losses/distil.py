"""Digestible distillation (equation 1): the student sees sums over channels, not the channels."""

import torch
from torch import Tensor

NORMS = ('sample', 'batch')
WHAT = ('both', 'output')


def digest(buffer: Tensor) -> Tensor:
    """(N, C, H, W) to its sum over channels, (N, H * W)."""
    return buffer.sum(1).flatten(1)


def distance(student: Tensor, teacher: Tensor, norm: str) -> Tensor:
    """‖ S / ‖S‖ - T / ‖T‖ ‖ of digests (N, H * W), between 0 and 2.

    norm: 'sample' (paper) takes the norms of every sample apart, and the mean of the distances;
    'batch' (the authors' program) takes those of the whole batch.
    """
    if norm not in NORMS:
        raise ValueError(f'norm must be one of {", ".join(NORMS)}, got {norm!r}')
    if norm == 'batch':
        student, teacher = student.reshape(1, -1), teacher.reshape(1, -1)
    units = [x / (x.norm(dim=1, keepdim=True) + 1e-8) for x in (student, teacher)]
    # The norm itself has no derivative at 0.
    return ((units[0] - units[1]).square().sum(1) + 1e-12).sqrt().mean()


def distillation(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], norm: str, what: str = 'both'
) -> Tensor:
    """Mean distance of buffer and output. Each: digests (buffer, output), (N, H * W).

    what: 'both', or 'output' alone, for comparison.
    """
    parts = [distance(s, t, norm) for s, t in zip(student, teacher, strict=True)]
    return torch.stack(parts if what == 'both' else parts[1:]).mean()
