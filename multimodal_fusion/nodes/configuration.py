"""The node's settings and what is built from them; models load in a thread of their own."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..errors import Interrupted, UserError
from ..pipeline.pairing import Pair
from ..pipeline.pipeline import Pipeline, build
from ..pipeline.receiver import Receiver
from ..pipeline.settings import ROS_PARAMETERS, Settings, check_names, checked
from .filters import FilterPairer

_PATIENCE = 1.0  # seconds that a change of parameters waits for its models


@dataclass(frozen=True)
class Setup:
    """Settings and what was built from them; exchanged as a whole between frames."""

    settings: Settings
    pipeline: Pipeline
    receiver: Receiver


@dataclass(frozen=True)
class _Change:
    settings: Settings
    old: Mapping[str, Any]  # the values that it replaces
    loading: Future[Pipeline]


class Configuration:
    """``current`` is the `Setup` in force. Made at the start, changed at run time.

    done: set by whoever ends the node while it loads. changed: called, in the executor's thread,
    with the setup before, that after, and the pairs that frames make by new settings.
    Raises UserError, and Interrupted.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        done: threading.Event | None,
        changed: Callable[[Setup, Setup, list[Pair]], None],
    ):
        self._node, self._changed = node, changed
        self._pending: _Change | None = None
        self._reverting = False
        loading = _in_a_thread(lambda: build(settings))
        while not wait([loading], 0.1).done:
            if done is not None and done.is_set():
                raise Interrupted
        pipeline = loading.result()
        self.current = Setup(settings, pipeline, _receiver(settings, pipeline))

    def begin_anew(self) -> None:
        """Forget the frames that wait, and the counts of others: topics are opened again."""
        setup = self.current
        self.current = replace(setup, receiver=_receiver(setup.settings, setup.pipeline))

    def change(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        """Check all changes together and apply them between two frames, or say why not."""
        if self._reverting:
            return SetParametersResult(successful=True)
        try:
            return self._change(
                {p.name: p.value for p in parameters if p.name.split('.')[0] not in ROS_PARAMETERS}
            )
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # the node outlives whatever a model file does to it
            self._node.get_logger().error(traceback.format_exc())
            return SetParametersResult(successful=False, reason=f'failed: {error!r}')

    def _change(self, given: Mapping[str, Any]) -> SetParametersResult:
        check_names(given)
        if self._pending is not None:
            raise UserError('a model is still being loaded; set parameters again when it is done')
        before, current = self.current.settings.flat(), self.current
        settings = checked({**before, **given})
        loading = _in_a_thread(lambda: build(settings, current.pipeline, frozenset(given)))
        self._pending = _Change(settings, {name: before[name] for name in given}, loading)
        if not wait([loading], _PATIENCE).done:
            return SetParametersResult(successful=True)  # `poll` tells how it goes on
        try:
            self._apply()
        finally:
            self._pending = None
        return SetParametersResult(successful=True)

    def poll(self) -> str:
        """Apply what has loaded meanwhile; a sentence while it loads, or if it cannot be used."""
        change = self._pending
        if change is None:
            return ''
        if not change.loading.done():
            return f'{change.settings.model.name} is being loaded; the old model fuses on'
        failure = ''
        try:
            self._apply()
        except Exception as error:
            failure = f'the new settings cannot be used, the old ones stay: {error}'
        self._pending = None
        if failure:  # the parameters say again what is in force
            self._reverting = True
            self._node.set_parameters([Parameter(n, value=v) for n, v in change.old.items()])
            self._reverting = False
        return failure

    def _apply(self) -> None:
        change, old = self._pending, self.current
        assert change is not None
        pipeline = change.loading.result()
        receiver = _receiver(change.settings, pipeline)
        pairs: list[Pair] = []
        if change.settings.sync == old.settings.sync:
            receiver.pairer = old.receiver.pairer
        else:
            pairs = receiver.pairer.take_over(old.receiver.pairer)
        self.current = Setup(change.settings, pipeline, receiver)
        self._changed(old, self.current, pairs)


def _in_a_thread(make: Callable[[], Pipeline]) -> Future[Pipeline]:
    """Run in a thread that dies with the process: what it waits for may never come."""
    future: Future[Pipeline] = Future()

    def run() -> None:
        try:
            future.set_result(make())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name='load', daemon=True).start()
    return future


def _receiver(settings: Settings, pipeline: Pipeline) -> Receiver:
    sync = settings.sync
    if sync.backend == 'own':
        return Receiver(settings, pipeline)
    slop, offset = round(sync.slop * 1e9), round(sync.thermal_time_offset * 1e9)
    return Receiver(settings, pipeline, FilterPairer(slop, offset, sync.queue_size))
