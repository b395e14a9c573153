"""What goes through the node or a bag, and what is wrong when too little does: a state machine.

Times are seconds of any steady clock, passed in; stamps are nanoseconds as in message headers.
`advice` puts the figures into words.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import advice
from .pairing import STREAMS, Counters, SyncSettings
from .rhythm import Rhythm
from .stall import StallSettings
from .stalls import Pairs, Stalls
from .streams import StreamFigures, StreamWatch, rate

OK, WARN, ERROR = 0, 1, 2  # as in diagnostic_msgs/DiagnosticStatus

_RECENT = 300  # pairs over which latency and skew are taken
_LATELY = 10.0  # seconds over which losses are counted
_PAUSE = 2.0  # seconds that both streams may pause
_TOLD = 3  # troubles at once
_FAILING = 5  # pairs in a row that could not be fused


@dataclass(frozen=True)
class Report:
    """One diagnostics entry: level (0 ok, 1 warn, 2 error), a sentence, and figures as text."""

    level: int
    message: str
    values: dict[str, str]


class Health:
    """Counts frames, pairs and losses, and puts into words what is missing.

    topics: {'rgb': topic, 'thermal': topic}. Safe to call from the receiving and the computing
    thread.
    """

    def __init__(self, topics: Mapping[str, str], stall: StallSettings, start: float):
        self._lock = threading.Lock()
        self._stall = stall
        self._streams = {name: StreamWatch(topics[name]) for name in STREAMS}
        self._stalls = Stalls(self._streams, stall)
        # Since the start: 'rgb frames', 'pairs', 'fused', 'replaced', 'idle', 'held', 'rgb alone',
        # 'refused REASON' on arrival, 'unfused REASON' of a pair.
        self._counts: Counter[str] = Counter()
        self._refused_since_pair: Counter[str] = Counter()
        self._sentences: dict[str, str] = {}  # the newest of each reason
        self._past: deque[tuple[float, Counter[str]]] = deque()
        self._failures = 0  # pairs in a row
        self._clock_stands = False
        self._notice = ''
        self._conflicts: dict[str, str] = {}  # topic: what does not fit
        self._last_pair = start
        self._pair_clock: float | None = None
        self._fused_at: deque[float] = deque(maxlen=1024)
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._gaps: deque[int] = deque(maxlen=_RECENT)
        self._stages: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_RECENT))

    # What happens ------------------------------------------------------------------------------

    def retuned(self, stall: StallSettings) -> None:
        """The settings changed."""
        with self._lock:
            self._stall = self._stalls.settings = stall

    def noticed(self, notice: str) -> None:
        """What a user should know of models that do not run as asked for; empty for nothing."""
        with self._lock:
            self._notice = notice

    def conflict(self, topic: str, sentence: str) -> None:
        """What does not fit on a topic, such as the QoS of a peer; empty for nothing any more."""
        with self._lock:
            self._conflicts[topic] = sentence
            if not sentence:
                del self._conflicts[topic]

    def quiet(self, name: str, now: float) -> bool:
        """Whether nothing comes on a stream."""
        with self._lock:
            arrivals = self._streams[name].arrivals
            return not arrivals or now - arrivals[-1] > 2 * self._stall.timeout

    def hint(self, name: str, sentence: str) -> None:
        """What the ROS graph tells of a stream from which nothing comes; empty for nothing."""
        with self._lock:
            self._streams[name].hint = sentence

    def dropped(self, name: str, count: int) -> None:
        """The middleware says that it lost frames of a stream."""
        with self._lock:
            self._streams[name].dropped += count

    def clock(self, stands: bool) -> None:
        """Whether the node's clock is simulated and was never set."""
        with self._lock:
            self._clock_stands = stands

    def observed(self, frozen: float) -> None:
        """The newest thermal image has come again for so many seconds; 0.0: it is new."""
        with self._lock:
            self._stalls.frozen = frozen

    def held_back(self, pair: bool = False) -> None:
        """``stall.thermal`` or ``stall.rgb`` kept an image, or a pair, from going out."""
        with self._lock:
            self._counts['held'] += 1
            self._counts['pairs held'] += pair

    def replaced(self, count: int) -> None:
        """So many pairs not yet fused were dropped for something newer."""
        with self._lock:
            self._counts['replaced'] += count

    def arrived(
        self,
        name: str,
        stamp: int,
        now: float,
        stamped: bool = True,
        clock: float | None = None,
    ) -> None:
        """A frame of stream ``rgb`` or ``thermal`` came in, usable or not.

        stamped: whether the stamp is the message's own and not that of its arrival. clock: seconds
        of the clock that stamps are of; None if it is not known.
        """
        with self._lock:
            stream = self._streams[name]
            self._stalls.arrived(name, now if clock is None else clock)
            stream.arrived(stamp, now, stamped, clock)
            self._counts[f'{name} frames'] += 1
            self._counts['unstamped'] += not stamped

    def refused(self, reason: str, message: str = '', pair: bool = False) -> None:
        """A frame or pair could not be used; reason is a short key such as ``rgb encoding``.

        pair: it was found out when a pair was to be fused.
        """
        with self._lock:
            self._counts[f'{"unfused" if pair else "refused"} {reason}'] += 1
            self._sentences[reason] = message or reason
            if pair:
                self._failures += 1
            else:
                self._refused_since_pair[reason] += 1

    def paired(
        self, gap: int, now: float, replaced: int, wanted: bool = True, clock: float | None = None
    ) -> None:
        """A pair was made. gap: nanoseconds. replaced: so many not yet fused were dropped for it.

        wanted: somebody listens to the fused images. clock: as of `arrived`.
        """
        with self._lock:
            self._last_pair = now
            self._pair_clock = now if clock is None else clock
            self._refused_since_pair.clear()
            self._gaps.append(gap)
            self._counts['pairs'] += 1
            self._counts['replaced'] += replaced
            self._counts['idle'] += not wanted

    def published(
        self,
        latency: float,
        stages: Mapping[str, float] | None = None,
        alone: str = '',
        now: float = 0.0,
        pair: bool = True,
    ) -> None:
        """An image went out, ``latency`` seconds after the later of its frames came in.

        stages: the seconds of each stage of `stages.STAGES` that it went through. alone: the stream
        that it is of, if it is not fused. now: seconds, of the clock of `paired`. pair: both of its
        frames came.
        """
        with self._lock:
            self._failures = 0
            if alone:
                self._counts[f'{alone} alone'] += 1
                self._counts['pairs as alone'] += pair
                return
            self._counts['fused'] += 1
            self._fused_at.append(now)
            self._latencies.append(latency)
            for stage, seconds in (stages or {}).items():
                self._stages[stage].append(seconds)

    # What is known -----------------------------------------------------------------------------

    def alone(self, clock: float) -> str:
        """The stream that lives while the other is silent; empty if both live, or neither."""
        with self._lock:
            return self._stalls.alone(clock)

    def act(self, clock: float) -> str:
        """What is done while a stream stalls, one of `stall.ACTS`; empty while none does."""
        with self._lock:
            return self._stalls.act(clock)

    def state(self, clock: float, now: float | None = None) -> str:
        """For ``fused/state``: what goes out where somebody listens, how the streams are, and what
        is done about it. now: as of `arrived`, to tell what is late."""
        with self._lock:
            refused = {reason.partition(' ')[0] for reason in self._refused_since_pair}
            pairs = Pairs(self._pair_clock, self._failures >= _FAILING, refused)
            return self._stalls.line(clock, now, pairs)

    def silence(self, now: float, sync: SyncSettings) -> str:
        """Why no pair has come for ``stall.warn_after`` seconds, and what to try; else empty."""
        with self._lock:
            quiet = now - self._last_pair
            if quiet < self._stall.warn_after:
                return ''
            streams = self._facts(now)
            told = f'no pair for {quiet:.1f} s: {"; ".join(map(str, streams.values()))}. '
            return told + self._why(streams, self._stall.warn_after, sync)

    def why_nothing(self, now: float, sync: SyncSettings) -> str:
        """Why there is no pair at all, and what to try: of a bag."""
        with self._lock:
            return self._why(self._facts(now), float('inf'), sync)

    def _why(self, streams: dict[str, StreamFigures], patience: float, sync: SyncSettings) -> str:
        if self._clock_stands:
            return advice.NO_CLOCK
        return advice.no_pairs(streams, patience, sync, self._refused_since_pair, self._sentences)

    def _facts(self, now: float) -> dict[str, StreamFigures]:
        return {
            name: stream.facts(name, now, self._conflicts.get(stream.topic, stream.hint))
            for name, stream in self._streams.items()
        }

    def losses(
        self, now: float, sync: SyncSettings, counters: Counters, lately: bool = False
    ) -> list[str]:
        """What is lost steadily, each a sentence with its share; since the start or lately."""
        with self._lock:
            happened = self._recent(now, counters) if lately else self._total(counters)
            return self._losses(happened, now, sync)

    def _losses(self, happened: Counter[str], now: float, sync: SyncSettings) -> list[str]:
        fusing = [sum(times) / len(times) for times in self._stages.values() if times]
        return advice.losses(
            happened, self._facts(now), sync, self._sentences, sum(fusing) if fusing else None
        )

    def _total(self, counters: Counters) -> Counter[str]:
        """All that happened since the start, by name."""
        total = self._counts.copy()
        for kind in ('waited', 'unpaired', 'duplicate', 'late'):
            for name, count in getattr(counters, kind).items():
                total[f'{name} {kind}'] = count
        total['resets'] = counters.resets
        return total

    def _recent(self, now: float, counters: Counters) -> Counter[str]:
        """What happened within the last seconds; to be asked about once a second."""
        total = self._total(counters)
        while self._past and self._past[0][0] < now - _LATELY:
            self._past.popleft()
        before = self._past[0][1] if self._past else Counter()
        self._past.append((now, total))
        return total - before

    def report(
        self,
        now: float,
        sync: SyncSettings,
        counters: Counters,
        rhythm: Rhythm | None = None,
        clock: float | None = None,
    ) -> Report:
        """The diagnostics entry of this moment; to be asked for once a second.

        rhythm: of streams of equal rates. clock: as of `arrived`.
        """
        silence = self.silence(now, sync)
        clock = now if clock is None else clock
        with self._lock:
            recent = self._recent(now, counters)
            level, message = self._grade(now, clock, sync, silence, recent, rhythm)
            return Report(level, message, self._values(now, counters, rhythm))

    def _grade(
        self,
        now: float,
        clock: float,
        sync: SyncSettings,
        silence: str,
        recent: Counter[str],
        rhythm: Rhythm | None,
    ) -> tuple[int, str]:
        streams = self._facts(now)
        instead = self._stalls.instead(clock)
        if silence:
            return ERROR, '; '.join(filter(None, (silence, instead)))
        unfused = {k: n for k, n in recent.items() if k.startswith('unfused ')}
        tried = sum(unfused.values()) + recent['fused'] + recent['rgb alone']
        if unfused and sum(unfused.values()) >= advice.NEARLY_ALL * tried:
            reason = max(unfused, key=unfused.__getitem__).removeprefix('unfused ')
            return ERROR, f'pairs come but cannot be fused: {self._sentences[reason]}'
        told = [advice.NO_CLOCK] if self._clock_stands else []
        overdue = [s.lateness for s in streams.values() if s.overdue]
        if len(overdue) == len(STREAMS) and max(s.age or 0.0 for s in streams.values()) < _PAUSE:
            overdue = []  # both at once: a bag has ended, or a message was long in coming
        told += [instead] if instead else overdue
        if not self._stalls.alone(clock):
            told += self._losses(recent, now, sync) or self._stalls.troubles()
        if rhythm is not None and rhythm.ambiguous:
            told.append(rhythm.notice)
        told += [*self._conflicts.values(), *filter(None, [self._notice])]
        if told:
            return WARN, '; '.join(told[:_TOLD])
        if not self._counts['pairs']:
            return OK, 'waiting for the first pair'
        if recent['pairs'] and recent['idle'] == recent['pairs']:
            return OK, 'pairing; nobody listens to the fused images'
        return OK, 'fusing'

    def _values(self, now: float, counters: Counters, rhythm: Rhythm | None) -> dict[str, str]:
        values: dict[str, str] = {}
        for name, stream in self._streams.items():
            age = now - stream.arrivals[-1] if stream.arrivals else None
            values |= {
                f'{name} topic': stream.topic,
                f'{name} frames': str(self._counts[f'{name} frames']),
                f'{name} rate (Hz)': f'{stream.rate(now):.2f}',
                f'{name} age (s)': 'never' if age is None else f'{age:.2f}',
                f'{name} unpaired': str(counters.unpaired[name]),
                f'{name} waited too long': str(counters.waited[name]),
                f'{name} duplicate': str(counters.duplicate[name]),
                f'{name} late': str(counters.late[name]),
                f'{name} missing (%)': f'{stream.missing() * 100:.0f}',
                f'{name} alone': str(self._counts[f'{name} alone']),
            }
            if stream.delays:
                values[f'{name} stamp to arrival (s)'] = f'{np.median(stream.delays):.3f}'
        refused: Counter[str] = Counter()
        unfused, of_stream = 0, Counter[str]()
        for key, count in self._counts.items():
            kind, _, reason = key.partition(' ')
            if kind in ('refused', 'unfused'):
                refused[reason] += count
            if kind == 'refused':
                of_stream[reason.partition(' ')[0]] += count
            elif kind == 'unfused':
                unfused += count
        values |= {
            'pairs': str(counters.paired),
            'fused': str(self._counts['fused']),
            'fused rate (Hz)': f'{rate(self._fused_at, now):.2f}',
            'replaced by newer': str(self._counts['replaced']),
            'pairs not fused': str(unfused),
            'pairs as rgb alone': str(self._counts['pairs as alone']),
            'pairs held back': str(self._counts['pairs held']),
            **{f'{name} refused': str(of_stream[name]) for name in STREAMS},
            'not computed (nobody listens)': str(self._counts['idle']),
            'held back while stalled': str(self._counts['held']),
            'refused': ', '.join(f'{k} {n}' for k, n in sorted(refused.items())) or '0',
            'clock resets': str(counters.resets),
            'frames without stamp': str(self._counts['unstamped']),
            'thermal frozen': str(self._stalls.frozen > 0).lower(),
            **self._stalls.values(),
        }
        if self._gaps:
            values['skew median (ms)'] = f'{np.median(self._gaps) / 1e6:.2f}'
            values['skew last (ms)'] = f'{self._gaps[-1] / 1e6:.2f}'
        if rhythm is not None:
            values['skew running (ms)'] = f'{rhythm.skew / 1e6:.2f}'
            values['period (ms)'] = f'{rhythm.period / 1e6:.2f}'
        for stage, seconds in {'latency': self._latencies, **self._stages}.items():
            if seconds:
                p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
                digits = 2 if stage == 'latency' else 3
                values[f'{stage} p50 (ms)'] = f'{p50:.{digits}f}'
                values[f'{stage} p99 (ms)'] = f'{p99:.{digits}f}'
        return values
