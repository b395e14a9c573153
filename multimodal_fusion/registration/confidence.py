"""Whether an alignment is to be believed: parts of the overlap asked one by one.

A wrong alignment may correlate as a whole; its parts would then each rather lie elsewhere. The
overlap is cut into 4x4 blocks, each block of the thermal image looks for itself within 6% of the
visible's diagonal, and the blocks that land within 1% vote for, each with its energy.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from .refine import Aligner

BLOCKS = 4  # by as many
REACH = 0.06  # of the visible's diagonal: how far a block looks
NEAR = 0.01  # of it: a block that lands within votes for the alignment
KNOWN = 0.5  # of a block that has to overlap
QUIET = 0.1  # of the mean energy of the blocks: one below has nothing to say


@dataclass(frozen=True)
class Vote:
    """share: of the energy of the blocks that land where the alignment says, 0 to 1. blocks: that
    had something to say. apart: px of the visible image, by which blocks that vote for it are off
    (median)."""

    share: float
    blocks: int
    apart: float


def vote(aligner: Aligner, matrix: np.ndarray) -> Vote:
    """matrix: thermal to visible pixels."""
    overlaps, _ = aligner.overlaps(matrix)
    height, width = aligner.size
    known = np.abs(overlaps[0].thermal[0]) > 0
    if known.sum() < 16 * BLOCKS**2:
        return Vote(0.0, 0, 0.0)
    rows, columns = (np.flatnonzero(known.any(axis)) for axis in (1, 0))
    reach = max(2, round(REACH * np.hypot(height, width)))
    near = max(1.0, NEAR * np.hypot(height, width))
    tops = np.linspace(rows[0], rows[-1] + 1, BLOCKS + 1).astype(int)
    lefts = np.linspace(columns[0], columns[-1] + 1, BLOCKS + 1).astype(int)
    found = []
    for y0, y1 in pairwise(tops):
        for x0, x1 in pairwise(lefts):
            if y1 - y0 < 6 or x1 - x0 < 6 or known[y0:y1, x0:x1].mean() < KNOWN:
                continue
            side = 2 * reach + 1
            scores, energy = np.zeros((side, side)), 0.0
            for shown, one in zip(aligner.visible, overlaps, strict=True):
                block = _planes(one.thermal[:, y0:y1, x0:x1])
                around = cv2.copyMakeBorder(
                    _planes(shown), reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0
                )[y0 : y1 + 2 * reach, x0 : x1 + 2 * reach]
                energy += float((block**2).sum())
                scores += _correlation(around, block)
            y, x = _peak(scores)
            found.append((energy, np.hypot(y - reach, x - reach)))
    if not found:
        return Vote(0.0, 0, 0.0)
    energies, distances = np.array(found).T
    loud = energies >= QUIET * energies.mean()
    energies, distances = energies[loud], distances[loud]
    good = distances <= near
    share = float(energies[good].sum() / energies.sum())
    apart = float(np.median(distances[good])) if good.any() else 0.0
    return Vote(share, len(energies), apart / float(aligner.to_work[0, 0]))


def _peak(scores: np.ndarray) -> tuple[float, float]:
    """Row and column of the largest, to a part of a pixel by parabolas."""
    y, x = (int(i) for i in np.unravel_index(int(np.argmax(scores)), scores.shape))
    place = [float(y), float(x)]
    for axis, line in enumerate((scores[:, x], scores[y])):
        i = (y, x)[axis]
        if 0 < i < len(line) - 1:
            low, top, high = line[i - 1 : i + 2]
            bend = low - 2 * top + high
            place[axis] += float(0.5 * (low - high) / bend) if bend < 0 else 0.0
    return place[0], place[1]


def _planes(channels: np.ndarray) -> np.ndarray:
    """complex64 (2, H, W) as float32 (H, W, 4)."""
    return np.ascontiguousarray(
        np.stack([p for c in channels for p in (c.real, c.imag)], -1), np.float32
    )


def _correlation(around: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Of a block with each place of what is around it, over the root of the energy there."""
    parts = [
        cv2.matchTemplate(np.ascontiguousarray(around[..., i]), block[..., i].copy(), cv2.TM_CCORR)
        for i in range(block.shape[-1])
    ]
    joint = np.sum(parts, axis=0)
    energy = cv2.boxFilter(
        (around**2).sum(-1), -1, block.shape[1::-1], normalize=False, anchor=(0, 0),
        borderType=cv2.BORDER_CONSTANT,
    )[: joint.shape[0], : joint.shape[1]]  # fmt: skip
    return joint / np.sqrt(np.maximum(energy, 0.05 * energy.max() + 1e-6))
