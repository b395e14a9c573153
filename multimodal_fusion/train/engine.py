"""What a method trains with: devices, precision, optimisers, rates, averages, batches, processes.

It knows no method. Lightning Fabric places networks on devices, keeps the copies of several
processes alike (gloo on CPUs, NCCL on GPUs; under torchrun), and runs them in the precision that is
asked for.
"""

from __future__ import annotations

import copy
import math
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.wrappers import _FabricModule
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

from ..errors import UserError
from .config import Config, OptimiserSettings
from .schedule import learning_rate

T = TypeVar('T')
_SETTLED = 200  # steps after which a running average has nearly its full memory


class Engine:
    """One a run, in each of its processes. rank, world: this process, and how many there are.

    folder: of the run, for files of the method's own. device: where networks and batches belong.
    step: of the optimisers, the one being made.
    """

    def __init__(self, config: Config, folder: Path):
        self.config, self.folder = config, Path(folder)
        self.step = 0
        torch.set_num_threads(config.threads)
        self.fabric = _fabric(config)
        self.fabric.launch()
        self.rank, self.world = self.fabric.global_rank, self.fabric.world_size
        self.device = self.fabric.device
        if config.batch % self.world:
            raise UserError(f'batch {config.batch} is not a multiple of {self.world} processes')
        self.networks: list[nn.Module] = []
        self.optimisers: list[Optimiser] = []
        self._averages: list[nn.Module | None] = []
        self._part = 0
        self._shared = 1
        torch.manual_seed(config.seed)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes the run folder."""
        return self.rank == 0

    @property
    def batch(self) -> int:
        """Samples of a batch in this process."""
        return self.config.batch // self.world

    # What a method asks for ---------------------------------------------------------------------

    def network(self, network: nn.Module, forward: Sequence[str] = ()) -> nn.Module:
        """A network to be trained, on the device, its gradients shared over the processes.

        forward: further methods of it that are called in training. ``module`` is the network.
        """
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        wrapped = self.fabric.setup_module(network)
        for name in forward:
            wrapped.mark_forward_method(name)
        self.networks.append(wrapped)
        average = None
        if self.config.optimiser.average:
            average = copy.deepcopy(bare(wrapped)).requires_grad_(False)
        self._averages.append(average)
        return wrapped

    def averaged(self, network: nn.Module) -> nn.Module:
        """The running average of a network of `network`; itself where none is kept."""
        average = self._averages[self._place(network)]
        return bare(network) if average is None else average

    def optimiser(
        self, parameters: Iterable[nn.Parameter], section: OptimiserSettings | None = None
    ) -> Optimiser:
        """An optimiser as ``section`` says; by default as the configuration's ``optimiser``."""
        made = Optimiser(self, list(parameters), section or self.config.optimiser)
        self.optimisers.append(made)
        return made

    def batches(self, make: Callable[[int], T]) -> Callable[[int], T]:
        """The batches of a run, in order. make: what belongs to a step and nothing else.

        With ``workers`` they are made ahead, in processes of their own; the same batches.
        """
        return Ahead(make, self.config.workers) if self.config.workers else make

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of the validation items, on which it judges."""
        mine = items[self.rank :: self.world]
        self._shared = len(mine)
        return mine

    # What the loop asks for ---------------------------------------------------------------------

    def begin(self, step: int) -> None:
        """Set the learning rates of a step."""
        self.step = step
        for optimiser in self.optimisers:
            optimiser.set_rate(step)

    def parts(self) -> Iterator[int]:
        """The numbers of the batches of this step; with the last one the optimisers step."""
        count = self.config.accumulate
        for i in range(count):
            self._part = i
            yield self.step * count + i

    @property
    def begins(self) -> bool:
        """Whether what is minimised now is the first of the step."""
        return self._part == 0

    @property
    def completes(self) -> bool:
        """Whether what is minimised now completes the step."""
        return self._part == self.config.accumulate - 1

    @torch.no_grad()
    def end(self) -> None:
        """Move the running averages; quickly at first."""
        keep = self.config.optimiser.average * (1 - math.exp(-(self.step + 1) / _SETTLED))
        for average, network in zip(self._averages, self.networks, strict=True):
            if average is None:
                continue
            values = zip(
                average.state_dict().values(), bare(network).state_dict().values(), strict=True
            )
            for mean, value in values:
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)

    def mode(self, training: bool) -> None:
        for network in self.networks:
            network.train(training)
        for average in self._averages:
            if average is not None:
                average.eval()

    def mean(self, values: dict[str, float], weight: float = 1.0) -> dict[str, float]:
        """The means of these values over the processes, the same in each."""
        if self.world == 1:
            return values
        numbers = [value * weight for value in values.values()]
        tensor = torch.tensor([*numbers, weight], dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        means = (tensor[:-1] / tensor[-1]).tolist()
        return dict(zip(values, means, strict=True))

    def judged(self, values: dict[str, float]) -> dict[str, float]:
        """Means over all items of what each process found on its share of them."""
        return self.mean(values, self._shared)

    def any(self, flag: bool) -> bool:
        """Whether it holds in any process."""
        if self.world == 1:
            return flag
        tensor = torch.tensor([float(flag)], device=self.device)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return bool(tensor.item())

    def of_all(self, value: T) -> list[T]:
        """What each process has, by rank."""
        found: list[Any] = [value] * self.world
        if self.world > 1:
            distributed.all_gather_object(found, value)
        return found

    def close(self) -> None:
        """Part from the other processes, when all are done."""
        if self.world > 1:
            distributed.destroy_process_group()

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            distributed.barrier()

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs of the engine; the same in every process."""
        return {
            'networks': [bare(network).state_dict() for network in self.networks],
            'averages': [a.state_dict() if a is not None else None for a in self._averages],
            'optimisers': [optimiser.state() for optimiser in self.optimisers],
            'precision': self.fabric.strategy.precision.state_dict(),
            'chances': self.of_all(_chances()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises what torch raises where it does not fit."""
        for network, given in zip(self.networks, state['networks'], strict=True):
            load_exactly(bare(network), given)
        for average, given in zip(self._averages, state['averages'], strict=True):
            if average is not None:
                load_exactly(average, given)
        for optimiser, given in zip(self.optimisers, state['optimisers'], strict=True):
            optimiser.restore(given)
        if state['precision']:
            self.fabric.strategy.precision.load_state_dict(state['precision'])
        _restore_chances(state['chances'][self.rank])

    def _place(self, network: nn.Module) -> int:
        return next(i for i, known in enumerate(self.networks) if known is network)


class Optimiser:
    """Adam or AdamW with scaling, accumulation and clipping. Weights alone decay: biases and
    normalisation, parameters of one dimension, do not."""

    def __init__(self, engine: Engine, parameters: list[nn.Parameter], section: OptimiserSettings):
        self._engine, self.section = engine, section
        kind = torch.optim.AdamW if section.kind == 'adamw' else torch.optim.Adam
        groups = [{'params': parameters, 'weight_decay': 0.0}]
        if section.weight_decay:
            decayed = [p for p in parameters if p.ndim >= 2]
            plain = [p for p in parameters if p.ndim < 2]
            groups = [
                {'params': decayed, 'weight_decay': section.weight_decay},
                {'params': plain, 'weight_decay': 0.0},
            ]
        self._inner = kind([g for g in groups if g['params']], lr=section.learning_rate)
        self._outer: Any = engine.fabric.setup_optimizers(self._inner)

    def minimise(self, loss: Tensor) -> None:
        """One step down this loss, or, while batches are accumulated, its part of one."""
        fabric, count = self._engine.fabric, self._engine.config.accumulate
        if self._engine.begins:  # not after the last step: memory that is kept is not fetched anew
            self.forget()
        fabric.backward(loss / count if count > 1 else loss)
        if not self._engine.completes:
            return
        if self.section.clip:
            fabric.clip_gradients(
                nn.Module(), self._outer, max_norm=self.section.clip, error_if_nonfinite=False
            )
        self._outer.step()

    def forget(self) -> None:
        """Drop gradients, such as reached the parameters by another optimiser's loss."""
        self._inner.zero_grad(set_to_none=True)

    def set_rate(self, step: int) -> None:
        for group in self._inner.param_groups:
            group['lr'] = learning_rate(self.section, step, self._engine.config.steps)

    @property
    def rate(self) -> float:
        return self._inner.param_groups[0]['lr']

    def state(self) -> dict[str, Any]:
        return self._inner.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        self._inner.load_state_dict(state)


class Ahead:
    """Batches that worker processes make ahead of the step that asks for them."""

    def __init__(self, make: Callable[[int], Any], workers: int):
        self._make, self._workers = make, workers
        self._next = -1
        self._batches: Iterator[Any] = iter(())

    def __call__(self, step: int) -> Any:
        if step != self._next:
            loader = DataLoader(_From(self._make, step), batch_size=None, num_workers=self._workers)
            self._batches = iter(loader)
        self._next = step + 1
        return next(self._batches)


class _From(Dataset):
    """The batches from one step on, as far as anybody asks."""

    def __init__(self, make: Callable[[int], Any], first: int):
        self._make, self._first = make, first

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, number: int) -> Any:
        return self._make(self._first + number)


def bare(network: nn.Module) -> nn.Module:
    """A network without what the engine wrapped it in."""
    return network.module if isinstance(network, _FabricModule) else network


def load_exactly(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load weights of the same names, shapes and types. Raises what torch raises, TypeError."""
    for name, value in network.state_dict().items():
        if state[name].dtype != value.dtype:  # else it would be converted, unasked
            raise TypeError(f'{name} is {state[name].dtype}, expected {value.dtype}')
    network.load_state_dict(state)


def _fabric(config: Config) -> Fabric:
    world = int(os.environ.get('WORLD_SIZE', 1))
    gpu = config.device != 'cpu' and torch.cuda.is_available()
    if config.device == 'cuda' and not gpu:
        raise UserError('device is cuda, but torch sees no GPU here: set device=auto or cpu')
    if config.precision == '16-mixed' and not gpu:
        raise UserError('precision 16-mixed needs a GPU: set precision=32-true or bf16-mixed')
    accelerator = 'cuda' if gpu else 'cpu'
    if world == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=config.precision)
    local = int(os.environ.get('LOCAL_WORLD_SIZE', world))
    return Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=world // local,
        strategy=DDPStrategy(process_group_backend='nccl' if gpu else 'gloo'),
        precision=config.precision,
    )


def _chances() -> dict[str, Any]:
    """The states of all random generators."""
    kind, keys, place, has_gauss, gauss = np.random.get_state()
    version, numbers, following = random.getstate()
    return {
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        'numpy': [kind, keys, place, has_gauss, gauss],
        'python': [version, list(numbers), following],
    }


def _restore_chances(state: dict[str, Any]) -> None:
    torch.set_rng_state(state['torch'])
    if state['cuda'] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state['cuda'])
    np.random.set_state(tuple(state['numpy']))
    version, numbers, following = state['python']
    random.setstate((version, tuple(numbers), following))
