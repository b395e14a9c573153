"""Images in parts that overlap, for models that a whole image would take too much memory for."""

from collections.abc import Callable

import numpy as np

from ..host.progress import progress

OVERLAP = 64  # pixels, over which one tile fades into the next
LEAST = 4 * OVERLAP  # of a tile's side
Run = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""(visible, thermal) to fused and mask, or None."""


def tiled(run: Run, side: int) -> Run:
    """What fuses images whose sides are longer than ``side`` tile by tile, and others whole.

    side: pixels, at least `LEAST`, rounded down to a multiple of `OVERLAP`. Neighbours overlap by
    `OVERLAP` pixels, over which their weights rise and fall linearly, so that no seam is seen where
    they differ. A network that sees no farther than a fourth of that gives the very pixels of the
    whole image; one with attention over the whole image sees each tile by itself.
    """
    side -= side % OVERLAP

    def fuse(visible: np.ndarray, thermal: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if max(thermal.shape) <= side:
            return run(visible, thermal)
        sums: list[np.ndarray] = []
        weight = np.zeros(thermal.shape, np.float32)
        rows, columns = (_starts(length, side) for length in thermal.shape)
        corners = [(top, left) for top in rows for left in columns]
        for top, left in progress(corners, unit='tiles', inner=True):
            part = np.s_[top : top + side, left : left + side]
            found = [image for image in run(_cut(visible, part), _cut(thermal, part))
                     if image is not None]  # fmt: skip
            height, width = found[0].shape[:2]
            share = np.outer(
                _ramp(height, top > 0, top + height < thermal.shape[0]),
                _ramp(width, left > 0, left + width < thermal.shape[1]),
            )
            if not sums:
                sums = [np.zeros((*thermal.shape, *x.shape[2:]), np.float32) for x in found]
            for total, image in zip(sums, found, strict=True):
                total[part] += image * share.reshape(*share.shape, *[1] * (image.ndim - 2))
            weight[part] += share
        fused, *mask = (
            np.rint(total / weight.reshape(*weight.shape, *[1] * (total.ndim - 2))).astype(np.uint8)
            for total in sums
        )
        return fused, mask[0] if mask else None

    return fuse


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along an axis: at multiples of the overlap, on which the strides and the
    windows of networks fall as they do in the whole image. The last tile may be shorter."""
    starts = [0]
    while starts[-1] + side < length:
        starts.append(starts[-1] + side - OVERLAP)
    return starts


def _cut(image: np.ndarray, part: tuple[slice, slice]) -> np.ndarray:
    return np.ascontiguousarray(image[part])


def _ramp(length: int, before: bool, after: bool) -> np.ndarray:
    """Weights along an axis, float32: rising from a neighbour before and falling to one after.

    The outer fourth of the overlap, which sees the tile's own edge, counts nothing but a trace.
    """
    weights = np.ones(length, np.float32)
    edge, rise = OVERLAP // 4, OVERLAP - 2 * (OVERLAP // 4)
    slope = np.clip((np.arange(OVERLAP) - edge + 0.5) / rise, 1e-6, 1).astype(np.float32)
    if before:
        weights[:OVERLAP] *= slope
    if after:
        weights[-OVERLAP:] *= slope[::-1]
    return weights
