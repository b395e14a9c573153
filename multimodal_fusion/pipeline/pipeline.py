"""From a pair of decoded frames to the fused image: the one path of the node, files and bags."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..detect.detection import Detection
from ..detect.detector import Detector, DetectorSettings
from ..detect.merge import merge
from ..fusers.fuser import Fuser, ModelSettings
from ..fusers.pair import keep_colour
from ..io import messages
from ..io.pixels import luma
from ..registration.warp import blend
from .frames import Lone, OutputSettings, ThermalFrame
from .pairing import OTHER, Pair
from .preparation import Preparation
from .settings import Settings
from .stages import no_laps
from .stall import FreezeDetector
from .thermal import ThermalRange, repaired
from .views import view

_RETUNED = ('score', 'iou', 'limit', 'classes')  # of a detector that stays loaded
_FIXED = ('labels', 'layout', 'resize', 'size')


@dataclass(frozen=True)
class Fused:
    """image: uint8, of visible's shape. mask: uint8 (H, W), 255 for thermal, of a model that
    blends, else None. visible: uint8 (H, W, 3) BGR or (H, W). thermal: uint8 (H, W), white-hot, on
    its grid; None where RGB goes out alone."""

    image: np.ndarray
    mask: np.ndarray | None
    visible: np.ndarray
    thermal: np.ndarray | None


@dataclass(frozen=True)
class Pipeline:
    """Preparation and fuser, with their settings and memory. Make one with `build`.

    `observe` must see every thermal frame in order of arrival, also those that are never fused;
    `fuse` depends on its arguments alone and may run in another thread.
    """

    preparation: Preparation
    range: ThermalRange
    freeze: FreezeDetector
    model: ModelSettings
    fuser: Fuser
    detection: DetectorSettings
    detector: Detector | None
    output: OutputSettings = field(default_factory=OutputSettings)

    @property
    def notices(self) -> list[str]:
        """Sentences on models that do not run where or as they were asked to."""
        return [part.notice for part in (self.fuser, self.detector) if part and part.notice]

    def observe(self, counts: np.ndarray, stamp: int) -> ThermalFrame:
        """Take note of a thermal frame. counts: uint8 or uint16 (H, W). stamp: nanoseconds."""
        frozen = self.freeze.update(counts, stamp)
        counts = repaired(counts, self.preparation.thermal)
        return ThermalFrame(counts, self.range.update(counts, stamp), frozen)

    def white_hot(
        self, frame: ThermalFrame, shape: tuple[int, int], lap: Callable[[str], None] = no_laps
    ) -> np.ndarray:
        """The thermal image as the fuser sees it: uint8 (H, W) on the visible image's grid."""
        return self.preparation.white_hot(frame.counts, frame.limits, shape, lap)

    def detect(
        self, fused: np.ndarray, visible: np.ndarray, frame: ThermalFrame
    ) -> list[Detection]:
        """What is in the images that ``detector.input`` names, of one pair, in pixels of the fused
        one; there must be a detector. Raises UserError.
        """
        assert self.detector is not None
        visible = self.preparation.registration.straight('rgb', visible)
        images = {
            'fused': lambda: [fused],
            'rgb': lambda: [visible],
            'thermal': lambda: [self.white_hot(frame, fused.shape[:2])],
            'both': lambda: [visible, self.white_hot(frame, fused.shape[:2])],
        }[self.detection.input]()
        return merge([self.detector.detect(image) for image in images], self.detector.limit)

    def fuse(
        self, visible: np.ndarray, frame: ThermalFrame, lap: Callable[[str], None] = no_laps
    ) -> np.ndarray:
        """visible: uint8 (H, W, 3) BGR or (H, W). Returns uint8 of that shape. Raises UserError.

        lap: called with the name of each stage of `stages.STAGES` that ends.
        """
        return self.fuse_all(visible, frame, lap).image

    def fuse_all(
        self, visible: np.ndarray, frame: ThermalFrame, lap: Callable[[str], None] = no_laps
    ) -> Fused:
        """As `fuse`, with what it is made of. Raises UserError."""
        registration = self.preparation.registration
        visible = registration.straight('rgb', visible)
        white_hot = self.white_hot(frame, visible.shape[:2], lap)
        if self.output.colour == 'keep' and visible.ndim == 3 and self.fuser.kind == 'luma':
            grey = luma(visible)
            fused, mask = self.fuser.fuse_and_mask(grey, white_hot)
            fused = keep_colour(visible, grey, fused)
        else:
            fused, mask = self.fuser.fuse_and_mask(visible, white_hot)
        weights = registration.weights(frame.counts.shape[:2], visible.shape[:2])
        if weights is not None:
            fused = blend(fused, visible, weights)
            mask = None if mask is None else (mask * weights).astype(np.uint8)
        lap('fuse')
        return Fused(fused, mask, visible, white_hot)

    def shown(self, fused: Fused) -> np.ndarray:
        """What goes out by ``output.view``, uint8."""
        output = self.output
        if output.view == 'fused' or fused.thermal is None:
            return fused.image
        return view(
            output.view, fused.image, fused.visible, fused.thermal, output.palette, output.opacity
        )


