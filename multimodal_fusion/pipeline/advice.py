"""What is wrong, in words: from figures of the streams to one sentence and what to do.

Live and offline alike; `health` holds the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .pairing import OTHER, STREAMS, SyncSettings
from .streams import StreamFigures

FEW = 0.02  # share of refused frames from which on it is told
MANY = 0.1  # share of frames lost otherwise
NEARLY_ALL = 0.95
_SURELY = 3  # frames, below which nothing is said of a share
_FUTURE = -0.05  # seconds: stamps that lie farther ahead of the clock come from another clock


NO_CLOCK = (
    'use_sim_time is true, but nobody publishes /clock: time stands still. Play the bag with '
    '--clock, or set use_sim_time to false'
)


def no_pairs(
    streams: Mapping[str, StreamFigures],
    patience: float,
    sync: SyncSettings,
    refused: Mapping[str, int],
    sentences: Mapping[str, str],
) -> str:
    """Why frames make no pairs. patience: seconds after which a stream counts as silent.

    refused, sentences: of frames since the last pair, by reason.
    """
    silent = [s for s in streams.values() if s.age is None or s.age > patience]
    if silent:
        hints = '; '.join(dict.fromkeys(s.hint for s in silent if s.hint)) or (
            'check that it is published under this name ("ros2 topic list", launch arguments), '
            'that its QoS fits (qos.reliability) and that large images get through '
            '(Fast DDS profile in docs/node.md)'
        )
        return f'Nothing comes on {" and ".join(s.topic for s in silent)}: {hints}'
    bad = {k: n for k, n in Counter(refused).most_common() if not k.startswith('pair')}
    if bad:
        counts = ', '.join(f'{reason} {n}' for reason, n in bad.items())
        first = sentences.get(next(iter(bad)), '')
        return f'Frames come but are refused ({counts}): {first or "see the warnings above"}'
    still = [s for s in streams.values() if s.stands_still]
    if still:
        return standing(still)
    return apart(streams['rgb'], streams['thermal'], sync)


def standing(streams: list[StreamFigures]) -> str:
    """The stamps do not move."""
    return '; '.join(
        f'the stamps of {s.name} stand still ({s.still} frames on {s.topic} carry the same one): '
        'let its driver stamp every frame, or leave stamps at 0 to pair by arrival'
        for s in streams
    )


def apart(rgb: StreamFigures, thermal: StreamFigures, sync: SyncSettings) -> str:
    """Both streams come, and their stamps lie apart: late, or by another clock."""
    offset, slop = sync.thermal_time_offset, sync.slop
    newest = (thermal.stamp - rgb.stamp) * 1e-9 + offset
    if abs(newest) > 3600:
        return (
            f'The stamps are {newest:.0f} s apart, so the cameras use different clocks: '
            'let both drivers stamp with ROS time, or set both to stamp 0'
        )
    gap = newest
    if rgb.delay is not None and thermal.delay is not None:
        gap = rgb.delay - thermal.delay + offset  # less moved by rates than the newest stamps
        for stream in (rgb, thermal):
            if stream.delay is not None and stream.delay < _FUTURE:
                return (
                    f'The stamps of {stream.name} lie {-stream.delay:.3f} s in the future, so its '
                    f'clock runs ahead: set sync.thermal_time_offset to {offset - gap:+.3f}, or '
                    'synchronize the clocks'
                )
        late = thermal if thermal.delay > rgb.delay else rgb
        if abs(gap) > max(sync.max_wait, slop):
            return (
                f'{late.name} arrives {late.delay:.1f} s after its stamps, and frames wait no '
                f'longer than sync.max_wait ({sync.max_wait:g} s): if its link or driver is that '
                f'slow, set sync.max_wait to {abs(gap) + 1:.1f}; if its clock runs behind, set '
                f'sync.thermal_time_offset to {offset - gap:+.3f}'
            )
    return (
        f'Both streams come, the newest stamps are {gap * 1e3:+.0f} ms apart '
        f'(thermal minus rgb, sync.slop is {slop * 1e3:.0f} ms): set '
        f'sync.thermal_time_offset to {offset - gap:+.3f} if that is constant, else raise '
        'sync.slop'
    )


def losses(
    recent: Counter[str],
    streams: Mapping[str, StreamFigures],
    sync: SyncSettings,
    sentences: Mapping[str, str],
    fusing: float | None = None,
) -> list[str]:
    """What is lost steadily, with its share and cause, the worst first.

    recent: what happened of late (or in a whole bag), by the names of `health`. fusing: seconds
    that a pair takes.
    """
    found: list[tuple[float, str]] = []

    def tell(count: int, total: int, least: float, sentence: str) -> None:
        share = count / max(total, 1)
        if count >= _SURELY and share >= least:
            found.append((share, f'{share:.0%} of {sentence}'))

    unfused = sum(n for key, n in recent.items() if key.startswith('unfused '))
    tried = unfused + recent['fused'] + recent['rgb alone']
    for key, count in recent.items():
        kind, _, reason = key.partition(' ')
        stage, why = reason.partition(' ')[0], sentences.get(reason, reason)
        if kind == 'refused':
            tell(count, recent[f'{stage} frames'], FEW, f'the {stage} frames are refused: {why}')
        elif kind == 'unfused':
            tell(count, tried, FEW, f'the pairs cannot be fused: {stage}: {why}')
    slow = f' (one takes {fusing * 1e3:.0f} ms, {1 / fusing:.2g} a second)' if fusing else ''
    tell(
        recent['replaced'],
        recent['pairs'] - recent['idle'],
        MANY,
        f'the pairs are overtaken by newer ones before they are fused{slow}: choose a faster model '
        '("models", "bench"), smaller images, more model.threads or model.provider cuda',
    )
    fewer = min(STREAMS, key=lambda name: recent[f'{name} frames'])
    for name in STREAMS:
        stream, frames = streams[name], recent[f'{name} frames']
        again = recent[f'{name} duplicate'] + recent[f'{name} late']
        if stream.stands_still:
            found.append((1.0, standing([stream])))
        else:
            tell(
                again,
                frames,
                MANY / 2,
                f'the {name} frames come twice or out of order: if a clock loops, set '
                'sync.reset_after below its loop; else look at the driver of '
                f'{stream.topic}',
            )
        if stream.missing >= MANY and frames >= _SURELY:
            lost = f', {stream.dropped} of them by the middleware' if stream.dropped else ''
            sentence = (
                f'the {name} frames are missing{lost} (their stamps leave gaps): large images need '
                "the Fast DDS profile in the driver's environment too (docs/node.md), or the "
                'driver skips'
            )
            found.append((stream.missing, f'{stream.missing:.0%} of {sentence}'))
        why = apart(streams['rgb'], streams['thermal'], sync)
        tell(
            recent[f'{name} waited'],
            frames,
            MANY / 2,
            f'the {name} frames waited too long for {OTHER[name]} (over sync.max_wait '
            f'{sync.max_wait:g} s or sync.max_bytes): {why}',
        )
    if recent['pairs']:
        tell(
            recent[f'{fewer} unpaired'],
            recent[f'{fewer} frames'],
            MANY,
            f'the {fewer} frames find no partner within sync.slop ({sync.slop * 1e3:.0f} ms)',
        )
    if recent['resets'] >= 3:
        found.append(
            (
                0.5,
                f'the clock jumped back {recent["resets"]} times: stamps of several clocks or '
                'publishers are mixed on one topic, or sync.reset_after is too short',
            )
        )
    return [sentence for _, sentence in sorted(found, key=lambda item: -item[0])]
