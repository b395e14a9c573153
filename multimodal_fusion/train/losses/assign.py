"""Which cell answers for which box: task-aligned assignment (TOOD, Feng et al., ICCV 2021)."""

import math

import torch
from torch import Tensor

TOP = 10  # cells for a box, at most
SCORE_POWER, IOU_POWER = 0.5, 6.0  # alpha and beta of TOOD's alignment
_TINY = 1e-9


def corners(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) as cx, cy, w, h to x0, y0, x1, y1."""
    half = boxes[..., 2:] / 2
    return torch.cat((boxes[..., :2] - half, boxes[..., :2] + half), -1)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and union, of boxes (..., 4) as corners, broadcast."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common
    return common / (union + _TINY), union


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU (Zheng et al., AAAI 2020) of boxes (..., 4) as corners: IoU less the distance of the
    centres relative to the enclosing diagonal, and a term for the aspect ratio. At most 1."""
    iou, _ = overlap(a, b)
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    diagonal = (high - low).square().sum(-1) + _TINY
    distance = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    angles = [torch.atan((x[..., 2] - x[..., 0]) / (x[..., 3] - x[..., 1] + _TINY)) for x in (a, b)]
    shape = 4 / math.pi**2 * (angles[0] - angles[1]).square()
    with torch.no_grad():
        trade = shape / (1 - iou + shape + _TINY)
    return iou - distance / diagonal - trade * shape


@torch.no_grad()
def assign(
    scores: Tensor, boxes: Tensor, centres: Tensor, strides: Tensor, truth: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """For one image, the box each cell answers for, and how well it should say that it does.

    scores: (cells, classes) in [0, 1]. boxes: (cells, 4) as corners. centres: (cells, 2).
    truth: (M, 4) corners. labels: (M,).
    Returns (cells,) index into truth, -1 for none; and (cells,) target score in [0, 1]: the
    alignment, scaled so that the best cell of a box is asked for its IoU.
    """
    count = len(boxes)
    if not len(truth):
        none = torch.full((count,), -1, dtype=torch.long, device=boxes.device)
        return none, torch.zeros(count, device=boxes.device)
    # A box narrower than a stride may hold no centre; the nearest one may have it.
    middle, half = (truth[:, :2] + truth[:, 2:]) / 2, (truth[:, 2:] - truth[:, :2]) / 2
    reach = torch.maximum(half[:, None], 0.75 * strides[None, :, None])
    inside = ((centres[None] - middle[:, None]).abs() < reach).all(-1)
    iou, _ = overlap(boxes[None], truth[:, None])
    aligned = scores[:, labels].T.pow(SCORE_POWER) * iou.pow(IOU_POWER) * inside
    best = aligned.topk(min(TOP, count), dim=1)
    chosen = torch.zeros_like(inside).scatter_(1, best.indices, True) & (aligned > 0)
    # A cell that several boxes want goes to the one that it overlaps most.
    owner = torch.where(chosen, iou, -1).argmax(0)
    chosen &= owner[None] == torch.arange(len(truth), device=boxes.device)[:, None]
    aligned, iou = aligned * chosen, iou * chosen
    target = aligned / (aligned.amax(1, keepdim=True) + _TINY) * iou.amax(1, keepdim=True)
    return torch.where(chosen.any(0), owner, -1), target.amax(0)
