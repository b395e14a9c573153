"""How well a segmenter sees through each fuser: intersection over union on masks by people."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..detect.segmentation import SegmentationModel, paint
from ..errors import UserError
from ..io.box_files import read_classes
from ..io.mask_files import IGNORE, read_mask
from ..io.pixels import side_by_side

INPUTS = ('visible', 'thermal')
_NAMES = {'visible': 'RGB'}
_RESAMPLED = 500  # draws for an interval


def confusion(found: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """How often each class (rows) was taken for each (columns), int64 (classes, classes)."""
    known = truth != IGNORE
    pairs = truth[known].astype(np.int64) * classes + found[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def intersection_over_union(counts: np.ndarray) -> np.ndarray:
    """IoU of each class, float (classes,), NaN for one that nothing shows or is taken for."""
    both = np.diag(counts).astype(float)
    either = counts.sum(0) + counts.sum(1) - both
    return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)


def read_masks(
    folder: Path, sizes: Mapping[str, tuple[int, int]], classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """The masks of a folder for images of these sizes, {stem: (height, width)}.

    Numbers are those of ``classes``, unless classes.txt there or above says which names they mean.
    Images without a file are left out. Raises UserError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f'the folder of masks {folder} does not exist or is not a folder')
    paths = {stem: folder / f'{stem}.png' for stem in sizes}
    there = {stem: path for stem, path in paths.items() if path.is_file()}
    if not there:
        raise UserError(
            f'{folder} has no mask for these images: it needs STEM.png for some of '
            f'{", ".join(list(sizes)[:3])}'
        )
    table, names = _numbers(folder, classes)
    return {stem: table[read_mask(path, sizes[stem], names)] for stem, path in there.items()}


def _numbers(folder: Path, classes: Sequence[str]) -> tuple[np.ndarray, Sequence[str]]:
    """(numbers of ``classes`` by the masks' own, uint8 (256,); names of the masks' own)."""
    table = np.arange(256, dtype=np.uint8)
    if not any((place / 'classes.txt').is_file() for place in (folder, folder.parent)):
        return table, classes
    names = read_classes(folder)
    known = {name.casefold(): number for number, name in enumerate(classes)}
    if not any(name.casefold() in known for name in names[1:]):
        raise UserError(
            f'masks and segmenter have no class in common: the masks have {", ".join(names)}, the '
            f'segmenter {", ".join(classes)}'
        )
    for number, name in enumerate(names):  # what the segmenter does not know is its first, other
        table[number] = known.get(name.casefold(), 0)
    return table, names


def segment_all(
    model: SegmentationModel,
    masks: Mapping[str, np.ndarray],
    names: Sequence[str],
    picture: Callable[[str, str], np.ndarray],
) -> dict[str, dict[str, np.ndarray]]:
    """{contender: {stem: confusion}}. picture: (stem, name) -> uint8 image."""
    count = len(model.names)
    return {
        name: {
            stem: confusion(model.segment(picture(stem, name)), mask, count)
            for stem, mask in masks.items()
        }
        for name in names
    }


def summarise(model: SegmentationModel, found: Mapping[str, Mapping[str, np.ndarray]]) -> dict:
    """What results.json has of segmentation: per contender the mean IoU, from where to where nine
    in ten draws of as many images lie, and the IoU of each class, over the pixels of all images."""
    rows = {}
    for name, by_stem in found.items():
        counts = np.stack(list(by_stem.values()))
        random, drawn = np.random.default_rng(0), []
        for _ in range(_RESAMPLED):
            chosen = counts[random.integers(len(counts), size=len(counts))].sum(0)
            drawn.append(np.nanmean(intersection_over_union(chosen)))
        low, high = np.quantile(drawn, (0.05, 0.95))
        each = intersection_over_union(counts.sum(0))
        rows[name] = {
            'miou': float(np.nanmean(each)),
            'miou_from': float(low),
            'miou_to': float(high),
            'iou': dict(zip(model.names, each.tolist(), strict=True)),
        }
    images = len(next(iter(found.values())))
    return {'segmenter': model.name, 'images': images, 'rows': rows}


def segmentation_table(summary: dict) -> str:
    """A Markdown table of what `summarise` returns: inputs by classes."""
    rows = summary['rows']
    classes = list(next(iter(rows.values()))['iou'])
    lines = [['input', 'mIoU', *classes], ['---', *['---:'] * (len(classes) + 1)]]
    for name, row in rows.items():
        mean = f'{row["miou"]:.3f} ({row["miou_from"]:.2f}–{row["miou_to"]:.2f})'
        each = [row['iou'][c] for c in classes]
        shown = ['–' if value is None or np.isnan(value) else f'{value:.3f}' for value in each]
        lines.append([_NAMES.get(name, name), mean, *shown])
    return (
        f'Segmenter `{summary["segmenter"]}` on {summary["images"]} images: intersection over '
        'union over the pixels of all. In brackets: where nine in ten draws of as many images '
        'lie.\n\n' + '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'
    )


def shown(
    model: SegmentationModel,
    masks: Mapping[str, np.ndarray],
    fused: str,
    picture: Callable[[str, str], np.ndarray],
    count: int,
) -> list[tuple[str, np.ndarray]]:
    """(caption, picture) of the images with most pixels of classes but the first: what is seen in
    RGB, thermal and the fused image, and what people drew."""
    area = {stem: np.mean((mask > 0) & (mask != IGNORE)) for stem, mask in masks.items()}
    pictures = []
    for stem in sorted(area, key=lambda stem: (-area[stem], stem))[:count]:
        row = [
            paint(image, model.segment(image))
            for image in (picture(stem, name) for name in (*INPUTS, fused))
        ]
        row.append(paint(picture(stem, fused), masks[stem]))
        pictures.append((f'{stem}: RGB, thermal, {fused}, and as drawn', side_by_side(row)))
    return pictures
