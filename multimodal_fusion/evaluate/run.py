"""An evaluation from its sources to its files: `evaluate` takes a `Job`, gives an `Evaluation`."""

import difflib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..detect.detection import draw
from ..errors import UserError
from ..host.progress import progress, warn
from ..io.bag import open_bag
from ..io.box_files import read_classes
from ..io.datasets import find_pairs
from ..io.pixels import side_by_side
from ..io.stems import Selection
from ..io.whole_files import make_folder, whole_file
from ..pipeline import offline
from ..pipeline.preparation import Preparation
from ..pipeline.settings import Settings, checked
from ..pipeline.temperature import told_by
from . import detection, segmentation
from .average_precision import AT
from .bags import measure_bag
from .cache import Cache
from .contenders import contenders
from .detection import detection_table
from .measure import Meter, Plan, Result, Sources, measure_files
from .metrics import OWN, metric_names, own_metric
from .report import markdown_table, write_report
from .sheet import SheetRow, contact_sheet
from .summary import PROTOCOLS, finite, per_image_csv, results
from .timing import time_fusion

_TIMED = 5  # images that fusion is timed on
_SHOWN = 6  # pictures of what only the fused image shows
_SAMPLES = 300  # pairs of a bag that are measured, unless the job says otherwise

Pictures = Callable[[str, str], np.ndarray]
"""(stem, name of a source or contender) -> uint8 (H, W, 3) or (H, W)."""


@dataclass(frozen=True)
class BoxJob:
    """What to detect with and what is there. labels: folder of STEM.txt by people.

    partial: STEM=CLASSES, where only some classes are labelled. score: least one for recall,
    precision and pictures. renamed: LABEL=CLASS, where labels and detector differ in names.
    """

    detector: str
    labels: Path
    partial: tuple[str, ...] = ()
    score: float = AT
    renamed: tuple[str, ...] = ()


@dataclass(frozen=True)
class MaskJob:
    """What to segment with and what is there. masks: folder of STEM.png, as
    `segmentation.read_masks` reads them."""

    segmenter: str
    masks: Path


@dataclass(frozen=True)
class Job:
    """An evaluation that is asked for: of a folder of pairs (data), or of a bag.

    stems, without: files that name pairs of the folder: only these, none of these.
    models: names or .onnx paths. fused: folders of ready images. parameters: of the node, by name,
    over their defaults: sync.*, thermal.*, registration.*. definition, metrics: those of the
    protocol, or ours and all. every: seconds between measured pairs of a bag. cache: a folder, or
    None to measure everything anew. command: what the results say made them.
    """

    data: Path | None = None
    bag: Path | None = None
    stems: Path | None = None
    without: Path | None = None
    models: tuple[str, ...] = ('default',)
    fused: tuple[Path, ...] = ()
    baselines: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)
    definition: str | None = None
    metrics: tuple[str, ...] = ()
    protocol: str | None = None
    rgb_topic: str | None = None
    thermal_topic: str | None = None
    every: float | None = None
    jobs: int = os.cpu_count() or 1
    cache: Path | None = field(default_factory=Cache.default_folder)
    timing: bool = True
    boxes: BoxJob | None = None
    masks: MaskJob | None = None
    command: str = ''


