"""A time line to look at with Rerun: both cameras, the fused image, boxes, gaps and what was lost.

rerun-sdk is optional: ``pip install '.[rerun]'``.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..detect.detection import Detection
from ..errors import UserError
from ..io import messages
from .frames import stamp_of
from .offline import Offline, Step
from .pairing import Pair

QUALITY = 80  # of the JPEGs
MISSING = 'a time line needs rerun-sdk: pip install rerun-sdk'


class Timeline:
    """Writes an .rrd file. Stamps are nanoseconds. Raises UserError without rerun-sdk."""

    def __init__(self, path: Path):
        try:
            import rerun
            import rerun.blueprint as blueprint
        except ImportError:
            raise UserError(MISSING) from None
        self._rerun, self._counts = rerun, dict[str, int]()
        self._out = rerun.RecordingStream('multimodal_fusion')
        try:
            self._out.save(str(path))
        except Exception as error:  # its own types, such as of a folder that is not there
            raise UserError(f'{path} cannot be written: {error}') from error
        images = [blueprint.Spatial2DView(origin=name) for name in ('rgb', 'thermal', 'fused')]
        told = blueprint.Horizontal(
            blueprint.TimeSeriesView(origin='gap_ms'), blueprint.TextLogView(origin='events')
        )
        rows = blueprint.Vertical(blueprint.Horizontal(*images), told, row_shares=[3, 1])
        self._out.send_blueprint(blueprint.Blueprint(rows, collapse_panels=True))

    def image(self, name: str, stamp: int, pixels: np.ndarray) -> None:
        """name: ``rgb``, ``thermal`` or ``fused``. pixels: uint8 or uint16, (H, W) or (H, W, 3)."""
        if pixels.dtype == np.uint16:
            low, high = np.percentile(pixels[::4, ::4], (1, 99.5))
            scale = 255.0 / max(high - low, 1.0)
            pixels = cv2.convertScaleAbs(np.maximum(pixels, low) - low, alpha=scale)
        self._at(stamp)
        image: Any = self._rerun.Image
        model = 'L' if pixels.ndim == 2 else 'BGR'
        self._out.log(name, image(pixels, model).compress(jpeg_quality=QUALITY))

    def boxes(self, stamp: int, found: Iterable[Detection]) -> None:
        """Of the fused image; none take away those before."""
        found = list(found)
        self._at(stamp)
        corners = [((d.x0, d.y0), (d.x1 - d.x0, d.y1 - d.y0)) for d in found]
        mins, sizes = (np.reshape([c[i] for c in corners], (-1, 2)) for i in (0, 1))
        labels = [f'{d.label} {d.score:.2f}' for d in found]
        self._out.log('fused/boxes', self._rerun.Boxes2D(mins=mins, sizes=sizes, labels=labels))

    def gap(self, stamp: int, nanoseconds: int) -> None:
        """Thermal minus RGB, of a pair."""
        self._at(stamp)
        self._out.log('gap_ms', self._rerun.Scalars(nanoseconds * 1e-6))

    def event(self, stamp: int, text: str, level: str = 'WARN') -> None:
        self._at(stamp)
        self._out.log('events', self._rerun.TextLog(text, level=level))

    def step(self, step: Step, offline: Offline) -> None:
        """A message of a bag was taken, and what became of others by it."""
        name = {offline.topics.rgb: 'rgb', offline.topics.thermal: 'thermal'}.get(step.topic)
        if name is None:
            return
        stamp = step.time
        if step.message is not None:
            stamp = stamp_of(step.message.header) or stamp
            read: Any = messages.read_visible if name == 'rgb' else messages.read_thermal
            with suppress(UserError):  # it is among the refused
                self.image(name, stamp, read(step.message, offline.settings.input.max_pixels))
        for what, count in self._lost(offline).items():
            if more := count - self._counts.get(what, 0):
                self._counts[what] = count
                self.event(stamp, f'{what}: {more}' if more > 1 else what)

    def pair(self, pair: Pair, fused: np.ndarray | None, found: Iterable[Detection] = ()) -> None:
        """A pair was made; fused: None where nothing came of it."""
        self.gap(pair.rgb_stamp, pair.gap)
        if fused is None:
            self.event(pair.rgb_stamp, 'a pair was not fused')
            return
        self.image('fused', pair.rgb_stamp, fused)
        self.boxes(pair.rgb_stamp, found)

    def close(self) -> None:
        self._out.flush()
        self._out.disconnect()

    def _at(self, stamp: int) -> None:
        self._out.set_time('stamp', timestamp=stamp * 1e-9)

    @staticmethod
    def _lost(offline: Offline) -> dict[str, int]:
        counters = offline.counters
        kinds = {
            'without a partner': counters.unpaired,
            'twice': counters.duplicate,
            'too late': counters.late,
            'waited too long': counters.waited,
        }
        lost = {f'{name} {what}': n[name] for what, n in kinds.items() for name in n}
        lost |= {f'refused: {reason}': n for reason, n in offline.refused.items()}
        return lost | {'the clock jumped back': counters.resets}
