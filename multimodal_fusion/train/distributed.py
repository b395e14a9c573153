"""Several processes under torchrun: who this one is, and averages over all."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Place:
    """This process, ``rank`` of ``world``. The first one evaluates and writes the run folder."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls) -> 'Place':
        """As torchrun says, before or after the processes are joined."""
        return cls(*(int(os.environ.get(name, d)) for name, d in (('RANK', 0), ('WORLD_SIZE', 1))))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            distributed.barrier()

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The means of these values over the processes, the same in each."""
        if self.world == 1:
            return values
        tensor = torch.tensor(list(values.values()), dtype=torch.float64)
        distributed.all_reduce(tensor)
        return dict(zip(values, (tensor / self.world).tolist(), strict=True))


@contextlib.contextmanager
def joined() -> Iterator[Place]:
    """Join the other processes of torchrun, if it started this one; gloo, which runs anywhere."""
    place = Place.of_environment()
    if place.world == 1:
        yield place
        return
    distributed.init_process_group('gloo')
    try:
        yield place
    finally:
        distributed.destroy_process_group()
