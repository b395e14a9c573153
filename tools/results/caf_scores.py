"""What the tables of the loss search measure, on images that nothing was trained or chosen on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from multimodal_fusion.detect.segmentation import SegmentationModel
from multimodal_fusion.evaluate import detection, segmentation
from multimodal_fusion.evaluate.average_precision import Truth
from multimodal_fusion.evaluate.average_precision import score as average_precision
from multimodal_fusion.evaluate.metrics import SourcePair, Triple, evaluate
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.io.datasets import PairFiles, find_pairs
from multimodal_fusion.io.image_files import read_thermal, read_visible
from multimodal_fusion.io.mask_files import read_mask
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.io.stems import StemList
from multimodal_fusion.pipeline.preparation import Preparation

SIDE = 320
METRICS = ('MI', 'VIF', 'Qabf', 'SSIM', 'KC')
EVERY = 4  # of the pairs of ivif_test
Images = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Held:
    """pairs: for the metrics. boxed, masked: by stem, with their truths. All (visible, thermal)."""

    pairs: list[Images]
    boxed: dict[str, Images]
    truths: list[Truth]
    masked: dict[str, Images]
    masks: dict[str, np.ndarray]
    classes: tuple[str, ...] = ('other', 'person', 'car')

    @classmethod
    def read(cls, data: Path) -> Held:
        ivif = find_pairs(data / 'ivif/train').pairs
        test = StemList.read('config/train/ivif_test.txt')
        pairs = [small(_images(f)) for f in [f for f in ivif if test.chooses(f.stem)][::EVERY]]
        # Of other scenes than the training images: MSRS's share of the split, and boxes/val.
        split = StemList.read('config/train/detector_split.txt')
        boxed, truths = {}, []
        for folder, files in (
            ('ivif/train', [f for f in ivif if f.stem.startswith('msrs_') and split.holds(f.stem)]),
            ('boxes/val', find_pairs(data / 'boxes/val').pairs),
        ):
            images = {f.stem: _images(f) for f in files}
            found = detection.read_truth(
                data / folder / 'labels',
                {stem: thermal.shape for stem, (_, thermal) in images.items()},
                {'kaist_': frozenset({'person'}), '': frozenset({'person', 'car'})},
            )
            for truth in found:
                boxed[truth.stem] = small(images[truth.stem])
                scale = boxed[truth.stem][1].shape[1] / images[truth.stem][1].shape[1]
                truths.append(Truth(truth.stem, truth.boxes * scale, truth.labels, truth.judged))
        masked, masks = {}, {}
        for part in ('train', 'val'):
            for f in find_pairs(data / 'segmentation' / part).pairs:
                path = data / f'segmentation/{part}/mask_common/{f.stem}.png'
                if part == 'train' and f.stem.startswith('msrs_'):
                    continue  # of scenes that were trained on
                masked[f.stem] = _images(f)
                masks[f.stem] = read_mask(path, masked[f.stem][1].shape, cls.classes)
        return cls(pairs, boxed, truths, masked, masks)

    @property
    def about(self) -> str:
        boxes = [label for truth in self.truths for label in truth.labels]
        return (
            f'{len(self.pairs)} pairs of ivif_test for MI to KC; boxes by people on '
            f'{len(self.truths)} images of scenes that nothing was trained on '
            f'({boxes.count("person")} people, {boxes.count("car")} cars); masks by people on '
            f'{len(self.masks)} images; longer side {SIDE} pixels.'
        )


def _images(files: PairFiles) -> Images:
    visible = read_visible(files.visible)
    if visible.ndim == 2:
        visible = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
    return visible, Preparation().still(read_thermal(files.thermal), visible.shape[:2])


def small(images: Images) -> Images:
    scale = SIDE / max(images[1].shape)
    if scale >= 1:
        return images
    visible, thermal = (
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for image in images
    )
    return visible, thermal


def score(
    held: Held, fuser: str, networks: Mapping[str, str], metrics: bool = True
) -> dict[str, Any]:
    """{metric: mean, person, car: AP.5, map: AP.5:.95, miou, iou: {class: }}.

    fuser: a name, a run folder, ``visible`` or ``thermal``. networks: model files by task.
    """
    fuse = picture(fuser)
    found: dict[str, Any] = {}
    if metrics:
        rows = []
        for visible, thermal in held.pairs:
            grey = luma(visible)
            triple = Triple(SourcePair(thermal, grey), luma(fuse(visible, thermal)))
            rows.append(evaluate(triple, metrics=METRICS))
        found |= {name: float(np.mean([row[name] for row in rows])) for name in METRICS}
    if path := networks.get('detection'):
        detector = detection.open_detector(path, allow_unlisted=True)
        seen = {stem: detector.detect(fuse(*images)) for stem, images in held.boxed.items()}
        figures = average_precision(held.truths, seen)
        found |= {name: figures[name]['AP50'] for name in ('person', 'car')}
        found['map'] = float(np.mean([figures[name]['AP'] for name in ('person', 'car')]))
    if path := networks.get('segmentation'):
        model = SegmentationModel(path, allow_unlisted=True)
        counts = sum(
            segmentation.confusion(model.segment(fuse(*images)), held.masks[stem], len(model.names))
            for stem, images in held.masked.items()
        )
        each = segmentation.intersection_over_union(counts)
        found |= {
            'miou': float(np.nanmean(each)),
            'iou': dict(zip(held.classes, each, strict=True)),
        }
    return found


def picture(name: str):
    """(visible, thermal) -> what is seen, uint8."""
    if name in ('visible', 'thermal'):
        return lambda visible, thermal: visible if name == 'visible' else thermal
    return Fuser.load(name, allow_unlisted=True).fuse
