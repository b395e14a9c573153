"""How a stream is, in one word, that does not flicker: a pure state machine."""

from __future__ import annotations

from dataclasses import dataclass, field

STATES = ('OK', 'LATE', 'STALE', 'MISMATCHED', 'FROZEN', 'SILENT')
"""From good to bad.

LATE: the next frame is overdue (four of its periods, 0.25 s at least). STALE: frames come, and what
they show is older than ``stall.timeout``, or their stamps stand still. MISMATCHED: frames come that
make no pairs or cannot be fused. FROZEN: they repeat one image. SILENT: none for ``stall.timeout``.
"""
WORDS = {
    'LATE': 'is late',
    'STALE': 'shows what is long past, or its stamps stand still',
    'MISMATCHED': 'cannot be paired or fused',
    'FROZEN': 'image is frozen (shutter calibration?)',
    'SILENT': 'is silent',
}
_AT_ONCE = ('SILENT', 'FROZEN')
CALM = 1.0
"""Seconds that things must be better before LATE, STALE and MISMATCHED are taken back."""


@dataclass(frozen=True)
class Signs:
    """What is seen of a stream at a moment; each is true from its own threshold on."""

    late: bool = False
    stale: bool = False
    mismatched: bool = False
    frozen: bool = False
    silent: bool = False

    def worst(self) -> str:
        seen = (True, self.late, self.stale, self.mismatched, self.frozen, self.silent)
        return next(s for s, so in reversed(list(zip(STATES, seen, strict=True))) if so)


@dataclass
class StreamState:
    """The state of one stream, from signs in the order of time.

    It gets worse at once, and leaves SILENT and FROZEN at once: life is back. From the others it
    gets better only when nothing as bad was seen for `CALM`. since: when the state began, by the
    caller's clock.
    """

    state: str = 'OK'
    since: float = 0.0
    _bad: float = field(default=0.0, repr=False)  # when the state was last confirmed

    def update(self, signs: Signs, now: float) -> str:
        """now: seconds of any clock; a step back counts as calm."""
        seen, rank = signs.worst(), STATES.index
        better = rank(seen) < rank(self.state)
        if better and self.state not in _AT_ONCE and 0 <= now - self._bad < CALM:
            return self.state
        self._bad = now
        if seen != self.state:
            self.state, self.since = seen, now
        return self.state
