"""Images with boxes to train the detector on, from folders and from the synthetic road."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ...errors import UserError
from ...fusers.pair import check_pair
from ...io.box_files import Boxes, read_boxes, read_classes
from ...io.datasets import PairFiles, find_pairs, usable
from ...io.image_files import read_thermal, read_visible
from ...io.stems import Selection, StemList
from ...pipeline.preparation import Preparation
from ...scene import Scene
from .fingerprint import digest
from .pairs import ALL

CLASSES = ('person', 'car')
PAD = 114
SOURCES = ('machine', 'scene', 'human')
_LEAST_SIDE, _LEAST_PART = 3.0, 0.3  # of a box that is cut: pixels, and part of its area
_BLACK = 12  # grey levels that a black border of a JPEG may have


@dataclass(frozen=True)
class Sample:
    """A registered pair with boxes.

    visible: uint8 (H, W, 3) BGR. thermal: uint8 (H, W). boxes: float32 (M, 4), corners in pixels.
    labels: int64 (M,). judged: float32 (classes,), 0 for a class that is not labelled here.
    drawn: whether the pictures are a renderer's.
    """

    stem: str
    visible: np.ndarray
    thermal: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    judged: np.ndarray
    drawn: bool = False


@dataclass(frozen=True)
class Boxed:
    """Training samples by source, validation samples, and a sentence about them."""

    train: Mapping[str, list[Sample]]
    validation: list[Sample]
    description: str
    fingerprint: str

    def check(self, mixture: Mapping[str, float]) -> None:
        """Raises UserError if a mixture wants what is not there."""
        for name, share in mixture.items():
            if share and not self.train[name]:
                raise UserError(f'the mixture wants {name} boxes, and the data hold none')


def load_boxed(folder: Path, config, held_out: StemList, selection: Selection = ALL) -> Boxed:
    """Everything the detector is trained on. Raises UserError.

    folder: train/ and val/ with vis, ir, and boxes in labels (people's) or labels_pseudo (a
    machine's). config.more: further folders of vis, ir and labels (people's), perhaps with ignore.
    held_out: stems that are left out without a word, for reports of accuracy.
    selection: as in `load_folders`.
    """
    folder = Path(folder)

    def labelled(pairs: Sequence[PairFiles], part: Path, labels: str) -> list[Sample]:
        texts = {files: part / labels / f'{files.stem}.txt' for files in pairs}

        def read(files: PairFiles) -> Sample:
            persons = files.stem.startswith(tuple(config.persons_only))
            return read_sample(files, texts[files], persons)

        chosen = [f for f, text in texts.items() if text.is_file() and not held_out.holds(f.stem)]
        return usable(chosen, read, part)

    train, val = folder / 'train', folder / 'val'
    pairs = selection.choose(_pairs(train, 'labels', 'labels_pseudo'), train)
    human, machine = labelled(pairs, train, 'labels'), labelled(pairs, train, 'labels_pseudo')
    for more in map(Path, config.more):
        human += labelled(selection.leave_out(_pairs(more, 'labels'), more), more, 'labels')
    pairs = selection.leave_out(_pairs(val, 'labels_pseudo'), val)
    validation = labelled(pairs, val, 'labels_pseudo')
    first, many = config.scene_seed, config.scene_seeds
    scene = render_samples(range(first, first + many), config.scene_frames)
    unseen = max(1, many // 10)
    validation += render_samples(range(first + many, first + many + unseen), 8)
    sources = {'machine': machine, 'scene': scene, 'human': human}
    counts = ', '.join(
        f'{len(s)} {n} with {sum(len(x.boxes) for x in s)}' for n, s in sources.items()
    )
    samples = [sample for part in (*sources.values(), validation) for sample in part]
    names = ' and '.join(path.resolve().name for path in (train.parent, *map(Path, config.more)))
    return Boxed(
        sources,
        validation,
        f'{names}, images by who drew the boxes: {counts}',
        digest(x for s in samples for x in (s.stem, s.visible, s.thermal, s.boxes, s.labels)),
    )


def _pairs(folder: Path, *labels: str) -> list[PairFiles]:
    """The pairs of a folder that has these folders of boxes. Raises UserError."""
    for name in labels:
        if not (folder / name).is_dir():
            raise UserError(
                f'{folder / name} is missing: the detector is trained on train/ and val/ with vis, '
                'ir, and text files of boxes in labels (by people) and labels_pseudo (by a machine)'
            )
    return find_pairs(folder).pairs


def read_sample(files: PairFiles, text: Path, persons_only: bool) -> Sample:
    visible, thermal = read_visible(files.visible), read_thermal(files.thermal)
    if visible.ndim == 2:
        visible = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
    check_pair(visible, thermal)
    names = read_classes(text.parent)
    found = _boxes(text, thermal, names)
    unsure = text.parent.parent / 'ignore' / text.name
    for x0, y0, x1, y1 in _boxes(unsure, thermal, names).boxes if unsure.is_file() else ():
        part = np.s_[round(y0) : round(y1), round(x0) : round(x1)]
        visible[part] = thermal[part] = PAD  # what nobody could name is painted over
    judged = np.ones(len(CLASSES), np.float32)
    known = CLASSES[:1] if persons_only else CLASSES
    judged[len(known) :] = 0
    which = [i for i, label in enumerate(found.labels) if names[label] in known]
    boxes = found.boxes[which]
    labels = np.array([CLASSES.index(names[i]) for i in found.labels[which]], np.int64)
    x0, y0, x1, y1 = _lit(visible)
    boxes, keep = cut(boxes - np.float32((x0, y0, x0, y0)), x1 - x0, y1 - y0)
    visible, thermal = (np.ascontiguousarray(x[y0:y1, x0:x1]) for x in (visible, thermal))
    return Sample(files.stem, visible, thermal, boxes, labels[keep], judged)


def _boxes(text: Path, thermal: np.ndarray, names: Sequence[str]) -> Boxes:
    return read_boxes(text, *thermal.shape[::-1], len(names))


def _lit(visible: np.ndarray) -> tuple[int, int, int, int]:
    """The rectangle (x0, y0, x1, y1) inside of an image's black border; all of a dark image."""
    lit = visible.max(2) > _BLACK
    rows, columns = np.flatnonzero(lit.mean(1) > 0.05), np.flatnonzero(lit.mean(0) > 0.05)
    height, width = lit.shape
    if len(rows) < height // 2 or len(columns) < width // 2:
        return 0, 0, width, height
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def render_samples(seeds: Iterable[int], frames: int) -> list[Sample]:
    """Frames of synthetic night roads; every second one by a 14-bit camera and its range."""
    found, preparation = [], Preparation()
    for seed in seeds:
        bits = 14 if seed % 2 else 8
        scene = Scene(seed=seed, thermal_bits=bits, freeze_for=0)
        for t in np.random.default_rng(seed).uniform(0, 200, frames):
            counts, boxes = scene.thermal(t), scene.boxes(t)
            corners = np.float32([(b.x0, b.y0, b.x1, b.y1) for b in boxes]).reshape(-1, 4)
            found.append(
                Sample(
                    f'scene_{seed}_{t:.2f}',
                    scene.visible(t),
                    preparation.still(counts, counts.shape),
                    corners,
                    np.array([CLASSES.index(b.label) for b in boxes], np.int64),
                    np.ones(len(CLASSES), np.float32),
                    drawn=True,
                )
            )
    return found


def cut(boxes: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (M, 4) clipped to an image, and which of them enough is left of, bool (M,)."""
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    clipped = np.clip(boxes, 0, np.float32((width, height) * 2))
    sides = clipped[:, 2:] - clipped[:, :2]
    keep = (sides.min(1, initial=np.inf) >= _LEAST_SIDE) & (sides.prod(1) >= _LEAST_PART * area)
    return clipped[keep], keep
