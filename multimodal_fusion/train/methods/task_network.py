"""The network of a task alone, on images of one kind: RGB, thermal, fused, or some of these.

It is what a loss search may begin with, and what its result is fine-tuned with (CAF, 3.4).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ...errors import UserError
from ...fusers.fuser import Fuser
from ..config import Count, Section, Share
from ..data.fingerprint import digest
from ..engine import Engine
from ..run import Checkpoint
from ..tasks.registry import find_task, make_task
from ..tasks.task import TaskCrops, TaskItem, TaskSettings, large, split
from ..tasks.trained import begin_trained
from .fusion import Side
from .method import Method

TOGETHER = 8  # validation crops


class TaskNetwork(Method):
    """Minimises the task's loss on crops of fused images; a share of the scenes judges.

    What is judged and shipped is the running average of the weights.
    """

    name = 'task_network'
    ships = 'last'
    columns = ('loss',)

    class Settings(Section):
        task: str
        images: Annotated[list[str], Field(min_length=1)]
        patch: Side
        upper: Annotated[Share, Field(gt=0, lt=1)]
        validation_crops: Count
        options: TaskSettings

    def __init__(self, settings: Settings, engine: Engine, data: Path):
        self.engine, self.settings = engine, settings
        self.task = make_task(settings.task, data, settings.options, engine.config.selection)
        lower, upper = (
            [fused for name in settings.images for fused in seen(large(part, settings.patch), name)]
            for part in split(self.task.items, settings.upper)
        )
        self.data = f'{settings.task} on {len(lower)} images ({", ".join(settings.images)})'
        self.fingerprint = digest(part for i in (*lower, *upper) for part in (i.stem, i.visible))
        torch.manual_seed(engine.config.seed)  # whatever the task drew
        network = self.task.network
        self.data += begin_trained(engine.config.start, network)
        self.network = engine.network(network)
        self.optimiser = engine.optimiser(self.network.parameters())

        def crops(items: list[TaskItem], number: int, rank: int, batch: int) -> TaskCrops:
            key = (engine.config.seed, number, rank)
            return TaskCrops(self.task, items, settings.patch, batch, key)

        self.crops = engine.batches(crops(lower, 1, engine.rank, engine.batch))
        self.judged = crops(upper, 2, 0, TOGETHER)

    @classmethod
    def made(cls, settings: Settings) -> nn.Module:
        return find_task(settings.task).made(settings.options)

    @classmethod
    def code(cls, settings: Settings) -> list[str]:
        return [settings.task] if ':' in settings.task else []

    def step(self, number: int) -> dict[str, float]:
        batch = self.crops(number).to(self.engine.device)
        self.task.network = self.network
        loss = self.task.loss(batch.visible, batch.targets)
        self.optimiser.minimise(loss)
        return {'loss': loss.item()}

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        self.task.network = self.engine.averaged(self.network)
        count = -(-self.settings.validation_crops // TOGETHER)
        numbers = self.engine.share(range(count))
        sums: dict[str, float] = {}
        for number in numbers:
            batch = self.judged(number).to(self.engine.device)
            values = {
                'loss': self.task.loss(batch.visible, batch.targets).item(),
                **self.task.metrics(batch.visible, batch.targets),
            }
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
        return {name: value / len(numbers) for name, value in sums.items()}

    def weights(self) -> dict[str, Tensor]:
        return self.engine.averaged(self.network).state_dict()

    def export(self, path: Path) -> None:
        if ':' not in self.settings.task:  # who brings a task knows what its file should be
            self.ship(Checkpoint.load(self.engine.folder), path)

    @classmethod
    def ship(cls, checkpoint: Checkpoint, path: Path, **options: Any) -> dict[str, Any]:
        from ..export.onnx import export_detector, export_segmenter  # here: it takes a second

        if given := [name for name, value in options.items() if value]:
            raise UserError(f'a task network is exported as it is; leave --{given[0]} out')
        settings = checkpoint.config.section
        write = {'detection': export_detector, 'segmentation': export_segmenter}
        if settings.task not in write:
            raise UserError(
                f'the task {settings.task} is of your own: there is no model file for it, read '
                'its checkpoint'
            )
        classes, side = settings.options.classes, settings.options.long_side
        write[settings.task](checkpoint, path, classes, -(-side // 32) * 32)
        return {}


def seen(items: list[TaskItem], name: str) -> list[TaskItem]:
    """The items with what is seen through a fuser, ``visible`` or ``thermal``. Raises UserError."""
    if name == 'visible':
        return items
    if name == 'thermal':
        return [replace(i, visible=np.stack((i.thermal,) * 3, -1)) for i in items]
    fuser = Fuser.load(name, allow_unlisted=True)
    return [
        replace(i, visible=fuser.fuse(i.visible[..., ::-1].copy(), i.thermal)[..., ::-1].copy())
        for i in items
    ]
