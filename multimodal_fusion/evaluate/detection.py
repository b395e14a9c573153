"""How well a detector sees through each fuser: average precision by COCO's evaluator."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..detect.detection import Detection
from ..detect.detector import Detector
from ..detect.merge import merge
from ..errors import UserError
from ..io.box_files import read_boxes, read_classes
from .average_precision import Truth, called, coco, score

_COLUMNS = (
    ('AP50', 'mAP@.5'),
    ('AP', 'mAP@.5:.95'),
    ('recall', 'recall'),
    ('precision', 'precision'),
)


_NAMES = {'visible': 'RGB'}


def detection_table(summary: dict) -> str:
    """A Markdown table of what `detection.summarise` returns: inputs by classes."""
    rows = summary['rows']
    counts = next(iter(rows.values()))
    classes = list(counts)
    head = ['input', *(f'{c}: {label}' for c in classes for _, label in _COLUMNS)]
    lines = [head, ['---', *['---:'] * (len(head) - 1)]]
    for name, scores in rows.items():
        cells = [
            _figure(scores[c][key]) + (_interval(scores[c]) if key == 'AP50' else '')
            for c in classes
            for key, _ in _COLUMNS
        ]
        lines.append([_NAMES.get(name, name), *cells])
    boxes = ', '.join(f'{counts[c]["boxes"]} of {c} in {counts[c]["images"]}' for c in classes)
    return (
        f'Detector `{summary["detector"]}` on {summary["images"]} images; boxes: {boxes} images. '
        f'Recall and precision: score at least {summary["score"]:g}, IoU 0.5. In brackets: where '
        'nine in ten draws of as many images lie.\n\n'
        + '\n'.join(f'| {" | ".join(line)} |' for line in lines)
        + '\n'
    )


def _interval(scores: Mapping[str, float]) -> str:
    return f' ({scores["AP50_from"]:.2f}–{scores["AP50_to"]:.2f})'


def _figure(value: float | None) -> str:
    return '–' if value is None or np.isnan(value) else f'{value:.3f}'


LEAST = 0.01  # scores from here on enter the average precision
INPUTS = ('visible', 'thermal')
BOTH = 'both'  # what is found in either, merged


@dataclass
class Findings:
    """Detections in the pictures of one contender by stem, and the processor time each took.

    Processor time, not that of the clock: everything runs in the calling thread, and other work on
    the machine does not count.
    """

    found: dict[str, list[Detection]] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)

    def add(self, detector: Detector, stem: str, picture: np.ndarray) -> None:
        start = time.thread_time()
        self.found[stem] = detector.detect(picture)
        self.milliseconds.append((time.thread_time() - start) * 1e3)


def open_detector(text: str, allow_unlisted: bool) -> Detector:
    """A detector that returns all that average precision needs.

    text: a name or path, and @ with the longer side of the input, if not the model's own. Raises
    UserError, also at once where pycocotools is missing.
    """
    coco()
    sized = re.fullmatch(r'(.+)@(\d+)', text)
    name, size = (sized[1], int(sized[2])) if sized else (text, 0)
    detector = Detector(name, score=LEAST, limit=100, size=size, allow_unlisted=allow_unlisted)
    if size:
        detector.name = f'{detector.name}@{size}'
    return detector


def parse_partial(texts: Iterable[str]) -> dict[str, frozenset[str]]:
    """{beginning of stem: labelled classes} from texts like ``llvip_=person``. Raises UserError."""
    found = {}
    for text in texts:
        prefix, equals, classes = text.partition('=')
        names = frozenset(name.strip() for name in classes.split(',') if name.strip())
        if not equals or not prefix or not names:
            raise UserError(
                f'--partial is {text!r}; it must be the beginning of stems and the classes that '
                'are labelled there, such as llvip_=person'
            )
        found[prefix] = names
    return found


def parse_class_map(texts: Iterable[str]) -> dict[str, str]:
    """{class of the labels: class of the detector} from texts like ``people=person``, in small
    letters. Raises UserError."""
    found = {}
    for text in texts:
        mine, equals, theirs = (part.strip().casefold() for part in text.partition('='))
        if not (mine and equals and theirs):
            raise UserError(
                f'--class-map is {text!r}; it must be a class of the labels and one of the '
                'detector, such as people=person'
            )
        found[mine] = theirs
    return found


def called_alike(
    classes: Sequence[str], detector: Sequence[str], renamed: Mapping[str, str]
) -> tuple[str, ...]:
    """The classes of labels as the detector spells them: small and large letters are one.

    renamed: of `parse_class_map`. A class that the detector does not know keeps its name. Raises
    UserError if none is known, or if a name in the map is.
    """
    known = {name.casefold(): name for name in detector}
    lists = f'the labels have {_listed(classes)}, the detector {_listed(detector)}'
    for mine, theirs in renamed.items():
        if mine not in map(str.casefold, classes) or theirs not in known:
            raise UserError(f'--class-map {mine}={theirs} names a class that is not there: {lists}')
    wanted = [renamed.get(name.casefold(), name.casefold()) for name in classes]
    if not any(name in known for name in wanted):
        raise UserError(
            f'labels and detector have no class in common: {lists}; name those that are the same '
            'with --class-map, such as people=person'
        )
    return tuple(known.get(w, name) for w, name in zip(wanted, classes, strict=True))


def _listed(names: Sequence[str]) -> str:
    return ', '.join(names[:12]) + (', …' if len(names) > 12 else '')


def read_truth(
    folder: Path,
    sizes: Mapping[str, tuple[int, int]],
    partial: Mapping[str, frozenset[str]],
    classes: tuple[str, ...] | None = None,
) -> list[Truth]:
    """The labels of a folder for images of these sizes, {stem: (height, width)}.

    Images without a file are left out: nobody looked at them. Raises UserError.
    """
    if not Path(folder).is_dir():
        raise UserError(f'the folder of labels {folder} does not exist or is not a folder')
    classes = classes or read_classes(folder)
    truths = []
    for stem, (height, width) in sizes.items():
        path = Path(folder) / f'{stem}.txt'
        if path.is_file():
            judged = next((c for prefix, c in partial.items() if stem.startswith(prefix)), classes)
            found = read_boxes(path, width, height, len(classes))
            names = np.array(classes)[found.labels]
            keep = np.isin(names, list(judged))
            truths.append(
                Truth(stem, found.boxes[keep], tuple(names[keep].tolist()), frozenset(judged))
            )
    if not truths:
        raise UserError(
            f'{folder} has no labels for these images: it needs STEM.txt for some of '
            f'{", ".join(list(sizes)[:3])}'
        )
    return truths


def hits(truth: Truth, found: list[Detection], at: float) -> np.ndarray:
    """Which boxes of an image are found, bool (M,): IoU at least 0.5, same class, each detection
    once, the best first."""
    taken = np.zeros(len(truth.boxes), bool)
    for d in sorted(found, key=lambda d: -d.score):
        if d.score < at or not len(truth.boxes):
            continue
        box = np.array((d.x0, d.y0, d.x1, d.y1))
        low = np.maximum(box[:2], truth.boxes[:, :2])
        common = np.maximum(np.minimum(box[2:], truth.boxes[:, 2:]) - low, 0).prod(1)
        area = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(1)
        iou = common / (area + (box[2:] - box[:2]).prod() - common)
        same = np.array([name == called(d.label, truth.judged) for name in truth.labels])
        iou[taken | ~same] = 0
        best = int(iou.argmax())
        taken[best] |= iou[best] >= 0.5
    return taken


def apart(truth: Truth) -> np.ndarray:
    """Which boxes of an image meet no other box of it, bool (M,): nobody stands in front."""
    low = np.maximum(truth.boxes[:, None, :2], truth.boxes[None, :, :2])
    high = np.minimum(truth.boxes[:, None, 2:], truth.boxes[None, :, 2:])
    return (high > low).all(2).sum(1) <= 1


def recall_apart(
    truths: Sequence[Truth], found: Mapping[str, list[Detection]], name: str, at: float
) -> tuple[float, int]:
    """Recall among the boxes of a class that meet no other box, and how many those are."""
    seen = [
        hit
        for truth in truths
        for hit, free, label in zip(
            hits(truth, found[truth.stem], at), apart(truth), truth.labels, strict=True
        )
        if free and label == name
    ]
    return (sum(seen) / len(seen) if seen else float('nan')), len(seen)


def only_fused(
    truths: Sequence[Truth], findings: Mapping[str, Findings], fused: str, at: float
) -> list[tuple[str, int]]:
    """(stem, boxes) of the images where boxes are found in the fused picture and in neither source,
    most boxes first."""
    counted = []
    for truth in truths:
        seen = {
            name: hits(truth, findings[name].found[truth.stem], at) for name in (*INPUTS, fused)
        }
        only = seen[fused] & ~seen['visible'] & ~seen['thermal']
        if only.any():
            counted.append((truth.stem, int(only.sum())))
    return sorted(counted, key=lambda item: (-item[1], item[0]))


def detect_all(
    detector: Detector,
    truths: Sequence[Truth],
    names: Sequence[str],
    picture: Callable[[str, str], np.ndarray],
) -> dict[str, Findings]:
    """Detections of every contender, and of ``both`` if the two sources are among them.

    picture: (stem, name) -> uint8 image.
    """
    findings = {name: Findings() for name in names}
    for truth in truths:
        for name in names:
            findings[name].add(detector, truth.stem, picture(truth.stem, name))
    if set(INPUTS) <= set(names):
        findings[BOTH] = _both(*(findings[name] for name in INPUTS))
    return findings


def _both(visible: Findings, thermal: Findings) -> Findings:
    """As ``detector.input: both``: it costs as much as the two."""
    return Findings(
        {stem: merge([found, thermal.found[stem]], 100) for stem, found in visible.found.items()},
        [a + b for a, b in zip(visible.milliseconds, thermal.milliseconds, strict=True)],
    )


def summarise(
    detector: Detector, truths: Sequence[Truth], findings: Mapping[str, Findings], at: float
) -> dict:
    """What results.json has of detection: per contender and class the figures of `score`."""
    return {
        'detector': detector.name,
        'score': at,
        'images': len(truths),
        'boxes': sum(len(truth.boxes) for truth in truths),
        'rows': {name: score(truths, f.found, at) for name, f in findings.items()},
    }
