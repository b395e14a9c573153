"""What a training method is: the loop and the run folder know this much of it and no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor, nn

from ...errors import UserError
from ..config import Section

if TYPE_CHECKING:
    from ..engine import Engine
    from ..run import Checkpoint


class Method(ABC):
    """A published method, or one of your own. Subclass it and name it in `registry`, or in the
    entry-point group ``multimodal_fusion.methods``.

    Class: name is that of its section of the configuration, ``Settings`` declares the section.
    ships: ``best`` or ``last``, the checkpoint that is exported.
    Instances: data is a sentence about what it learns from, fingerprint names its content.
    columns: what `step` returns, ``loss`` first; they become columns of metrics.csv.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[Section]]
    ships: ClassVar[str] = 'best'

    columns: tuple[str, ...]
    data: str
    fingerprint: str

    @abstractmethod
    def __init__(self, settings: Any, engine: Engine, data: Path):
        """Load the data, make networks and optimisers by the engine. Raises UserError."""

    @abstractmethod
    def step(self, number: int) -> dict[str, float]:
        """Minimise on the batch of this number; returns the values of ``columns``."""

    @abstractmethod
    def judge(self) -> dict[str, float]:
        """Means over this process's share of validation items; ``loss`` decides what is best."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What ships: the averaged network's, or the student's alone."""

    def sample(self) -> np.ndarray | None:
        """A picture of validation items, uint8 (H, W) or (H, W, 3) BGR; None for none."""
        return None

    @abstractmethod
    def export(self, path: Path) -> None:
        """Write the model file of the finished run, with its card beside it."""

    @classmethod
    @abstractmethod
    def made(cls, settings: Any) -> nn.Module:
        """The network that ships, before it is trained: what a checkpoint is read into."""

    @classmethod
    def code(cls, settings: Any) -> list[str]:
        """The user's own code (``FILE.py:NAME``) that `made` runs."""
        return []

    @classmethod
    def ship(cls, checkpoint: Checkpoint, path: Path, **options: Any) -> dict[str, Any]:
        """Write the model file of a checkpoint, with its card beside it; returns scores, if asked.

        options: name, kind and judge, as the command ``export`` has them. Raises UserError.
        """
        raise UserError(
            f'the method {cls.name} makes its model file at the end of a run only: go on with it '
            'by --resume'
        )

    def state(self) -> dict[str, Any]:
        """What it has in this process besides networks and optimisers."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027 (optional)
        """Take back what `state` gave."""

    def restored(self, step: int) -> None:  # noqa: B027 (optional)
        """The run begins, or goes on, at this step."""

    def sealed(self, step: int) -> None:  # noqa: B027 (optional)
        """The checkpoint of this step is on disk: a killed run comes back to it."""
