"""Batches for the detector: square crops of pairs, spoilt and added to, in one of many views."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ...fusers.classical import average
from ...fusers.fuser import Fuser
from ...fusers.pair import return_colour
from ...io.pixels import luma
from ..losses.detection import Target
from .boxes import PAD, SOURCES, Boxed, Sample, cut
from .pasted import Objects
from .soft_boxes import SoftBoxes

LEARNED = ('mmdrfuse', 'mmdrfuse_plus', 'mmdrfuse_pyramid')
VIEWS = ('visible', 'thermal', 'average', 'max', *LEARNED)


class Views:
    """What a detector may be given of a registered pair."""

    def __init__(self):
        self._fusers = {name: Fuser.load(name) for name in LEARNED}

    def __call__(
        self, visible: np.ndarray, thermal: np.ndarray, name: str, share: float = 0.5
    ) -> np.ndarray:
        """visible: uint8 (H, W, 3) BGR. thermal: uint8 (H, W). share: thermal's in ``average``.
        Returns uint8 (H, W, 3) BGR.
        """
        if name == 'visible':
            return visible
        if name == 'thermal':
            return cv2.cvtColor(thermal, cv2.COLOR_GRAY2BGR)
        if name in self._fusers:
            return self._fusers[name].fuse(visible, thermal)
        grey = luma(visible)
        if name == 'max':
            fused = cv2.max(thermal, grey)
        elif share == 0.5:
            fused = average(thermal, grey)
        else:
            fused = cv2.addWeighted(thermal, share, grey, 1 - share, 0)
        return return_colour(visible, grey, fused)


class BoxedCrops:
    """Batches of square crops, each of a random view of a random sample.

    ``crops(step)`` depends on the seed, the process and the step alone, so that a resumed run goes
    on with the very batches it would have had.
    """

    def __init__(
        self,
        data: Boxed,
        how,
        batch: int,
        seed: int,
        rank: int = 0,
        objects: Objects | None = None,
        teacher: SoftBoxes | None = None,
    ):
        """how: settings of the method ``detector``. objects: are pasted into half of the crops of
        photographs. teacher: says what it sees in the view and in the average of the two.

        Raises UserError.
        """
        self.train, self.how, self.batch = data.train, how, batch
        self.objects, self.teacher, self.view = objects, teacher, Views()
        self.key = (seed,) if rank == 0 else (seed, rank)
        for mix in (how.before, how.after):
            data.check(mix)

    def __call__(self, step: int) -> tuple[Tensor, list[Target]]:
        """Images (N, 3, side, side), RGB in [0, 1], and what they show."""
        random = np.random.default_rng((*self.key, step))
        mix = self.how.before if step < self.how.finish else self.how.after
        shares = np.array([mix[name] for name in SOURCES])
        crops = []
        for _ in range(self.batch):
            source = SOURCES[random.choice(len(SOURCES), p=shares / shares.sum())]
            samples = self.train[source]
            crops.append(self._crop(samples[random.integers(len(samples))], random))
        images, clear, found = zip(*crops, strict=True)
        soft: Sequence[Tensor | None] = [None] * self.batch
        if self.teacher is not None:
            soft = self.teacher(clear)
        targets = [
            make_target(*of, None if drawn else seen)
            for (*of, drawn), seen in zip(found, soft, strict=True)
        ]
        return to_tensor(np.stack(images)), targets

    def _crop(self, sample: Sample, random: np.random.Generator):
        """A view (side, side, 3), the clear views for the teacher, and what they show."""
        c = self.how
        visible, thermal = sample.visible, sample.thermal
        zoom = c.long_side / max(thermal.shape)
        zoom *= np.exp(random.uniform(np.log(c.zoom_out), np.log(c.zoom_in)))
        height, width = (max(1, round(n * zoom)) for n in thermal.shape)
        boxes = sample.boxes * np.float32(zoom)
        # Half of the crops are around a box, so that small images of many boxes don't rule.
        focus = random.uniform((0, 0), (width, height))
        if len(boxes) and random.random() < 0.5:
            some = boxes[random.integers(len(boxes))]
            focus = (some[:2] + some[2:]) / 2 + random.uniform(-0.4, 0.4, 2) * c.side
        left, top = (
            _offset(n, c.side, f, random) for n, f in zip((width, height), focus, strict=True)
        )
        move = np.float32([[zoom, 0, (zoom - 1) / 2 - left], [0, zoom, (zoom - 1) / 2 - top]])
        grey = (PAD,) * 3
        pair = [
            cv2.warpAffine(image, move, (c.side, c.side), borderValue=grey)
            for image in (visible, thermal)
        ]
        boxes, keep = cut(boxes - np.float32((left, top, left, top)), c.side, c.side)
        labels = sample.labels[keep]
        if self.objects is not None and not sample.drawn and random.random() < 0.5:
            boxes, labels = self.objects.paste(*pair, boxes, labels, sample.judged, random)
        if random.integers(2):
            pair = [np.ascontiguousarray(image[:, ::-1]) for image in pair]
            boxes = np.stack(
                (c.side - boxes[:, 2], boxes[:, 1], c.side - boxes[:, 0], boxes[:, 3]), 1
            )
        name, share = VIEWS[random.integers(len(VIEWS))], random.uniform(0.3, 0.7)
        clear = []
        if self.teacher is not None and not sample.drawn:
            clear = [self.view(*pair, view) for view in (name, 'average')]
        image = self.view(*(self._light(image, random) for image in pair), name, share)
        if random.random() < 0.1:
            image = cv2.cvtColor(luma(image), cv2.COLOR_GRAY2BGR)
        return image, clear, (boxes, labels, sample.judged, sample.drawn)

    def _light(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Another gain, gamma, sharpness and amount of noise, of one spectrum."""
        c = self.how
        gain, gamma = np.exp(random.uniform(-1, 1, 2) * np.log((c.gain, c.gamma)))
        table = 255 * np.clip(gain * (np.arange(256) / 255) ** gamma, 0, 1)
        image = cv2.LUT(image, table.astype(np.uint8))
        if random.random() < 0.2:
            image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.2))
        if random.random() < 0.3:
            noise = random.normal(0, random.uniform(0, c.noise), image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return image


def _offset(length: int, side: int, focus: float, random: np.random.Generator) -> int:
    """Where a crop begins: around the focus but inside; a shorter image lies anywhere in it."""
    if length <= side:
        return -int(random.integers(side - length + 1))
    return int(np.clip(round(focus - side / 2), 0, length - side))


def make_target(
    boxes: np.ndarray, labels: np.ndarray, judged: np.ndarray, soft: Tensor | None = None
) -> Target:
    return Target(
        torch.from_numpy(np.ascontiguousarray(boxes)),
        torch.from_numpy(np.ascontiguousarray(labels)),
        torch.from_numpy(judged),
        soft,
    )


def to_tensor(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) BGR to float (N, 3, H, W), RGB in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images[..., ::-1]))
    return pixels.permute(0, 3, 1, 2).float().div_(255)  # a channels-last view: what is fast here


def whole(image: np.ndarray, sample: Sample, side: int) -> tuple[np.ndarray, Target]:
    """A view of a sample scaled into the top left of a square, grey around it, and its boxes."""
    zoom = side / max(image.shape[:2])
    height, width = (max(1, round(n * zoom)) for n in image.shape[:2])
    canvas = np.full((side, side, 3), PAD, np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height))
    return canvas, make_target(sample.boxes * np.float32(zoom), sample.labels, sample.judged)
