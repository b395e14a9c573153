"""What a collection comes to: by bag, hour and light, and what it cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .archive import Archive
from .stretches import Stretch, Survey


@dataclass
class _Sum:
    """Of a group: pairs, losses, and for each metric count, sum and sum of squares."""

    pairs: int = 0
    measured: int = 0
    lost: int = 0
    frozen: int = 0
    luma: float = 0.0
    seen: int = 0
    metrics: dict[str, list[float]] | None = None

    def add(self, columns: dict[str, np.ndarray], chosen: np.ndarray, names: list[str]) -> None:
        pair = chosen & (columns['kind'] == 'pair')
        self.pairs += int(pair.sum())
        self.lost += int((chosen & (columns['kind'] == 'lost')).sum())
        self.measured += int((pair & columns['measured']).sum())
        self.frozen += int((pair & columns['frozen']).sum())
        luma = columns['luma'][pair]
        luma = luma[~np.isnan(luma)]
        self.luma, self.seen = self.luma + float(math.fsum(luma)), self.seen + len(luma)
        self.metrics = self.metrics or {name: [0.0, 0.0, 0.0] for name in names}
        for name in names:
            values = columns[name][pair]
            values = values[~np.isnan(values)]
            total = self.metrics[name]
            total[0] += len(values)
            total[1] += math.fsum(values)
            total[2] += math.fsum(values * values)

    def told(self) -> dict[str, Any]:
        """Means, with half of a 95% interval by the normal law, pairs as if independent."""
        means = {}
        for name, (count, total, squares) in (self.metrics or {}).items():
            if count:
                mean = total / count
                spread = math.sqrt(max(0.0, squares / count - mean * mean) / count)
                means[name] = {'mean': mean, 'half': 1.96 * spread, 'count': int(count)}
        return {
            'pairs': self.pairs,
            'measured': self.measured,
            'lost': self.lost,
            'frozen': self.frozen,
            'luma': self.luma / self.seen if self.seen else None,
            'metrics': means,
        }


def summarise(archive: Archive, surveys: Sequence[Survey], stretches: Sequence[Stretch]) -> dict:
    """results.json: by bag, hour (UTC, of stamps) and light. Stretch after stretch, so that memory
    does not grow with the collection but by a row a bag."""
    names = archive.measuring.columns()
    whole, bags, hours, lights = _Sum(), dict[str, _Sum](), dict[str, _Sum](), dict[str, _Sum]()
    lost, unusable = Counter[str](), 0
    strips: dict[str, list[list[int]]] = {}
    for stretch, table in zip(_done(archive, stretches), archive.tables(stretches), strict=True):
        columns = {
            name: _array(table[name])
            for name in ('kind', 'measured', 'frozen', 'luma', 'light', 'stamp', *names)
        }
        everything = np.ones(len(columns['kind']), bool)
        whole.add(columns, everything, names)
        bags.setdefault(stretch.bag, _Sum()).add(columns, everything, names)
        pair = columns['kind'] == 'pair'
        hour = (columns['stamp'] // (3600 * 10**9)) % 24
        for value in np.unique(hour[pair]):
            hours.setdefault(f'{int(value):02d}', _Sum()).add(
                columns, pair & (hour == value), names
            )
        for value in ('night', 'dusk', 'day'):
            chosen = pair & (columns['light'] == value)
            if chosen.any():
                lights.setdefault(value, _Sum()).add(columns, chosen, names)
        facts = archive.facts(stretch)
        assert facts is not None
        lost.update(facts['facts']['lost'])
        unusable += facts['facts']['unusable']
        frames = sum(facts['facts']['frames'].values())
        strips.setdefault(stretch.bag, []).append(
            [stretch.number, frames, sum(facts['facts']['lost'].values())]
        )
    return {
        'bags': len(surveys),
        'left_out': {s.bag: s.reason for s in surveys if s.reason},
        'warnings': {s.bag: s.warning for s in surveys if s.warning},
        'hours': round(sum(s.duration for s in surveys) / 3600, 4),
        'stretches': len(stretches),
        'lost': dict(sorted(lost.items())),
        'pairs_unusable': unusable,
        'all': whole.told(),
        'by_bag': {bag: one.told() for bag, one in sorted(bags.items())},
        'by_hour': {hour: one.told() for hour, one in sorted(hours.items())},
        'by_light': {light: one.told() for light, one in lights.items()},
        'map': strips,
    }


def _done(archive: Archive, stretches: Sequence[Stretch]) -> list[Stretch]:
    return [s for s in stretches if archive.facts(s) is not None]


def _array(column: Any) -> np.ndarray:
    """A column as numpy: missing numbers are nan, missing truths False, missing stamps 0."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.fill_null(False)
    elif pa.types.is_integer(kind):
        column = column.fill_null(0)
    elif pa.types.is_string(kind):
        column = column.fill_null('')
    else:
        column = column.fill_null(math.nan)
    return column.to_numpy()


def costs(archive: Archive, stretches: Sequence[Stretch]) -> dict[str, float]:
    """Seconds of each stage, summed over stretches, and rates of a core."""
    total: Counter[str] = Counter()
    peak = 0.0
    for stretch in stretches:
        facts = archive.facts(stretch)
        if facts is not None:
            peak = max(peak, facts['cost'].pop('peak MB'))
            total.update(facts['cost'])
    seconds = total['total s'] or math.nan
    return {
        **{name: round(value, 3) for name, value in sorted(total.items())},
        'frames/s of a core': round(total['frames'] / seconds, 2),
        'MB/s of a core': round(total['MB'] / seconds, 2),
        'peak MB of a worker': round(peak, 1),
    }
