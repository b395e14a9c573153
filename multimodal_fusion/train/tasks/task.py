"""What a task is: a network that works on images, its loss, and pairs whose truth it knows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ...io.datasets import PairFiles, find_pairs
from ...io.stems import Selection, StemList
from ..config import Count, Section
from ..data.pairs import to_unit
from ..losses.fusion import luma


class TaskSettings(Section):
    """What every task is told.

    long_side: of the images, pixels; larger ones are reduced. scene_seed, scene_seeds,
    scene_frames: of synthetic roads: the first seed, how many, and frames of each; with 0 seeds
    none. classes: names, the first for what is none of the others where the task has that.
    held_out: file of stems that are kept for reports of accuracy; empty: none.
    """

    long_side: Count
    scene_seed: int
    scene_seeds: int
    scene_frames: Count
    classes: list[str]
    held_out: str


@dataclass(frozen=True)
class TaskItem:
    """A registered pair and what is true of it.

    scene: what was filmed together; a scene is trained on or judged by, never both. thermal: uint8
    (H, W). visible: uint8 (H, W, 3), RGB. target: whatever the task has.
    """

    stem: str
    scene: str
    thermal: np.ndarray
    visible: np.ndarray
    target: Any


class Task(ABC):
    """A task of ours, or one of your own (``task=FILE.py:NAME``).

    Class: name. Instances: items, all that is trained on and judged by, and ``network``, called
    with RGB images, float (N, 3, H, W) in [0, 1].
    """

    name: ClassVar[str]
    items: Sequence[TaskItem]
    network: nn.Module

    @abstractmethod
    def __init__(self, data: Path, settings: TaskSettings, selection: Selection):
        """Read what there is to learn from. selection: of the pairs. Raises UserError."""

    @abstractmethod
    def window(self, item: TaskItem, side: int, random: np.random.Generator) -> tuple[int, int]:
        """Top and left of a crop of that side."""

    @abstractmethod
    def cut(self, item: TaskItem, top: int, left: int, side: int, flip: bool) -> Any:
        """The target of a crop, mirrored left to right if asked."""

    @abstractmethod
    def loss(self, images: Tensor, targets: Sequence[Any]) -> Tensor:
        """A scalar whose gradient reaches both the network and the images."""

    @abstractmethod
    def metrics(self, images: Tensor, targets: Sequence[Any]) -> dict[str, float]:
        """What is reported of validation crops; higher is better."""


def training_pairs(data: Path, settings: TaskSettings, selection: Selection) -> list[PairFiles]:
    """The pairs of ``data/train`` that may be learnt from."""
    held_out = StemList.read(settings.held_out) if settings.held_out else None
    folder = data / 'train'
    chosen = selection.choose(find_pairs(folder).pairs, folder)
    return [f for f in chosen if held_out is None or not held_out.holds(f.stem)]


def anywhere(item: TaskItem, side: int, random: np.random.Generator) -> tuple[int, int]:
    """Top and left of a crop drawn evenly."""
    top, left = (int(random.integers(length - side + 1)) for length in item.thermal.shape)
    return top, left


def reduced(image: np.ndarray, long_side: int, nearest: bool = False) -> np.ndarray:
    """An image whose longer side is at most so long; a mask by the nearest pixel."""
    scale = long_side / max(image.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(image)
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_AREA
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)


def scene_of(stem: str) -> str:
    """What was filmed together, by the name: rendered frames of one seed; of a series with running
    numbers, runs of twenty-five."""
    prefix, _, rest = stem.rpartition('_')
    digits = ''.join(c for c in rest if c.isdigit())
    if stem.startswith('scene_'):
        return '_'.join(stem.split('_')[:2])
    return f'{prefix}_{int(digits) // 25}' if digits else stem


def coloured(fused: Tensor, visible: Tensor) -> Tensor:
    """The picture that a task sees: fused luma (N, 1, H, W) with the visible colour, or the fused
    RGB itself, clipped to [0, 1]; visible is RGB (N, 3, H, W)."""
    if fused.shape[1] == 1:
        fused = visible + (fused - luma(visible))
    return fused.clamp(0, 1)


@dataclass(frozen=True)
class TaskBatch:
    """thermal: float (N, 1, S, S). visible: (N, 3, S, S), RGB. grey: its luma, (N, 1, S, S).
    targets: one a crop."""

    thermal: Tensor
    visible: Tensor
    grey: Tensor
    targets: list[Any]

    def to(self, device: torch.device) -> TaskBatch:
        images = (image.to(device) for image in (self.thermal, self.visible, self.grey))
        return TaskBatch(*images, [target.to(device) for target in self.targets])


class TaskCrops:
    """Batches of crops of some items; ``crops(step)`` depends on the key and the step alone."""

    def __init__(
        self, task: Task, items: Sequence[TaskItem], side: int, batch: int, key: tuple[int, ...]
    ):
        self.task, self.items, self.side, self.batch, self.key = task, items, side, batch, key

    def __call__(self, step: int) -> TaskBatch:
        random = np.random.default_rng((*self.key, step))
        found = [
            self._crop(self.items[random.integers(len(self.items))], random)
            for _ in range(self.batch)
        ]
        thermal, visible, targets = zip(*found, strict=True)
        rgb = to_unit(np.stack(visible).transpose(0, 3, 1, 2))
        return TaskBatch(to_unit(np.stack(thermal)[:, None]), rgb, luma(rgb), list(targets))

    def _crop(self, item: TaskItem, random: np.random.Generator):
        top, left = self.task.window(item, self.side, random)
        flip = bool(random.integers(2))
        part = np.s_[top : top + self.side, left : left + self.side]
        thermal, visible = item.thermal[part], item.visible[part]
        if flip:
            thermal, visible = thermal[:, ::-1], visible[:, ::-1]
        return thermal, visible, self.task.cut(item, top, left, self.side, flip)
