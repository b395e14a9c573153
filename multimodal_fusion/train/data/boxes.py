"""Images with boxes to train the detector on, from folders and from the synthetic road."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ...errors import UserError
from ...fusers.classical import average
from ...fusers.fuser import Fuser
from ...fusers.pair import check_pair, return_colour
from ...io.box_files import read_boxes
from ...io.datasets import PairFiles, find_pairs, usable
from ...io.image_files import read_thermal, read_visible
from ...io.pixels import luma
from ...io.stems import Selection, StemList
from ...pipeline.preparation import Preparation
from ...scene import Scene
from ..losses.detection import Target
from .fingerprint import digest
from .pairs import ALL

CLASSES = ('person', 'car')
LEARNED = ('mmdrfuse', 'mmdrfuse_plus')
VIEWS = ('visible', 'thermal', 'average', 'max', *LEARNED)
PAD = 114
SOURCES = ('machine', 'scene', 'human')
_LEAST_SIDE, _LEAST_PART = 3.0, 0.3  # of a box that a crop cuts: pixels, and part of its area


@dataclass(frozen=True)
class Sample:
    """A registered pair with boxes.

    visible: uint8 (H, W, 3) BGR. thermal: uint8 (H, W). lumas: by learned fuser, uint8 (H, W).
    boxes: float32 (M, 4), corners in pixels. labels: int64 (M,). judged: float32 (classes,), 0 for
    a class that is not labelled here.
    """

    stem: str
    visible: np.ndarray
    thermal: np.ndarray
    lumas: Mapping[str, np.ndarray]
    boxes: np.ndarray
    labels: np.ndarray
    judged: np.ndarray

    def view(self, name: str, share: float = 0.5) -> np.ndarray:
        """What a detector may be given, uint8 (H, W, 3) BGR. share: thermal's in ``average``."""
        if name == 'visible':
            return self.visible
        if name == 'thermal':
            return cv2.cvtColor(self.thermal, cv2.COLOR_GRAY2BGR)
        grey = luma(self.visible)
        if name in self.lumas:
            fused = self.lumas[name]
        elif name == 'max':
            fused = cv2.max(self.thermal, grey)
        elif share == 0.5:
            fused = average(self.thermal, grey)
        else:
            fused = cv2.addWeighted(self.thermal, share, grey, 1 - share, 0)
        return return_colour(self.visible, grey, fused)


@dataclass(frozen=True)
class Boxed:
    """Training samples by source, validation samples, and a sentence about them."""

    train: Mapping[str, list[Sample]]
    validation: list[Sample]
    description: str
    fingerprint: str


