"""Which streams stop or stand still, and what is done about it, by ``stall.*``.

Times are seconds of the clock that stamps are of, passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from .pairing import OTHER, STREAMS
from .stall import StallSettings
from .stream_state import WORDS, Signs, StreamState
from .streams import StreamWatch

_PRESENT = 10.0  # seconds: images that are older are of another time, such as a bag's
_LOOK = 0.1  # seconds between two looks at what changes slowly


@dataclass(frozen=True)
class Pairs:
    """last: when the last pair was made; None for never. failing: the newest ones cannot be fused.
    refused: streams of which frames were refused since."""

    last: float | None
    failing: bool
    refused: Collection[str]


class Stalls:
    """streams: what is remembered of each. frozen: seconds for which the newest thermal image has
    come again, 0.0 if it is new."""

    def __init__(self, streams: Mapping[str, StreamWatch], settings: StallSettings):
        self.settings, self.frozen = settings, 0.0
        self._streams = streams
        self._states = {name: StreamState() for name in STREAMS}
        self._first: float | None = None  # when anything came first
        self._woke: dict[str, float] = {}  # when a stream came, first or after silence
        self._slow: tuple[float, dict[str, tuple[bool, bool]]] | None = None  # when; late, stale
        self._act = ''

    def arrived(self, name: str, clock: float) -> None:
        """A frame comes in, of which the stream does not know yet."""
        if name not in self._woke or self._silent(name, clock):
            self._woke[name] = clock
            self._slow = None  # what was late is here
        self._first = clock if self._first is None else self._first

    def alone(self, clock: float) -> str:
        """The stream that lives while the other is silent; empty if both live, or neither."""
        silent = [name for name in STREAMS if self._silent(name, clock)]
        return OTHER[silent[0]] if len(silent) == 1 else ''

    def act(self, clock: float) -> str:
        """What is done while a stream stalls, one of `stall.ACTS`; empty while none does."""
        settings, living = self.settings, self.alone(clock)
        if living:
            last = self._streams[OTHER[living]].clock
            if last is None:  # there is nothing to hold
                return 'drop' if settings.wanted(OTHER[living]) == 'drop' else 'pass'
            return settings.act(OTHER[living], clock - last - settings.timeout)
        return settings.act('thermal', self.frozen - settings.freeze_after) if self.frozen else ''

    def line(self, clock: float, now: float | None, pairs: Pairs) -> str:
        """For ``fused/state``. now: seconds of the clock of arrivals, to tell what is late."""
        for name, machine in self._states.items():
            machine.update(self._signs(name, clock, now, pairs), clock)
        living, self._act = self.alone(clock), self.act(clock)
        silent = all(self._silent(name, clock) for name in STREAMS)
        paired = pairs.last is not None and clock - pairs.last <= self.settings.timeout
        out = {'hold': 'fused', 'pass': living or 'rgb', 'drop': 'none', '': 'fused'}[self._act]
        if silent or pairs.failing or not (living or paired):
            out = 'none'
        states = '; '.join(f'{name}={one.state}' for name, one in self._states.items())
        return f'{out}; {states}{f"; stall={self._act}" if self._act else ""}'

    def instead(self, clock: float) -> str:
        """What is done about a stream that stalls, a sentence; empty while none does."""
        act, living = self.act(clock), self.alone(clock)
        if not act:
            return ''
        name = OTHER[living] if living else 'thermal'
        done = {
            'hold': f'its last image is fused on, for {self.settings.hold_for:g} s',
            'pass': f'the {OTHER[name]} image goes out alone',
            'drop': 'nothing goes out',
        }[act]
        state = WORDS['SILENT' if living else 'FROZEN']
        return f'{name} {state}: {done} (stall.{name} {self.settings.wanted(name)})'

    def values(self) -> dict[str, str]:
        """For diagnostics."""
        found = {f'{name} state': machine.state for name, machine in self._states.items()}
        return found | {'stall': self._act or 'none'}

    def troubles(self) -> list[str]:
        """Streams that come and are of no use, as sentences."""
        return [
            f'{name} {WORDS[one.state]}'
            for name, one in self._states.items()
            if one.state in ('STALE', 'MISMATCHED')
        ]

    def _silent(self, name: str, clock: float) -> bool:
        since = self._streams[name].clock
        since = self._first if since is None else since
        return since is not None and clock - since > self.settings.timeout

    def _signs(self, name: str, clock: float, now: float | None, pairs: Pairs) -> Signs:
        late, stale = self._slowly(clock, now)[name]
        return Signs(
            late=late,
            stale=stale,
            mismatched=name in self._mismatched(clock, pairs),
            frozen=name == 'thermal' and self.frozen > 0,
            silent=self._silent(name, clock),
        )

    def _slowly(self, clock: float, now: float | None) -> dict[str, tuple[bool, bool]]:
        """{stream: (late, stale)}, looked at now and then: it takes medians."""
        if self._slow is None or not 0 <= clock - self._slow[0] < _LOOK:
            found = {}
            for name, stream in self._streams.items():
                late = now is not None and stream.overdue(now)
                delay = float(np.median(stream.delays)) if stream.delays else 0.0
                old = self.settings.timeout < delay < _PRESENT
                found[name] = late, old or stream.stands_still
            self._slow = clock, found
        return self._slow[1]

    def _mismatched(self, clock: float, pairs: Pairs) -> list[str]:
        """Streams whose frames come and come to nothing."""
        if pairs.failing:
            return list(STREAMS)
        if len(self._woke) < len(STREAMS) or any(self._silent(name, clock) for name in STREAMS):
            return []
        if clock - max(*self._woke.values(), pairs.last or 0.0) <= self.settings.timeout:
            return []
        return [name for name in STREAMS if name in pairs.refused] or list(STREAMS)
