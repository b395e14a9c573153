"""What goes through the node, and what is wrong when nothing does: a pure state machine.

Times are seconds of any steady clock, passed in; stamps are nanoseconds as in message headers.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .pairing import STREAMS, Counters
from .rhythm import Rhythm

OK, WARN, ERROR = 0, 1, 2  # as in diagnostic_msgs/DiagnosticStatus

_WINDOW = 5.0  # seconds over which rates are taken
_RECENT = 300  # pairs over which latency and skew are taken


@dataclass
class _Stream:
    topic: str
    frames: int = 0
    stamp: int = 0
    arrivals: deque = field(default_factory=lambda: deque(maxlen=1024))

    def rate(self, now: float) -> float:
        """Frames a second over the last seconds."""
        recent = [t for t in self.arrivals if t > now - _WINDOW]
        if len(recent) < 2:
            return len(recent) / _WINDOW
        return (len(recent) - 1) / max(recent[-1] - recent[0], now - recent[-1], 1e-6)

    def age(self, now: float) -> float | None:
        return now - self.arrivals[-1] if self.arrivals else None

    def describe(self, now: float) -> str:
        age = self.age(now)
        if age is None:
            return f'{self.topic}: no frame yet'
        return f'{self.topic}: {self.rate(now):.1f} Hz, last frame {age:.1f} s ago'


@dataclass(frozen=True)
class Report:
    """One diagnostics entry: level (0 ok, 1 warn, 2 error), a sentence, and figures as text."""

    level: int
    message: str
    values: dict[str, str]


class Health:
    """Counts frames, pairs and losses, and puts into words what is missing.

    topics: {'rgb': topic, 'thermal': topic}. warn_after: seconds without a pair that are too many.
    Safe to call from the receiving and the computing thread.
    """

    def __init__(self, topics: dict[str, str], warn_after: float, start: float):
        self._warn_after = warn_after
        self._bad: Counter[str] = Counter()
        self._bad_since_pair: Counter[str] = Counter()
        self._failing = ''
        self._replaced = self._fused = self._idle = self._stalled = self._unstamped = 0
        self._frozen = False
        self._notice = ''
        self._conflicts: dict[str, str] = {}  # topic: what does not fit
        self._lock = threading.Lock()
        self._streams = {name: _Stream(topics[name]) for name in STREAMS}
        self._last_pair = start
        self._paired = False
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._gaps: deque[int] = deque(maxlen=_RECENT)
        self._stages: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_RECENT))

    def be_patient(self, warn_after: float) -> None:
        """Change how many seconds without a pair are too many."""
        with self._lock:
            self._warn_after = warn_after

    def noticed(self, notice: str) -> None:
        """What a user should know of models that do not run as asked for; empty for nothing."""
        with self._lock:
            self._notice = notice

    def conflict(self, topic: str, sentence: str) -> None:
        """The QoS of a publisher or subscriber of a topic does not fit."""
        with self._lock:
            self._conflicts[topic] = sentence

    def observed(self, frozen: bool) -> None:
        """The newest thermal image does, or does not, repeat those before it."""
        with self._lock:
            self._frozen = frozen

    def held_back(self) -> None:
        """``stall.policy`` kept a pair from being fused."""
        with self._lock:
            self._stalled += 1

    def arrived(self, name: str, stamp: int, now: float, stamped: bool = True) -> None:
        """A frame of stream ``rgb`` or ``thermal`` came in, usable or not.

        stamped: whether the stamp is the message's own and not that of its arrival.
        """
        with self._lock:
            self._unstamped += not stamped
            stream = self._streams[name]
            stream.frames += 1
            stream.stamp = stamp
            stream.arrivals.append(now)

    def refused(self, reason: str, message: str = '') -> None:
        """A frame or pair could not be used; reason is a short key such as ``rgb encoding``."""
        with self._lock:
            self._bad[reason] += 1
            self._bad_since_pair[reason] += 1
            if reason.startswith('pair'):
                self._failing = message or reason

    def paired(self, gap: int, now: float, replaced: bool, wanted: bool = True) -> None:
        """A pair was made. gap: nanoseconds. replaced: it took the place of one not yet fused.

        wanted: somebody listens to the fused images.
        """
        with self._lock:
            self._paired, self._last_pair = True, now
            self._bad_since_pair.clear()
            self._gaps.append(gap)
            self._replaced += replaced
            self._idle += not wanted

    def published(self, latency: float, stages: Mapping[str, float] | None = None) -> None:
        """A fused image went out, ``latency`` seconds after the later of its frames came in.

        stages: the seconds of each stage of `stages.STAGES` that it went through.
        """
        with self._lock:
            self._fused += 1
            self._failing = ''
            self._latencies.append(latency)
            for stage, seconds in (stages or {}).items():
                self._stages[stage].append(seconds)

    def silence(self, now: float, slop: float, offset: float) -> str:
        """Why no pair has come for ``warn_after`` seconds, and what to try; else empty.

        slop, offset: ``sync.slop`` and ``sync.thermal_time_offset`` in seconds.
        """
        with self._lock:
            quiet = now - self._last_pair
            if quiet < self._warn_after:
                return ''
            streams = '; '.join(s.describe(now) for s in self._streams.values())
            return f'no pair for {quiet:.1f} s: {streams}. {self._advice(now, slop, offset)}'

    def _advice(self, now: float, slop: float, offset: float) -> str:
        silent = [
            stream.topic
            for stream in self._streams.values()
            if (age := stream.age(now)) is None or age > self._warn_after
        ]
        if silent:
            conflicts = [self._conflicts[t] for t in silent if t in self._conflicts]
            hint = '; '.join(conflicts) or (
                'check that it is published under this name ("ros2 topic list", launch arguments), '
                'that its QoS fits (qos.reliability) and that large images get through '
                '(Fast DDS profile in docs/node.md)'
            )
            return f'Nothing comes on {" and ".join(silent)}: {hint}'
        bad = {k: n for k, n in self._bad_since_pair.most_common() if not k.startswith('pair')}
        if bad:
            counts = ', '.join(f'{reason} {n}' for reason, n in bad.items())
            return f'Frames come but are refused ({counts}): see the warnings above'
        gap = (self._streams['thermal'].stamp - self._streams['rgb'].stamp) * 1e-9 + offset
        if abs(gap) > 3600:
            return (
                f'The stamps are {gap:.0f} s apart, so the cameras use different clocks: '
                'let both drivers stamp with ROS time, or set both to stamp 0'
            )
        return (
            f'Both streams come, the newest stamps are {gap * 1e3:+.0f} ms apart '
            f'(thermal minus rgb, sync.slop is {slop * 1e3:.0f} ms): set '
            f'sync.thermal_time_offset to {offset - gap:+.3f} if that is constant, else raise '
            'sync.slop'
        )

    def report(
        self,
        now: float,
        slop: float,
        offset: float,
        counters: Counters,
        rhythm: Rhythm | None = None,
    ) -> Report:
        """The diagnostics entry of this moment. rhythm: of streams of equal rates."""
        silence = self.silence(now, slop, offset)
        with self._lock:
            values: dict[str, str] = {}
            for name, stream in self._streams.items():
                age = stream.age(now)
                values |= {
                    f'{name} topic': stream.topic,
                    f'{name} frames': str(stream.frames),
                    f'{name} rate (Hz)': f'{stream.rate(now):.2f}',
                    f'{name} age (s)': 'never' if age is None else f'{age:.2f}',
                    f'{name} unpaired': str(counters.unpaired[name]),
                    f'{name} duplicate': str(counters.duplicate[name]),
                    f'{name} late': str(counters.late[name]),
                }
            values |= {
                'pairs': str(counters.paired),
                'fused': str(self._fused),
                'replaced by newer': str(self._replaced),
                'not computed (nobody listens)': str(self._idle),
                'held back while frozen': str(self._stalled),
                'refused': ', '.join(f'{k} {n}' for k, n in sorted(self._bad.items())) or '0',
                'clock resets': str(counters.resets),
                'frames without stamp': str(self._unstamped),
                'thermal frozen': str(self._frozen).lower(),
            }
            if self._gaps:
                values['skew median (ms)'] = f'{np.median(self._gaps) / 1e6:.2f}'
                values['skew last (ms)'] = f'{self._gaps[-1] / 1e6:.2f}'
            if rhythm is not None:
                values['skew running (ms)'] = f'{rhythm.skew / 1e6:.2f}'
                values['period (ms)'] = f'{rhythm.period / 1e6:.2f}'
            if self._latencies:
                p50, p99 = np.percentile(self._latencies, (50, 99)) * 1e3
                values['latency p50 (ms)'] = f'{p50:.2f}'
                values['latency p99 (ms)'] = f'{p99:.2f}'
            for stage, seconds in self._stages.items():
                p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
                values[f'{stage} p50 (ms)'] = f'{p50:.3f}'
                values[f'{stage} p99 (ms)'] = f'{p99:.3f}'
            if silence:
                level, message = ERROR, silence
            elif self._failing:
                level, message = ERROR, f'pairs come but cannot be fused: {self._failing}'
            elif self._frozen:
                level, message = WARN, 'the thermal image is frozen (shutter calibration?)'
            elif rhythm is not None and rhythm.ambiguous:
                level, message = WARN, rhythm.notice
            elif self._conflicts or self._notice:
                level, message = WARN, '; '.join([*self._conflicts.values(), self._notice][:1])
            elif not self._paired:
                level, message = OK, 'waiting for the first pair'
            else:
                level, message = OK, 'fusing'
            return Report(level, message, values)
