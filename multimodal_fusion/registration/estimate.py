"""How thermal pixels come to lie on visible pixels, from pictures of any scene, and whether to
believe it.

Coarse to fine: `search` tries scales, rotations and shifts; the best are refined as similarities,
then more freely; the parts of the overlap then vote on those that are left, and the best is taken
only if enough of them agree and nothing else explains the pictures as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import UserError
from .confidence import Vote, vote
from .features import grey
from .refine import Aligner
from .search import gap, search

Model = Literal['auto', 'similarity', 'affine', 'homography']
COARSE, FINE = 160, 320  # px, longer side of visible
FEW = 5  # frames that the search sees
FINALISTS = 5
MOVES = 0.08  # of the diagonal, at most, in refining
OTHER = 0.03  # of it: hypotheses that are not the same
SURE = 0.55  # share of the blocks' energy, where they are as many as `WHOLE`
FEWER = 0.04  # more of it for each block that is missing: few agree by chance more easily
LEAST_BLOCKS = 4
RIVAL, DOUBTED = 0.95, 0.8  # worth of the second over that of the first; unless most agree
MOST = 0.75
MANY = 5  # frames from which on a homography can be told
WHOLE = 12  # blocks with texture, out of 16, for a homography


@dataclass(frozen=True)
class Estimate:
    """matrix: 3x3, thermal to visible pixels. model: how free it was. vote: of the blocks. rival:
    worth of the next best explanation over its own, 0 to 1. residuals: of points, where it is by
    points: median and largest, px of the visible image. reason: why it is not to be believed, a
    sentence; empty if it is."""

    matrix: np.ndarray
    model: str
    score: float
    vote: Vote
    rival: float
    frames: int
    reason: str
    residuals: tuple[float, float] | None = None

    @property
    def sure(self) -> bool:
        return not self.reason

    def words(self) -> str:
        """How sure it is, and why."""
        points = ''
        if self.residuals is not None:
            median, most = self.residuals
            points = (
                f'its points are off by {median:.2f} pixels in the median, {most:.2f} at most; '
            )
        if not self.vote.blocks and points:
            return points.removesuffix('; ')
        share, blocks = f'{self.vote.share:.0%}', self.vote.blocks
        return (
            f'{points}{share} of the edges in {blocks} blocks agree on it (from '
            f'{asked(self.vote):.0%} on it is believed), they are off by {self.vote.apart:.1f} '
            f'pixels in the median, and the next best explanation is worth {self.rival:.0%} of it'
        )


def estimate(frames: Sequence[tuple[np.ndarray, np.ndarray]], model: Model = 'auto') -> Estimate:
    """frames: (visible, thermal) of one rig. visible: uint8 (H, W, 3) BGR or (H, W). thermal: uint8
    or uint16 (h, w), or false colour (h, w, 3). Raises UserError for sizes that change."""
    pairs = [(grey(visible), grey(thermal)) for visible, thermal in frames]
    sizes = {(visible.shape, thermal.shape) for visible, thermal in pairs}
    if len(sizes) != 1:
        raise UserError(
            f'a calibration needs frames of one size a camera, got {len(sizes)} different ones' if
            sizes else 'a calibration needs at least one pair of frames, got none'
        )  # fmt: skip
    few = [pairs[round(i)] for i in np.linspace(0, len(pairs) - 1, min(FEW, len(pairs)))]
    visible_size, thermal_size = sizes.pop()
    diagonal = float(np.hypot(*visible_size))
    rough, fine = Aligner(few, COARSE), Aligner(few, FINE)
    found = [rough.climb(h.matrix, 'similarity', MOVES * diagonal) for h in search(few)]
    found.sort(key=lambda one: -one[1])
    distinct: list[np.ndarray] = []
    for matrix, score in found:
        other = all(gap(matrix, m, thermal_size) > OTHER * diagonal for m in distinct)
        if score > 0 and other:
            distinct.append(matrix)
    free = 'similarity' if model == 'similarity' else 'affine'
    candidates = []
    for matrix in distinct[:FINALISTS]:
        for aligner in (rough, fine):
            matrix, score = aligner.climb(matrix, free, MOVES * diagonal)
        candidates.append((matrix, score, vote(fine, matrix)))
    if not candidates:
        nothing = Vote(0.0, 0, 0.0)
        reason = 'nothing in thermal looks like anything in RGB'
        return Estimate(np.eye(3), free, 0.0, nothing, 1.0, len(pairs), reason)
    candidates.sort(key=lambda one: -_worth(one[1], one[2]))
    matrix, score, voted = candidates[0]
    rivals = [
        _worth(s, v)
        for m, s, v in candidates[1:]
        if gap(m, matrix, thermal_size) > OTHER * diagonal
    ]
    rival = max(rivals, default=0.0) / max(_worth(score, voted), 1e-9)
    textured = len(pairs) >= MANY and voted.blocks >= WHOLE
    if model == 'homography' or (model == 'auto' and textured):
        free = 'homography'
    if len(pairs) > len(few) or free == 'homography':
        matrix, _ = Aligner(pairs, FINE).climb(matrix, free, MOVES * diagonal)
        voted = vote(fine, matrix)
    return Estimate(matrix, free, score, voted, rival, len(pairs), doubt(voted, rival))


def asked(voted: Vote) -> float:
    """The share from which on an alignment is believed."""
    return SURE + FEWER * max(0, WHOLE - voted.blocks)


def _worth(score: float, voted: Vote) -> float:
    return score * (0.2 + voted.share)


def doubt(voted: Vote, rival: float) -> str:
    more = 'give more frames, of scenes with edges that are warm and visible over the whole image'
    if voted.blocks < LEAST_BLOCKS:
        return f'only {voted.blocks} parts of the overlap have edges in both images; {more}'
    if voted.share < asked(voted):
        return (
            f'only {voted.share:.0%} of the edges in {voted.blocks} blocks agree on one place, '
            f'{asked(voted):.0%} are asked for; {more}'
        )
    if rival > (RIVAL if voted.share >= MOST else DOUBTED):
        return f'another place explains the pictures {rival:.0%} as well; {more}'
    return ''