@dataclass(frozen=True)
class Evaluation:
    """What was found. results, timing: as in results.json and timing.json.

    left_out: pairs that could not be measured, with the reason. picture: see `Pictures`. seen:
    (caption, picture) of objects that only the fused image shows. segmented: of masks.
    """

    results: dict
    timing: dict
    left_out: list[Result]
    picture: Pictures
    seen: list[tuple[str, np.ndarray]]
    segmented: list[tuple[str, np.ndarray]]

    def table(self) -> str:
        """Markdown."""
        detected = self.results.get('detection')
        found = markdown_table(self.results, self.timing or None)
        found += f'\n{detection_table(detected)}' if detected else ''
        segmented = self.results.get('segmentation')
        return found + (f'\n{segmentation.segmentation_table(segmented)}' if segmented else '')

    def write(self, out: Path, sheet: Sequence[SheetRow] = ()) -> None:
        """The report's files, each whole or absent; with ``sheet`` a contact sheet of these
        rows.

        Raises UserError.
        """
        make_folder(out)
        found = self.results
        texts = {
            'results.json': json.dumps(found, indent=1, allow_nan=False) + '\n',
            'timing.json': json.dumps(self.timing, indent=1) + '\n',
            'per_image.csv': per_image_csv(found),
            'table.md': f'# {found["data"]["name"]}\n\n    {found["command"]}\n\n{self.table()}',
        }
        for name, text in texts.items():
            with whole_file(out / name) as temporary:
                temporary.write_text(text)
        with whole_file(out / 'report.html') as temporary:
            write_report(temporary, found, self.timing, self.picture, self.seen, self.segmented)
        if sheet:
            self._write_sheet(out / 'sheet.jpg', sheet)

    def _write_sheet(self, path: Path, rows: Sequence[SheetRow]) -> None:
        """The sources and every method's picture of some images. Raises UserError."""
        known = [image['stem'] for image in self.results['images']]
        for row in rows:
            if row.stem not in known:
                near = difflib.get_close_matches(row.stem, known, 1)
                hint = f'; did you mean {near[0]!r}?' if near else ''
                raise UserError(f'--sheet: no image {row.stem!r} was measured{hint}')
        models = (model['name'] for model in self.results['models'])
        names = dict.fromkeys(('thermal', 'visible', *models))
        with whole_file(path) as temporary:
            drawn = contact_sheet(rows, list(names), self.picture)
            temporary.write_bytes(cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


def evaluate(job: Job) -> Evaluation:
    """Measure every fuser on every pair. Raises UserError where nothing can be measured."""
    if (job.data is None) == (job.bag is None):
        raise UserError('an evaluation is of a folder of pairs or of a bag: give one of them')
    if job.bag and (job.stems or job.without):
        raise UserError('--stems and --without choose pairs of a folder; leave them out with --bag')
    if job.boxes and job.bag:
        raise UserError('--detector and --labels go together, with --data')
    definition, metrics = _metrics(job)
    pairs = find_pairs(job.data).pairs if job.data else []
    told = told_by(pairs[0].thermal, job.parameters) if pairs else {}
    settings = checked({**told, **job.parameters})
    unlisted = settings.model.allow_unlisted
    if job.masks and job.bag:
        raise UserError('--segmenter and --masks go together, with --data')
    segmenter = job.masks and segmentation.SegmentationModel(
        job.masks.segmenter, allow_unlisted=unlisted
    )
    detector = job.boxes and detection.open_detector(job.boxes.detector, unlisted)
    plan = plan_of(job, settings)
    rows, meter = plan.contenders, Meter(plan)
    source = _on_folders(job, plan, meter) if job.data else _on_bag(job, settings, meter)
    left_out = [result for result in source.measured if result.message]
    if len(left_out) == len(source.measured):
        for result in left_out:
            print(f'{result.stem} is left out: {result.message}', file=sys.stderr)
        raise UserError(f'none of the {len(left_out)} pairs could be measured')
    found = results(
        job.command, source.data, source.measured, rows, definition, metrics, job.protocol,
        source.sequence,
    )  # fmt: skip
    timing = time_fusion(rows, meter, source.samples) if job.timing else {}
    seen = _detect(job.boxes, detector, found, timing, source.picture) if job.boxes else []
    segmented = _segment(job.masks, segmenter, found, source.picture) if job.masks else []
    return Evaluation(found, timing, left_out, source.picture, seen, segmented)


def plan_of(job: Job, settings: Settings) -> Plan:
    """What a job measures. Raises UserError."""
    definition, metrics = _metrics(job)
    rows = contenders(
        list(job.models),
        list(job.fused),
        job.baselines,
        settings.model.allow_unlisted,
        settings.model.mask_scale,
    )
    preparation, limit = Preparation.of(settings), settings.input.max_pixels
    own = tuple(OWN[name] for name in metrics if name in OWN)
    return Plan(tuple(rows), definition, metrics, preparation, job.cache, limit, own)


def _metrics(job: Job) -> tuple[str, tuple[str, ...]]:
    """The definition and the metrics asked for. Raises UserError."""
    protocol = PROTOCOLS[job.protocol] if job.protocol else None
    definition = job.definition or (protocol.definition if protocol else 'ours')
    known = [name for name in metric_names(definition) if name not in OWN]
    names = job.metrics or ((*protocol.ranked, *protocol.beside) if protocol else tuple(known))
    names = tuple(own_metric(name) if ':' in name else name for name in names)
    known = metric_names(definition)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f'the definition {definition} has no metric {unknown[0]!r}; it has {", ".join(known)}'
        )
    return definition, tuple(names)


@dataclass(frozen=True)
class _Source:
    """What was measured. sequence: of a bag. samples: pairs to time fusion on."""

    data: dict
    measured: list[Result]
    sequence: dict | None
    picture: Pictures
    samples: list[Sources]


