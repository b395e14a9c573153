"""Detection of people and cars: the package's own detector and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UserError
from ...io.datasets import PairFiles, usable
from ...io.stems import Selection
from ...networks.yolo import Yolo, cells, decode
from ..data.boxes import CLASSES, Sample, cut, read_sample, render_samples
from ..losses.assign import corners
from ..losses.detection import Target, detection_loss
from .task import Task, TaskItem, TaskSettings, anywhere, reduced, scene_of, training_pairs

PERSONS_ONLY = ('llvip_', 'kaist_')  # beginnings of stems whose cars nobody labelled
SCORE, OVERLAP = 0.3, 0.5  # from which a box counts as found
NEAR = 0.7  # share of crops that are taken around an object


class DetectionTask(Task):
    """Boxes by people (``labels`` of ``DATA/train`` and ``more``) and those of synthetic roads."""

    name = 'detection'

    def __init__(self, data: Path, settings: TaskSettings, selection: Selection):
        if tuple(settings.classes) != CLASSES:
            raise UserError(
                f'options.classes of the task detection are {list(CLASSES)}, got {settings.classes}'
            )
        samples = []
        for folder, found in training_pairs(Path(data), settings, selection, 'labels/*.txt'):
            texts = dict(found)

            def read(files: PairFiles, texts: dict = texts) -> Sample:
                return read_sample(files, texts[files], files.stem.startswith(PERSONS_ONLY))

            samples += usable(list(texts), read, folder)
        first = settings.scene_seed
        samples += render_samples(range(first, first + settings.scene_seeds), settings.scene_frames)
        self.items = [self._item(sample, settings.long_side) for sample in samples]
        self.network = self.made(settings)

    @classmethod
    def made(cls, settings: TaskSettings) -> nn.Module:
        return Yolo(len(CLASSES))

    @staticmethod
    def _item(sample, long_side: int) -> TaskItem:
        thermal = reduced(sample.thermal, long_side)
        visible = reduced(sample.visible[..., ::-1], long_side)
        scale = thermal.shape[1] / sample.thermal.shape[1]
        target = sample.boxes * np.float32(scale), sample.labels, sample.judged
        return TaskItem(sample.stem, scene_of(sample.stem), thermal, visible, target)

    def window(self, item: TaskItem, side: int, random: np.random.Generator) -> tuple[int, int]:
        boxes, _, _ = item.target
        if not len(boxes) or random.random() > NEAR:
            return anywhere(item, side, random)
        x0, y0, x1, y1 = boxes[random.integers(len(boxes))]
        found = []
        for middle, length in zip(((y0 + y1) / 2, (x0 + x1) / 2), item.thermal.shape, strict=True):
            start = round(middle - side * random.uniform(0.25, 0.75))
            found.append(int(np.clip(start, 0, length - side)))
        return found[0], found[1]

    def cut(self, item: TaskItem, top: int, left: int, side: int, flip: bool) -> Target:
        boxes, labels, judged = item.target
        kept, which = cut(boxes - np.float32((left, top, left, top)), side, side)
        if flip:
            kept = np.stack((side - kept[:, 2], kept[:, 1], side - kept[:, 0], kept[:, 3]), 1)
        kept = np.ascontiguousarray(kept, np.float32)
        return Target(*(torch.from_numpy(x) for x in (kept, labels[which], judged)))

    def loss(self, images: Tensor, targets: Sequence[Target]) -> Tensor:
        terms = detection_loss(self.network, images, targets)
        return terms['box'] + terms['class']

    @torch.no_grad()
    def metrics(self, images: Tensor, targets: Sequence[Target]) -> dict[str, float]:
        """recall: share of the boxes of each crop's judged classes that are found, IoU 0.5."""
        grid = cells(*images.shape[2:], images.device)
        boxes, logits = decode(self.network(images), *grid)
        boxes, scores = corners(boxes.transpose(1, 2)), logits.transpose(1, 2).sigmoid()
        hits = total = 0
        for found, score, target in zip(boxes, scores, targets, strict=True):
            for box, label in zip(target.boxes, target.labels, strict=True):
                low = torch.maximum(found[:, :2], box[:2])
                sides = (torch.minimum(found[:, 2:], box[2:]) - low).clamp(min=0)
                area = (found[:, 2:] - found[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
                overlap = sides.prod(1) / (area - sides.prod(1)).clamp(min=1e-6)
                hits += bool(((overlap >= OVERLAP) & (score[:, label] >= SCORE)).any())
                total += 1
        return {'recall': hits / total} if total else {}
