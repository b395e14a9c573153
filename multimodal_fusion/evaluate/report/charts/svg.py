"""The parts that every chart is drawn from: elements, scales and ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape


def tag(name: str, content: str = '', **attributes) -> str:
    """An element; `content` is markup, attribute values are escaped here.

    Attribute names: a trailing underscore is dropped, others become hyphens.  A value of None or
    False leaves the attribute out, True leaves out its value.
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.rstrip('_').replace('_', '-')
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            text = coordinate(value) if isinstance(value, float) else str(value)
            parts.append(f'{key}="{escape(text)}"')
    return f'<{" ".join(parts)}>{content}</{name}>'


def coordinate(value: float) -> str:
    """A pixel position with at most one decimal."""
    text = f'{value:.1f}'.removesuffix('.0')
    return '0' if text == '-0' else text


def path(points: Iterable[tuple[float, float]]) -> str:
    """The path data of a line through points."""
    return 'M' + 'L'.join(f'{coordinate(x)} {coordinate(y)}' for x, y in points)


def dots(points: Iterable[tuple[float, float]]) -> str:
    """The path data that draws a dot at each point, where the stroke has round ends."""
    return ''.join(f'M{coordinate(x)} {coordinate(y)}h0' for x, y in points)


def line(x1: float, y1: float, x2: float, y2: float, class_: str, **attributes) -> str:
    """A straight line."""
    return tag('path', d=path([(x1, y1), (x2, y2)]), class_=class_, **attributes)


def text(x: float, y: float, content: str, class_: str = '', **attributes) -> str:
    """A text; `content` is escaped here."""
    return tag('text', escape(content), x=float(x), y=float(y), class_=class_ or None, **attributes)


def drawing(width: float, height: float, label: str, content: str, **attributes) -> str:
    """An inline SVG of some size, described to those who can't see it by `label`."""
    return tag(
        'svg',
        content,
        viewBox=f'0 0 {coordinate(width)} {coordinate(height)}',
        width=float(width),
        role='img',
        aria_label=label,
        **attributes,
    )


@dataclass(frozen=True)
class Scale:
    """A mapping from values low..high to pixels start..end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @staticmethod
    def fit(
        values: Iterable[float], start: float, end: float, log: bool = False, pad: float = 0.04
    ) -> Scale:
        """A scale that some values fit in, with room on both sides."""
        values = [math.log10(value) if log else value for value in values]
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            room = 0.3 if log else max(abs(low) * 0.05, 1e-6)
        else:
            room = (high - low) * pad
        low, high = low - room, high + room
        return Scale(10**low, 10**high, start, end, True) if log else Scale(low, high, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high = (self.low, self.high)
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """About `count` round values on this scale with their labels."""
        if self.log:
            return _log_ticks(self.low, self.high)
        step = _round_step((self.high - self.low) / count)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        values = [index * step for index in range(first, last + 1)]
        return [(value, f'{value + 0.0:.{decimals}f}') for value in values]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        values = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in values if low <= value <= high]
        if len(inside) >= 4:
            break
    return [(value, f'{value:.6g}') for value in inside]
