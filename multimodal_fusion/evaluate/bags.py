"""A bag evaluated: metrics at sampled pairs, flicker over all, and the time line of the pairing."""

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..errors import UserError
from ..io import messages
from ..io.pixels import luma
from ..pipeline.frames import stamp_of
from ..pipeline.offline import Offline
from ..pipeline.pairing import Pair
from .collection.stretches import Cells
from .contenders import Contender
from .measure import Meter, Result, Sources
from .metrics import Flicker

_GAP = 0.5  # seconds without a pair, from which on it counts as a gap
_SLOW = 3.0  # ... unless pairs are that many times their usual interval apart anyway


class Kept:
    """The measured pairs, for pictures: losslessly compressed, as a bag cannot be sought in."""

    def __init__(self):
        self._coded: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def put(self, stem: str, sources: Sources) -> None:
        images_ = (sources.visible, sources.thermal)
        self._coded[stem] = tuple(cv2.imencode('.png', image)[1] for image in images_)

    def get(self, stem: str) -> Sources:
        return Sources(*(cv2.imdecode(c, cv2.IMREAD_UNCHANGED) for c in self._coded[stem]))

    def stems(self) -> list[str]:
        return list(self._coded)


@dataclass
class Trace:
    """What was seen along a bag. Times are seconds of recording since its first image."""

    start: int | None = None
    end: float = 0.0
    timeline: list[dict] = field(default_factory=list)
    delays: dict[str, list[float]] = field(default_factory=lambda: {'rgb': [], 'thermal': []})
    samples: dict[str, float] = field(default_factory=dict)
    kept: 'Kept' = field(default_factory=lambda: Kept())

    def seconds(self, time: int) -> float:
        self.start = time if self.start is None else self.start
        return (time - self.start) * 1e-9


def measure_bag(
    offline: Offline,
    meter: Meter,
    every: float,
    progress=iter,
) -> tuple[list[Result], dict, Kept]:
    """Results of the sampled pairs, the ``sequence`` part of the results, and the sampled pairs.

    every: seconds between pairs that are measured, as of `Cells`; 0 measures all. progress: wraps
    an iterable.
    """
    contenders = meter.plan.contenders
    flickers = {c.name: Flicker() for c in contenders if c.source != 'source'}
    seen, results, cells = Trace(), [], Cells(every)
    for step in progress(offline.steps()):
        now = seen.seconds(step.time)
        seen.end = max(seen.end, now)
        note_delay(seen, offline, step)
        for pair in step.pairs:
            due = cells.take((step.time - offline.bag.start) / 1e9)
            entry = {
                'time': round(now, 6),
                'gap_ms': pair.gap * 1e-6,
                'frozen': pair.thermal.thermal.frozen > 0,
                'evaluated': due,
            }
            try:
                sources = decode(offline, pair)
                stem = f'{now:09.3f}s'
                follow(flickers, contenders, meter, stem, sources)
                if due:
                    results.append(Result(stem, sources.thermal.shape, meter.row(stem, sources)))
                    seen.samples[stem] = round(now, 6)
                    seen.kept.put(stem, sources)
            except UserError as error:
                entry['evaluated'] = False
                results.append(Result(f'{now:09.3f}s', (0, 0), {}, str(error)))
            seen.timeline.append(entry)
    flicker = {name: meter_.value for name, meter_ in flickers.items()}
    return results, describe(seen, offline, flicker), seen.kept


def decode(offline: Offline, pair: Pair) -> Sources:
    """The pair as the fuser sees it."""
    visible = messages.read_visible(pair.rgb.message, offline.settings.input.max_pixels)
    thermal = offline.pipeline.white_hot(pair.thermal.thermal, visible.shape[:2])
    return Sources(visible, thermal)


def follow(
    flickers: dict[str, Flicker],
    contenders: Iterable[Contender],
    meter: Meter,
    stem: str,
    sources: Sources,
) -> None:
    """Feed the flicker meters of all contenders with their picture of a pair."""
    visible = luma(sources.visible)
    for contender in contenders:
        if contender.name in flickers:
            fused = luma(meter.fuse(contender, stem, sources))
            try:
                flickers[contender.name].add(sources.thermal, visible, fused)
            except ValueError:  # the resolution changed: go on from here
                flickers[contender.name].interrupt()


def note_delay(seen: Trace, offline: Offline, step) -> None:
    """How long after its stamp a message was recorded: a constant difference is a clock offset."""
    stream = 'rgb' if step.topic == offline.topics.rgb else 'thermal'
    stamp = stamp_of(step.message.header) if step.message is not None else 0
    if stamp:
        seen.delays[stream].append((step.time - stamp) * 1e-9)


def describe(seen: Trace, offline: Offline, flicker: dict[str, float]) -> dict:
    """The ``sequence`` part of the results."""
    counters, gaps = offline.counters, [abs(entry['gap_ms']) for entry in seen.timeline]
    delays = {name: statistics.median(d) if d else None for name, d in seen.delays.items()}
    offset = None
    if None not in delays.values():
        offset = delays['thermal'] - delays['rgb']
    return {
        'duration': round(seen.end, 6),
        'pairs': counters.paired,
        'unpaired': dict(counters.unpaired),
        'resets': counters.resets,
        'duplicate': dict(counters.duplicate),
        'late': dict(counters.late),
        'refused': dict(offline.refused),
        'gap_ms': {
            'median': float(np.median(gaps)) if gaps else None,
            'p95': float(np.percentile(gaps, 95)) if gaps else None,
            'max': max(gaps) if gaps else None,
        },
        'stamp_delay_s': delays,
        'apparent_offset_s': offset,
        'flicker': flicker,
        'timeline': seen.timeline,
        'freezes': freezes(seen.timeline, offline.pipeline.freeze.after),
        'gaps': find_gaps([entry['time'] for entry in seen.timeline], seen.end),
        'times': seen.samples,
    }


def freezes(timeline: Sequence[dict], noticed_after: float) -> list[dict]:
    """Stretches in which the thermal image stood still. They are noticed only after a while."""
    found: list[dict] = []
    for before, entry in zip([None, *timeline], timeline, strict=False):
        if entry['frozen']:
            if before is None or not before['frozen']:
                start = round(max(0.0, entry['time'] - noticed_after), 6)
                found.append({'start': start, 'end': entry['time']})
            found[-1]['end'] = entry['time']
    return found


def find_gaps(times: Sequence[float], end: float) -> list[dict]:
    """Stretches without pairs that are long for this bag."""
    if len(times) < 2:
        return []
    usual = statistics.median(b - a for a, b in itertools.pairwise(times))
    least = max(_GAP, _SLOW * usual)
    edges = [0.0, *times, end]
    return [{'start': a, 'end': b} for a, b in itertools.pairwise(edges) if b - a > least]
