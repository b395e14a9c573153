"""A calibration without a target: frames in, a registration and pictures to judge it by out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import UserError
from .confidence import Vote, vote
from .estimate import FEW, FINE, Estimate, Model, doubt, estimate
from .features import grey
from .intrinsics import Rig, SeenCamera, camera, rig
from .plane import through_plane
from .refine import Aligner
from .stored import Stored, grid
from .targets import TargetKind, same_way_up

Frames = Sequence[tuple[np.ndarray, np.ndarray]]
Matcher = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(visible, thermal), both uint8 (H, W): points of both, float (N, 2) each, x and y, in pixels."""
SQUARE = 16  # squares of a checkerboard over the width
LEAST_POINTS = 12
FITTING = 0.8  # share of a target's points
NEAR = 0.01  # of the diagonal: how far a match may be off


@dataclass(frozen=True)
class Calibration:
    """estimate: what was found. stored: it as a file."""

    estimate: Estimate
    stored: Stored


def calibrate(
    frames: Frames, model: Model = 'auto', matcher: Matcher | None = None, exact: bool = False
) -> Calibration:
    """frames: as for `estimate`; more of them make it surer. matcher: points to go by instead of
    the search; exact: they are of a target, so that they need no other judge. Raises UserError."""
    found = by_points(frames, matcher, exact) if matcher else estimate(frames, model)
    visible, thermal = frames[0]
    about: dict[str, Any] = {
        'made_by': 'multimodal_fusion calibrate',
        'model': found.model,
        'frames': found.frames,
    }
    if found.residuals is not None:
        about['residual_px'] = round(found.residuals[0], 2)
    if found.vote.blocks:
        about |= {
            'agreement': round(float(found.vote.share), 3),
            'blocks': found.vote.blocks,
            'median_error_px': round(float(found.vote.apart), 2),
            'rival': round(float(found.rival), 3),
        }
    sizes = [(image.shape[0], image.shape[1]) for image in (thermal, visible)]
    return Calibration(found, Stored(found.matrix, sizes[0], sizes[1], about))


def by_points(frames: Frames, matcher: Matcher, exact: bool) -> Estimate:
    """The homography of the points of all frames; those of a matcher are judged as any other
    alignment, those of a target by what is left over. Raises UserError."""
    pairs = [(grey(visible), grey(thermal)) for visible, thermal in frames]
    points: list[list[np.ndarray]] = [[], []]
    seen = 0
    for visible, thermal in pairs:
        both = [np.asarray(p, np.float64) for p in matcher(visible, thermal)]
        fits = all(p.ndim == 2 and p.shape[1] == 2 for p in both)
        if len(both) != 2 or not fits or len(both[0]) != len(both[1]):
            raise UserError(
                'a matcher must return points of visible and thermal, both (N, 2); got '
                f'{", ".join(str(p.shape) for p in both)}'
            )
        seen += bool(len(both[0]))
        for part, some in zip(points, both, strict=True):
            part.append(some)
    shown, warm = (np.concatenate(part) for part in points)
    if len(shown) < LEAST_POINTS:
        what = 'target was seen' if exact else 'matcher found something'
        raise UserError(
            f'the {what} in {seen} of {len(pairs)} frames, {len(shown)} points in all, and '
            f'{LEAST_POINTS} are needed: give frames that show more to both cameras'
        )
    limit = NEAR * float(np.hypot(*pairs[0][0].shape))
    matrix, good = cv2.findHomography(warm, shown, cv2.RANSAC, limit)
    if matrix is None:
        raise UserError('the points fit no homography: give frames with more of them, or no line')
    kept: np.ndarray = np.asarray(good).ravel() > 0
    places = cv2.perspectiveTransform(warm[:, None], matrix)[:, 0]
    off = np.hypot(*(places - shown).T)[kept]
    residuals = float(np.median(off)), float(off.max())
    model = f'homography of {kept.sum()} of {len(kept)} points'
    if exact:
        reason = ''
        if kept.mean() < FITTING:
            reason = (
                f'only {kept.mean():.0%} of the points lie within {limit:.1f} pixels of one plane: '
                'hold the target at one distance'
            )
        nothing = Vote(0.0, 0, 0.0)
        return Estimate(matrix, model, 0.0, nothing, 0.0, len(pairs), reason, residuals)
    voted = vote(Aligner(pairs[:FEW], FINE), matrix)
    reason = doubt(voted, 0.0)
    return Estimate(matrix, model, 0.0, voted, 0.0, len(pairs), reason, residuals)


@dataclass(frozen=True)
class CalibratedRig:
    """cameras: ``rgb`` and ``thermal``. rig: how they stand. stored: as a file, whose matrix is for
    the distance at which the target was held, and for straightened images."""

    cameras: dict[str, SeenCamera]
    rig: Rig
    stored: Stored

    def straightened(self, frames: Frames) -> Frames:
        lenses = {name: one.lens for name, one in self.cameras.items()}
        return [(lenses['rgb'].straighten(v), lenses['thermal'].straighten(t)) for v, t in frames]


