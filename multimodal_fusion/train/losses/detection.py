"""The loss of the detector: CIoU of the boxes and cross-entropy of the class scores.

Differentiable in the images too, so that a fuser can be trained through a detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...networks.yolo import Yolo, cells, decode
from .assign import assign, complete_iou, corners

_SEEN = 0.05  # score from which on a teacher's box is worth learning


@dataclass(frozen=True)
class Target:
    """What one image shows.

    boxes: float (M, 4), x0, y0, x1, y1 in its pixels. labels: int64 (M,).
    judged: float (classes,), 0 for a class that nobody labelled in this image.
    soft: float (cells, 4 + classes), what a teacher says of each cell: its box as corners, and
    scores in [0, 1]; None without one.
    """

    boxes: Tensor
    labels: Tensor
    judged: Tensor
    soft: Tensor | None = None

    def to(self, device: torch.device) -> 'Target':
        soft = None if self.soft is None else self.soft.to(device)
        return Target(*(x.to(device) for x in (self.boxes, self.labels, self.judged)), soft)


def detection_loss(network: Yolo, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """The terms of the loss over a batch, scalars.

    images: float (N, 3, H, W), RGB in [0, 1]; gradients reach them. targets: one an image.
    ``box`` is the mean of 1 - CIoU over the cells that answer for a box, weighted by their target
    scores; ``class`` is the binary cross-entropy of all scores, divided by the sum of the target
    scores (TOOD; Feng et al., ICCV 2021, equation 5 without the focusing factor).
    """
    centres, strides = cells(*images.shape[2:], images.device)
    boxes, logits = decode(network(images), centres, strides)
    boxes, logits = corners(boxes.transpose(1, 2)), logits.transpose(1, 2)
    wanted, judged = torch.zeros_like(logits), torch.ones_like(logits)
    box, total = boxes.sum() * 0, logits.new_zeros(())
    for i, target in enumerate(targets):
        found, score = assign(
            logits[i].sigmoid(), boxes[i], centres.T, strides, target.boxes, target.labels
        )
        judged[i] = target.judged
        mine = found >= 0
        if mine.any():
            owner = found[mine]
            wanted[i, mine, target.labels[owner]] = score[mine]
            gap = 1 - complete_iou(boxes[i, mine], target.boxes[owner])
            box = box + (gap * score[mine]).sum()
            total = total + score[mine].sum()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction='none')
    total = total.clamp(min=1)
    terms = {'box': box / total, 'class': (entropy * judged).sum() / total}
    return {**terms, **_soft_terms(boxes, logits, targets)}


def _soft_terms(boxes: Tensor, logits: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    box = entropy = logits.sum() * 0
    total = logits.new_zeros(())
    for i, target in enumerate(targets):
        if target.soft is None:
            continue
        scores = target.soft[:, 4:]
        sure = scores.amax(1)
        seen = sure > _SEEN
        gap = 1 - complete_iou(boxes[i, seen], target.soft[seen, :4])
        box = box + (gap * sure[seen]).sum()
        entropy = entropy + F.binary_cross_entropy_with_logits(logits[i], scores, reduction='sum')
        entropy = entropy + torch.special.xlogy(scores, scores).sum()
        entropy = entropy + torch.special.xlogy(1 - scores, 1 - scores).sum()
        total = total + scores.sum()
    total = total.clamp(min=1)
    return {'soft_box': box / total, 'soft_class': entropy / total}
