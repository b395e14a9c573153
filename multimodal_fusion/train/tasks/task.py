"""What a task is: a network that works on images, its loss, and pairs whose truth it knows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ...errors import UserError
from ...host.progress import warn
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
    held_out: file of stems that are kept for reports of accuracy; empty: none. more: further
    folders of vis, ir and what the task reads. boxes: of segmentation: folders of boxes whose
    middles stand for masks, where there are no masks.
    """

    long_side: Count
    scene_seed: int
    scene_seeds: int
    scene_frames: Count
    classes: list[str]
    held_out: str
    # These came later.
    more: Annotated[list[str], Field(default_factory=list)]
    boxes: Annotated[list[str], Field(default_factory=list)]


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

    @classmethod
    def made(cls, settings: TaskSettings) -> nn.Module:
        """The network before it is trained: what a checkpoint of it alone is read into. Raises
        UserError."""
        raise UserError(
            f'the task {cls.name} has no made(settings), which returns its network: it can be '
            'searched by, and not trained alone'
        )

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


def training_pairs(
    data: Path, settings: TaskSettings, selection: Selection, *targets: str
) -> Iterator[tuple[Path, list[tuple[PairFiles, Path]]]]:
    """What may be learnt from: in ``data/train`` and ``more``, each folder of targets that is there
    with the pairs that have a file in it. targets: such as ``labels/*.txt``. Raises UserError."""
    held_out = StemList.read(settings.held_out) if settings.held_out else None
    for folder in (data / 'train', *map(Path, settings.more)):
        there = [target for target in targets if (folder / target).parent.is_dir()]
        if not there:
            if folder != data / 'train':
                needed = ' or '.join(str(Path(target).parent) for target in targets)
                raise UserError(f'{folder} (options.more) has no folder {needed}: expected one')
            continue
        choose = selection.leave_out if str(folder) in settings.more else selection.choose
        pairs = choose(find_pairs(folder).pairs, folder)
        pairs = [f for f in pairs if held_out is None or not held_out.holds(f.stem)]
        for target in there:
            files = ((pair, folder / target.replace('*', pair.stem)) for pair in pairs)
            yield folder, [(pair, path) for pair, path in files if path.is_file()]


def split(items: Sequence[TaskItem], share: float) -> tuple[list[TaskItem], list[TaskItem]]:
    """Items to train on and items that judge, about so many, no scene in both. It does not go by
    the run's seed: a network that was trained on one part may begin another run. Raises UserError.
    """
    scenes = sorted({item.scene for item in items})
    if len(scenes) < 2:
        raise UserError(
            'all images are of one scene: what is learnt must be judged by scenes that nothing is '
            'trained on; give images of more'
        )
    order = np.random.default_rng(5).permutation(len(scenes))
    wanted, held, count = share * len(items), set[str](), 0
    for number in order[:-1]:
        if count >= wanted:
            break
        held.add(scenes[number])
        count += sum(item.scene == scenes[number] for item in items)
    lower = [item for item in items if item.scene not in held]
    upper = [item for item in items if item.scene in held]
    known = {item.thermal.tobytes(): item.stem for item in lower}
    for item in upper:
        if item.thermal.tobytes() in known:
            raise UserError(
                f'{item.stem} would judge what is learnt, and {known[item.thermal.tobytes()]}, '
                'which is trained on, has the same thermal image: remove one'
            )
    return lower, upper


def large(items: Sequence[TaskItem], patch: int) -> list[TaskItem]:
    """The items that crops of this side fit in; the others are told. Raises UserError if none."""
    kept = [item for item in items if min(item.thermal.shape) >= patch]
    if len(kept) < len(items):
        text = f'{len(items) - len(kept)} of {len(items)} images are smaller than the {patch}-pixel'
        advice = 'lower patch, or raise options.long_side'
        if not kept:
            raise UserError(f'{text} crops: {advice}')
        warn(f'{text} crops and are left out')
    return kept


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