def build(
    settings: Settings, previous: 'Pipeline | None' = None, given: Collection[str] = ()
) -> Pipeline:
    """A pipeline by its settings. Raises UserError.

    Parts whose settings are the same are taken over from ``previous``, with their memory. given:
    names of settings that were set anew, if to the same value: a model whose file has changed is
    loaded again.
    """
    model, detection = settings.model, settings.detector
    preparation = Preparation.of(settings, previous.preparation if previous else None)
    freeze = FreezeDetector(settings.stall.freeze_after)
    fuser, detector, limits = None, None, ThermalRange(preparation.thermal)
    if previous is not None:
        origin = previous.fuser.origin if 'model.name' in given else None
        if previous.model == model and not (origin and origin.changed()):
            fuser = previous.fuser
        if detection.enabled and previous.detector is not None:
            origin = previous.detector.origin if 'detector.model' in given else None
            if not (origin and origin.changed()):
                detector = _same_detector(previous, detection, model)
        if previous.preparation.thermal == preparation.thermal:
            limits = previous.range
        if previous.freeze.after == freeze.after:
            freeze = previous.freeze
    if detection.enabled and detector is None:
        detector = Detector(
            detection.model,
            **{name: getattr(detection, name) for name in (*_RETUNED, *_FIXED)},
            provider=model.provider,
            threads=model.threads,
            allow_unlisted=model.allow_unlisted,
            fp16=model.fp16,
            max_seconds=model.max_seconds,
            max_memory=model.max_memory,
        )
    if fuser is None:
        fuser = Fuser.load(
            model.name,
            (model.provider,),
            model.threads,
            model.allow_unlisted,
            compiled=model.compiled,
            fp16=model.fp16,
            mask_scale=model.mask_scale,
            max_seconds=model.max_seconds,
            max_memory=model.max_memory,
            text=model.text,
            tile=model.tile,
        )
        fuser.warm_up((48, 64))  # a model that cannot run is refused here, not in mid-flight
    return Pipeline(
        preparation=preparation,
        range=limits,
        freeze=freeze,
        model=model,
        fuser=fuser,
        detection=detection,
        detector=detector,
        output=settings.output,
    )


def _same_detector(
    previous: Pipeline, detection: DetectorSettings, model: ModelSettings
) -> Detector | None:
    """The detector there is, with the thresholds there are now; None if another must be loaded."""
    old, loaded = previous.detection, previous.detector
    runtime = ('provider', 'threads', 'allow_unlisted', 'fp16')
    if any(getattr(detection, name) != getattr(old, name) for name in ('model', *_FIXED)) or any(
        getattr(model, name) != getattr(previous.model, name) for name in runtime
    ):
        return None
    if loaded is None or all(getattr(detection, name) == getattr(old, name) for name in _RETUNED):
        return loaded
    return loaded.retuned(**{name: getattr(detection, name) for name in _RETUNED})


def fuse_pair(pipeline: Pipeline, settings: Settings, pair: Pair) -> np.ndarray | None:
    """What goes out of a pair of observed `Frame`s; None if ``stall.thermal`` holds it back.

    Returns uint8, of the visible image's shape but for views side by side. Raises UserError.
    """
    fused = fuse_pair_all(pipeline, settings, pair)
    return None if fused is None else pipeline.shown(fused)


def fuse_pair_all(
    pipeline: Pipeline,
    settings: Settings,
    pair: Pair,
    lap: Callable[[str], None] = no_laps,
) -> Fused | None:
    """As `fuse_pair`, with what it is made of, before ``output.view``."""
    visible = messages.read_visible(pair.rgb.message, settings.input.max_pixels)
    lap('decode')
    frozen, stall = pair.thermal.thermal.frozen, settings.stall
    act = stall.act('thermal', frozen - stall.freeze_after) if frozen else 'hold'
    if act == 'drop':
        return None
    if act == 'pass':
        visible = pipeline.preparation.registration.straight('rgb', visible)
        return Fused(visible, None, visible, None)
    return pipeline.fuse_all(visible, pair.thermal.thermal, lap)


def stand_in(
    pipeline: Pipeline, settings: Settings, lone: Lone, like: tuple[int, ...] | None
) -> np.ndarray | None:
    """What goes out while a stream is silent; None if there is nothing.

    like: the shape of the image that went out last, which a thermal image takes on; by default its
    own. Returns uint8 (H, W) or (H, W, 3). Raises UserError.
    """
    frames = {lone.name: lone.frame} | ({OTHER[lone.name]: lone.held} if lone.held else {})
    limit, thermal = settings.input.max_pixels, frames.get('thermal')
    if 'rgb' in frames:
        visible = messages.read_visible(frames['rgb'].message, limit)
        if thermal is not None and thermal.thermal is not None:
            return pipeline.shown(pipeline.fuse_all(visible, thermal.thermal))
        return pipeline.preparation.registration.straight('rgb', visible)
    if thermal is None or thermal.thermal is None:
        return None
    shape = thermal.thermal.counts.shape if like is None else like
    grey = pipeline.white_hot(thermal.thermal, (shape[0], shape[1]))
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR) if len(shape) == 3 else grey