def calibrate_rig(frames: Frames, target: TargetKind, square: float) -> CalibratedRig:
    """Lenses and pose from a target held near and far. square: m, as of `TargetKind.board`. Raises
    UserError where the frames do not tell."""
    board = target.board(square)
    assert target.size is not None
    views: dict[str, list[np.ndarray]] = {'rgb': [], 'thermal': []}
    both = []
    for pair in frames:
        greys = [grey(image) for image in pair]
        found = [target.view(image) for image in greys]
        for name, points in zip(views, found, strict=True):
            if points is not None:
                views[name].append(points)
        if found[0] is not None and found[1] is not None:
            both.append((found[0], same_way_up(found[0], found[1], target.size)))
    shapes = [image.shape[:2] for image in frames[0]]
    sizes = dict(zip(views, [(shape[0], shape[1]) for shape in shapes], strict=True))
    cameras = {name: camera(name, seen, board, sizes[name]) for name, seen in views.items()}
    found_rig = rig(cameras['thermal'], cameras['rgb'], both, board)
    matrix = through_plane(
        cameras['thermal'].lens, cameras['rgb'].lens, found_rig.pose, found_rig.distance
    )
    about = {
        'made_by': 'multimodal_fusion calibrate --intrinsics',
        'matrix_is_for': f'straightened images and {found_rig.distance:.2f} m',
        'views': found_rig.views,
        'agreeing': found_rig.agreeing,
        'residual_px': round(found_rig.error, 2),
    }
    stored = Stored(matrix, sizes['thermal'], sizes['rgb'], about, found_rig.pose)
    return CalibratedRig(cameras, found_rig, stored)


def before_and_after(
    visible: np.ndarray, thermal: np.ndarray, matrix: np.ndarray
) -> dict[str, np.ndarray]:
    """Pictures of one pair, uint8 (H, W): the visible image, the thermal one stretched over it and
    as registered, and checkerboards of both with the visible one."""
    seen, warm = grey(visible), grey(thermal)
    size = seen.shape[::-1]
    stretched = cv2.warpPerspective(warm, grid(warm.shape, seen.shape), size)
    registered = cv2.warpPerspective(warm, matrix, size)
    inside = cv2.warpPerspective(np.ones_like(warm), matrix, size, flags=cv2.INTER_NEAREST) > 0
    return {
        'visible': seen,
        'thermal': np.where(inside, registered, seen // 2).astype(np.uint8),
        'before': checkerboard(seen, stretched),
        'after': np.where(inside, checkerboard(seen, registered), seen).astype(np.uint8),
    }


def checkerboard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squares of both in turn: edges run on where they are aligned."""
    side = max(8, first.shape[1] // SQUARE)
    y, x = np.indices(first.shape) // side
    return np.where((x + y) % 2, first, second)


PAGE = """<!doctype html><meta charset="utf-8"><title>Calibration</title>
<style>body{{font:15px sans-serif;margin:2em;max-width:1100px}}img{{max-width:100%;display:none}}
img.on{{display:block}}button{{font:inherit;margin:0 .4em .6em 0;padding:.3em .8em}}</style>
<h1>Calibration</h1><p>{words}</p>
<p>{buttons}<label><input type="checkbox" id="flip"> flip visible and thermal</label></p>
{images}
<script>
const show=n=>document.querySelectorAll('img').forEach(i=>i.classList.toggle('on',i.id===n));
document.querySelectorAll('button').forEach(b=>b.onclick=()=>show(b.name));
let on=false;setInterval(()=>{{if(document.getElementById('flip').checked){{on=!on;
show((on?'visible':'thermal')+'-0')}}}},500);show('after-0');
</script>
"""


def write_pictures(
    folder: Path, frames: Frames, matrix: np.ndarray, words: str, count: int = 3
) -> list[Path]:
    """JPEGs of some frames and index.html to flip through, in a folder that is there; returns what
    was written. matrix: 3x3, thermal to visible pixels. words: of it, a sentence."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    written, buttons, images = [], [], []
    for number, index in enumerate(chosen):
        visible, thermal = frames[index]
        for name, picture in before_and_after(visible, thermal, matrix).items():
            path = folder / f'{name}-{number}.jpg'
            path.write_bytes(cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1])
            written.append(path)
            label = f'{name} {number + 1}'
            buttons.append(f'<button name="{name}-{number}">{label}</button>')
            images.append(f'<img id="{name}-{number}" src="{path.name}" alt="{label}">')
    page = folder / 'index.html'
    page.write_text(PAGE.format(words=words, buttons=''.join(buttons), images='\n'.join(images)))
    return [*written, page]