def load_boxed(folder: Path, config, held_out: StemList, selection: Selection = ALL) -> Boxed:
    """Everything the detector is trained on. Raises UserError.

    folder: train/ and val/ with vis, ir, and boxes in labels (people's) or labels_pseudo (a
    machine's). held_out: stems that are left out without a word, for reports of accuracy.
    selection: as in `load_folders`.
    """
    folder = Path(folder)
    fusers = [Fuser.load(name) for name in LEARNED]

    def labelled(pairs: Sequence[PairFiles], part: Path, labels: str) -> list[Sample]:
        texts = {files: part / labels / f'{files.stem}.txt' for files in pairs}

        def read(files: PairFiles) -> Sample:
            persons = files.stem.startswith(tuple(config.persons_only))
            return _read(files, texts[files], fusers, persons)

        chosen = [f for f, text in texts.items() if text.is_file() and not held_out.holds(f.stem)]
        return usable(chosen, read, part)

    train, val = folder / 'train', folder / 'val'
    pairs = selection.choose(_pairs(train, 'labels', 'labels_pseudo'), train)
    human, machine = labelled(pairs, train, 'labels'), labelled(pairs, train, 'labels_pseudo')
    pairs = selection.leave_out(_pairs(val, 'labels_pseudo'), val)
    validation = labelled(pairs, val, 'labels_pseudo')
    first, many = config.scene_seed, config.scene_seeds
    scene = _scenes(range(first, first + many), config.scene_frames, fusers)
    unseen = max(1, many // 10)
    validation += _scenes(range(first + many, first + many + unseen), 8, fusers)
    sources = {'machine': machine, 'scene': scene, 'human': human}
    counts = ', '.join(
        f'{len(s)} {n} with {sum(len(x.boxes) for x in s)}' for n, s in sources.items()
    )
    samples = [sample for part in (*sources.values(), validation) for sample in part]
    return Boxed(
        sources,
        validation,
        f'{folder.resolve().name}/train, images by who drew the boxes: {counts}',
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


def _read(files: PairFiles, text: Path, fusers: list[Fuser], persons_only: bool) -> Sample:
    visible, thermal = read_visible(files.visible), read_thermal(files.thermal)
    if visible.ndim == 2:
        visible = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
    check_pair(visible, thermal)
    found = read_boxes(text, *thermal.shape[::-1], len(CLASSES))
    judged = np.ones(len(CLASSES), np.float32)
    keep = np.ones(len(found), bool)
    if persons_only:
        judged[1:], keep = 0, found.labels == 0
    return _sample(
        files.stem, visible, thermal, fusers, found.boxes[keep], found.labels[keep], judged
    )


def _scenes(seeds: Iterable[int], frames: int, fusers: list[Fuser]) -> list[Sample]:
    """Frames of synthetic night roads; every second one by a 14-bit camera and its range."""
    found, preparation = [], Preparation()
    for seed in seeds:
        bits = 14 if seed % 2 else 8
        scene = Scene(seed=seed, thermal_bits=bits, freeze_for=0)
        for t in np.random.default_rng(seed).uniform(0, 200, frames):
            counts, boxes = scene.thermal(t), scene.boxes(t)
            thermal = preparation.still(counts, counts.shape)
            corners = np.float32([(b.x0, b.y0, b.x1, b.y1) for b in boxes]).reshape(-1, 4)
            labels = np.array([CLASSES.index(b.label) for b in boxes], np.int64)
            found.append(
                _sample(
                    f'scene_{seed}_{t:.2f}',
                    scene.visible(t),
                    thermal,
                    fusers,
                    corners,
                    labels,
                    np.ones(len(CLASSES), np.float32),
                )
            )
    return found


def _sample(stem, visible, thermal, fusers, boxes, labels, judged) -> Sample:
    grey = luma(visible)
    lumas = {fuser.name: fuser.fuse(grey, thermal) for fuser in fusers}
    return Sample(stem, visible, thermal, lumas, boxes, labels, judged)


class BoxedCrops:
    """Batches of square crops, each of a random view of a random sample.

    ``crops(step)`` depends on the seed, the process and the step alone, so that a resumed run goes
    on with the very batches it would have had.
    """

    def __init__(self, data: Boxed, how, batch: int, seed: int, rank: int = 0):
        """how: settings of the method ``detector``."""
        self.train, self.how, self.batch = data.train, how, batch
        self.key = (seed,) if rank == 0 else (seed, rank)
        for mix in (how.before, how.after):
            for name, share in mix.items():
                if share and not data.train[name]:
                    raise UserError(f'the mixture wants {name} boxes, and the data hold none')

    def __call__(self, step: int) -> tuple[Tensor, list[Target]]:
        """Images (N, 3, side, side), RGB in [0, 1], and what they show."""
        random = np.random.default_rng((*self.key, step))
        mix = self.how.before if step < self.how.finish else self.how.after
        shares = np.array([mix[name] for name in SOURCES])
        images, targets = [], []
        for _ in range(self.batch):
            source = SOURCES[random.choice(len(SOURCES), p=shares / shares.sum())]
            samples = self.train[source]
            image, target = self._crop(samples[random.integers(len(samples))], random)
            images.append(image)
            targets.append(target)
        return to_tensor(np.stack(images)), targets

    def _crop(self, sample: Sample, random: np.random.Generator) -> tuple[np.ndarray, Target]:
        c = self.how
        image = sample.view(VIEWS[random.integers(len(VIEWS))], random.uniform(0.3, 0.7))
        zoom = c.long_side / max(image.shape[:2])
        zoom *= np.exp(random.uniform(np.log(c.zoom_out), np.log(c.zoom_in)))
        height, width = (max(1, round(n * zoom)) for n in image.shape[:2])
        image = cv2.resize(image, (width, height))
        boxes = sample.boxes * np.float32(zoom)
        # Half of the crops are around a box, so that small images of many boxes don't rule.
        focus = random.uniform((0, 0), (width, height))
        if len(boxes) and random.random() < 0.5:
            some = boxes[random.integers(len(boxes))]
            focus = (some[:2] + some[2:]) / 2 + random.uniform(-0.4, 0.4, 2) * c.side
        left, top = (
            _offset(n, c.side, f, random) for n, f in zip((width, height), focus, strict=True)
        )
        canvas = np.full((c.side, c.side, 3), PAD, np.uint8)
        y, x = max(0, -top), max(0, -left)
        part = image[max(0, top) : top + c.side, max(0, left) : left + c.side]
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = self._light(part, random)
        boxes, keep = _cut(boxes - np.float32((left, top, left, top)), c.side)
        if random.integers(2):
            canvas = canvas[:, ::-1]
            boxes = np.stack(
                (c.side - boxes[:, 2], boxes[:, 1], c.side - boxes[:, 0], boxes[:, 3]), 1
            )
        return canvas, make_target(boxes, sample.labels[keep], sample.judged)

    def _light(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Another gain, gamma and amount of noise; sometimes without colour."""
        c = self.how
        gain, gamma = np.exp(random.uniform(-1, 1, 2) * np.log((c.gain, c.gamma)))
        table = 255 * np.clip(gain * (np.arange(256) / 255) ** gamma, 0, 1)
        image = cv2.LUT(image, table.astype(np.uint8))
        if random.random() < 0.1:
            image = cv2.cvtColor(luma(image), cv2.COLOR_GRAY2BGR)
        if random.random() < 0.3:
            noise = random.normal(0, random.uniform(0, c.noise), image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return image


def _offset(length: int, side: int, focus: float, random: np.random.Generator) -> int:
    """Where a crop begins: around the focus but inside; a shorter image lies anywhere in it."""
    if length <= side:
        return -int(random.integers(side - length + 1))
    return int(np.clip(round(focus - side / 2), 0, length - side))


def _cut(boxes: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes clipped to the crop, and which of them enough is left of."""
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    clipped = np.clip(boxes, 0, side)
    sides = clipped[:, 2:] - clipped[:, :2]
    keep = (sides.min(1, initial=np.inf) >= _LEAST_SIDE) & (sides.prod(1) >= _LEAST_PART * area)
    return clipped[keep], keep


def make_target(boxes: np.ndarray, labels: np.ndarray, judged: np.ndarray) -> Target:
    return Target(
        torch.from_numpy(np.ascontiguousarray(boxes)),
        torch.from_numpy(np.ascontiguousarray(labels)),
        torch.from_numpy(judged),
    )


def to_tensor(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) BGR to float (N, 3, H, W), RGB in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images[..., ::-1]))
    return pixels.permute(0, 3, 1, 2).float().div_(255)  # a channels-last view: what is fast here


def whole(sample: Sample, view: str, side: int) -> tuple[np.ndarray, Target]:
    """A whole image scaled into the top left of a square, grey around it, and its boxes."""
    image = sample.view(view)
    zoom = side / max(image.shape[:2])
    height, width = (max(1, round(n * zoom)) for n in image.shape[:2])
    canvas = np.full((side, side, 3), PAD, np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height))
    return canvas, make_target(sample.boxes * np.float32(zoom), sample.labels, sample.judged)
