"""Semantic segmentation: a compact network of ours on masks of people, cars and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ...errors import UserError
from ...io.datasets import PairFiles, usable
from ...io.image_files import read_thermal, read_visible
from ...io.stems import Selection
from ...networks.segmenter import Segmenter
from ...pipeline.preparation import Preparation
from ...scene import CLASSES, Scene
from ..losses.segmentation import IGNORE, confusion, intersection_over_union, segmentation_loss
from .task import Task, TaskItem, TaskSettings, anywhere, reduced, scene_of, training_pairs

DERIVED = 'train/person_masks_derived'  # of the data: people, from thermal within boxes
DRAWN = 'train/mask'  # numbers of the classes


class SegmentationTask(Task):
    """Masks of synthetic roads, people's masks (`DERIVED`), and `DRAWN` ones if there are.

    classes: the first is everything that is none of the others, which are of those of the scene.
    """

    name = 'segmentation'

    def __init__(self, data: Path, settings: TaskSettings, selection: Selection):
        self.classes, self.items = settings.classes, []
        known = (*CLASSES, settings.classes[0])
        if strange := [name for name in settings.classes if name not in known]:
            raise UserError(
                f'loss_search.classes has {strange[0]!r}, which no mask shows; after the first, '
                f'which is everything else, there are {", ".join(CLASSES)}'
            )
        data = Path(data)
        for folder in (DERIVED, DRAWN):
            if (data / folder).is_dir():
                pairs = training_pairs(data, settings, selection)
                self.items += self._read(pairs, data / folder, settings.long_side)
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
        self.network = Segmenter(len(self.classes))

    def _read(self, pairs: list[PairFiles], masks: Path, long_side: int) -> list[TaskItem]:
        chosen = [files for files in pairs if (masks / f'{files.stem}.png').is_file()]

        def read(files: PairFiles) -> TaskItem:
            visible, counts = read_visible(files.visible), read_thermal(files.thermal)
            if visible.ndim == 2:
                visible = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
            thermal = Preparation().still(counts, visible.shape[:2])
            mask = self._mask(
                masks / f'{files.stem}.png', thermal.shape, masks.name == Path(DERIVED).name
            )
            return self._item(files.stem, thermal, visible, mask, long_side)

        return usable(chosen, read, masks)

    def _mask(self, path: Path, shape: tuple[int, ...], person: bool) -> np.ndarray:
        """Raises UserError."""
        mask = read_thermal(path)
        if mask.shape != shape:
            raise UserError(
                f'the mask {path} is {mask.shape[1]}x{mask.shape[0]}, its images are '
                f'{shape[1]}x{shape[0]}: they must be of one size'
            )
        if person:
            number = self.classes.index('person') if 'person' in self.classes else 0
            return np.where(mask > 127, number, 0).astype(np.uint8)
        strange = np.setdiff1d(mask, [*range(len(self.classes)), IGNORE])
        if len(strange):
            raise UserError(
                f'the mask {path} has the class {strange[0]}, and the configuration names '
                f'{len(self.classes)}: {", ".join(self.classes)}; {IGNORE} is for what nobody knows'
            )
        return mask.astype(np.uint8)

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
        found = self.network(images).argmax(1)
        counts = confusion(found, torch.stack(list(targets)), len(self.classes))
        return {'miou': float(intersection_over_union(counts).nanmean())}
