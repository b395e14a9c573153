"""Semantic segmentation: a compact network of ours on masks of people, cars and the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UserError
from ...evaluate.segmentation import confusion, intersection_over_union
from ...io.box_files import read_boxes, read_classes
from ...io.datasets import PairFiles, usable
from ...io.image_files import read_thermal, read_visible
from ...io.mask_files import IGNORE, read_mask
from ...io.stems import Selection
from ...networks.segmenter import Segmenter
from ...pipeline.preparation import Preparation
from ...scene import CLASSES, Scene
from ..losses.segmentation import segmentation_loss
from .task import Task, TaskItem, TaskSettings, anywhere, reduced, scene_of, training_pairs

DERIVED = 'person_masks_derived/*.png'  # 0, 1 for people, 255
DRAWN = 'mask/*.png'  # numbers of the classes, 255
SURE = 0.6  # of a box: the ellipse of so much of its width and height is the object


class SegmentationTask(Task):
    """Masks of synthetic roads, people's masks (`DERIVED`), `DRAWN` ones if there are, and boxes.

    classes: the first is everything that is none of the others, which are of those of the scene.
    """

    name = 'segmentation'

    def __init__(self, data: Path, settings: TaskSettings, selection: Selection):
        self.classes, self.items = settings.classes, []
        known = (*CLASSES, settings.classes[0])
        if settings.classes[0] in CLASSES or len(settings.classes) < 2:
            raise UserError(
                f'options.classes of the task segmentation are {settings.classes}: the first is '
                'everything that is none of the others, such as [other, person, car]'
            )
        if strange := [name for name in settings.classes if name not in known]:
            raise UserError(
                f'options.classes has {strange[0]!r}, which no mask shows; after the first, '
                f'which is everything else, there are {", ".join(CLASSES)}'
            )
        targets = DERIVED, DRAWN, *(f'{name}/*.txt' for name in settings.boxes)
        masked = set[str]()
        for folder, found in training_pairs(Path(data), settings, selection, *targets):
            better = {files: path for files, path in found if files.stem not in masked}
            masked |= {files.stem for files in better}
            self.items += self._read(folder, better, settings.long_side)
        numbers = np.full(256, IGNORE, np.uint8)
        for number, name in enumerate(CLASSES):
            numbers[number] = self.classes.index(name) if name in self.classes else 0
        preparation = Preparation()
        for seed in range(settings.scene_seed, settings.scene_seed + settings.scene_seeds):
            scene = Scene(seed=seed, freeze_for=0)
            for t in np.random.default_rng(seed).uniform(0, 200, settings.scene_frames):
                counts = scene.thermal(t)
                self.items.append(
                    self._item(
                        f'scene_{seed}_{t:.2f}',
                        preparation.still(counts, counts.shape),
                        scene.visible(t),
                        numbers[scene.mask(t)],
                        settings.long_side,
                    )
                )
        self.network = self.made(settings)

    @classmethod
    def made(cls, settings: TaskSettings) -> nn.Module:
        return Segmenter(len(settings.classes))

    def _read(self, folder: Path, masks: dict[PairFiles, Path], long_side: int) -> list[TaskItem]:
        def read(files: PairFiles) -> TaskItem:
            visible, counts = read_visible(files.visible), read_thermal(files.thermal)
            if visible.ndim == 2:
                visible = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
            thermal = Preparation().still(counts, visible.shape[:2])
            mask = self._mask(masks[files], thermal.shape)
            return self._item(files.stem, thermal, visible, mask, long_side)

        return usable(list(masks), read, folder)

    def _mask(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """Raises UserError."""
        if path.suffix == '.txt':
            return self._middles(path, shape)
        if path.parent.name != Path(DERIVED).parent.name:
            return read_mask(path, shape, self.classes)
        mask = read_mask(path, shape, ('other', 'person'))
        number = self.classes.index('person') if 'person' in self.classes else 0
        return np.where(mask == 1, number, mask).astype(np.uint8)

    def _middles(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """The mask that boxes stand for: nobody knows the rest of a box, and nothing is outside."""
        names = read_classes(path.parent)
        found = read_boxes(path, shape[1], shape[0], len(names))
        mask = np.zeros(shape, np.uint8)
        for x0, y0, x1, y1 in found.boxes:
            mask[int(y0) : math.ceil(y1), int(x0) : math.ceil(x1)] = IGNORE
        for (x0, y0, x1, y1), label in zip(found.boxes, found.labels, strict=True):
            if names[label] in self.classes:
                middle = (round((x0 + x1) / 2), round((y0 + y1) / 2))
                axes = (round(SURE * (x1 - x0) / 2), round(SURE * (y1 - y0) / 2))
                cv2.ellipse(mask, middle, axes, 0, 0, 360, self.classes.index(names[label]), -1)
        return mask

    @staticmethod
    def _item(stem: str, thermal, visible, mask, long_side: int) -> TaskItem:
        return TaskItem(
            stem,
            scene_of(stem),
            reduced(thermal, long_side),
            reduced(visible[..., ::-1], long_side),
            reduced(mask, long_side, nearest=True),
        )

    def window(self, item: TaskItem, side: int, random: np.random.Generator) -> tuple[int, int]:
        return anywhere(item, side, random)

    def cut(self, item: TaskItem, top: int, left: int, side: int, flip: bool) -> Tensor:
        mask = item.target[top : top + side, left : left + side]
        return torch.from_numpy(np.ascontiguousarray(mask[:, ::-1] if flip else mask)).long()

    def loss(self, images: Tensor, targets: Sequence[Tensor]) -> Tensor:
        return segmentation_loss(self.network(images), torch.stack(list(targets)))

    @torch.no_grad()
    def metrics(self, images: Tensor, targets: Sequence[Tensor]) -> dict[str, float]:
        """miou: the mean IoU of the classes that are shown or found."""
        found, truth = self.network(images).argmax(1), torch.stack(list(targets))
        counts = confusion(*(x.cpu().numpy() for x in (found, truth)), len(self.classes))
        return {'miou': float(np.nanmean(intersection_over_union(counts)))}