def _on_folders(job: Job, plan: Plan, meter: Meter) -> _Source:
    found = find_pairs(job.data)
    if found.alone:
        print(
            f'{len(found.alone)} images have no partner and are left out: '
            f'{", ".join(found.alone[:5])}{" …" if len(found.alone) > 5 else ""}',
            file=sys.stderr,
        )
    pairs = Selection.read(job.stems, job.without).choose(found.pairs, job.data)
    jobs = max(1, min(job.jobs, len(pairs)))
    measured = list(progress(measure_files(pairs, plan, jobs), len(pairs)))
    by_stem = {pair.stem: pair for pair in pairs}
    chosen = [f', those of {job.stems.name}'] if job.stems else []
    chosen += [f' without those of {job.without.name}'] if job.without else []
    good = [result.stem for result in measured if not result.message]
    return _Source(
        {
            'name': '/'.join(job.data.resolve().parts[-2:]) + ''.join(chosen),
            'kind': 'folders',
            'layout': found.layout,
        },
        measured,
        None,
        lambda stem, name: picture_of(meter, stem, name, Sources.read(by_stem[stem], plan)),
        [Sources.read(by_stem[stem], plan) for stem in spread(good, _TIMED)],
    )


def _on_bag(job: Job, settings: Settings, meter: Meter) -> _Source:
    with open_bag(job.bag) as bag:
        topics = bag.choose(job.rgb_topic, job.thermal_topic)
        played = offline.Offline(bag, topics, settings)
        every = max(1.0, bag.duration / _SAMPLES) if job.every is None else job.every
        measured, sequence, kept = measure_bag(
            played, meter, every, lambda steps: progress(steps, unit='messages')
        )
    for sentence in played.notices():
        warn(sentence)
    if not measured:
        raise UserError(f'{job.bag} gave no pair: {played.why_nothing()}')
    return _Source(
        {'name': job.bag.name, 'kind': 'bag', 'topics': [topics.rgb, topics.thermal]},
        measured,
        sequence,
        lambda stem, name: picture_of(meter, stem, name, kept.get(stem)),
        [kept.get(stem) for stem in spread(kept.stems(), _TIMED)],
    )


def _detect(boxes: BoxJob, detector, found: dict, timing: dict, picture: Pictures) -> list:
    """Add detection to the results and its cost to the timing; returns (caption, picture) of
    objects that only the fused image shows."""
    sizes = {image['stem']: (image['height'], image['width']) for image in found['images']}
    own = read_classes(boxes.labels)
    classes = detection.called_alike(own, detector.names, detection.parse_class_map(boxes.renamed))
    spelt = {name.casefold(): now for name, now in zip(own, classes, strict=True)}
    partial = {
        prefix: frozenset(spelt.get(name.casefold(), name) for name in names)
        for prefix, names in detection.parse_partial(boxes.partial).items()
    }
    truths = detection.read_truth(boxes.labels, sizes, partial, classes)
    models = [model['name'] for model in found['models'] if model['source'] != 'source']
    findings = detection.detect_all(detector, truths, [*detection.INPUTS, *models], picture)
    found['detection'] = finite(detection.summarise(detector, truths, findings, boxes.score))
    if timing:
        timing['detection'] = {
            name: round(float(np.median(f.milliseconds)), 3) for name, f in findings.items()
        }
    own = [model['name'] for model in found['models'] if not model['baseline']]
    fused = (own or models)[0]

    def marked(stem: str, name: str) -> np.ndarray:
        sure = [d for d in findings[name].found[stem] if d.score >= boxes.score]
        return draw(picture(stem, name), sure)

    return [
        (
            f'{stem}: {count} in {fused} only (RGB, thermal, {fused})',
            side_by_side([marked(stem, name) for name in (*detection.INPUTS, fused)]),
        )
        for stem, count in detection.only_fused(truths, findings, fused, boxes.score)[:_SHOWN]
    ]


def _segment(job: MaskJob, model, found: dict, picture: Pictures) -> list:
    """Add segmentation to the results; returns (caption, picture)."""
    sizes = {image['stem']: (image['height'], image['width']) for image in found['images']}
    masks = segmentation.read_masks(job.masks, sizes, model.names)
    models = [model['name'] for model in found['models'] if model['source'] != 'source']
    names = [*segmentation.INPUTS, *models]
    counts = segmentation.segment_all(model, masks, names, picture)
    found['segmentation'] = finite(segmentation.summarise(model, counts))
    own = [model['name'] for model in found['models'] if not model['baseline']]
    return segmentation.shown(model, masks, (own or models)[0], picture, _SHOWN)


def spread(items: list, count: int) -> list:
    """At most ``count`` items, evenly from first to last."""
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, min(count, len(items)))]


def picture_of(meter: Meter, stem: str, name: str, sources: Sources) -> np.ndarray:
    """What the report shows under a name: a source or a contender's picture."""
    if name in ('visible', 'thermal'):
        return getattr(sources, name)
    contender = next(c for c in meter.plan.contenders if c.name == name)
    return meter.fuse(contender, stem, sources)
