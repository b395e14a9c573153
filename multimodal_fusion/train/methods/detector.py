"""The detector of people and cars, on visible, thermal and fused images alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, BeforeValidator, Field
from torch import Tensor, nn

from ...detect.detection import Detection, draw
from ...detect.suppress import suppress
from ...errors import UserError
from ...io.stems import StemList
from ...networks.yolo import Yolo, cells, decode
from ..config import Count, Number, Positive, Section
from ..data.boxes import CLASSES, SOURCES, load_boxed
from ..data.crops import VIEWS, BoxedCrops, Views, to_tensor, whole
from ..data.fingerprint import digest
from ..data.pasted import Objects
from ..data.soft_boxes import SoftBoxes
from ..engine import Engine
from ..losses.assign import corners
from ..losses.detection import Target, detection_loss
from ..run import Checkpoint
from .fusion import begin_from
from .method import Method

TERMS = ('box', 'class', 'soft_box', 'soft_class')
TOGETHER = 8  # validation images


def _whole_cells(side: int) -> int:
    if side % 32:
        raise ValueError('must be a multiple of 32')
    return side


def _with_soft(values: Any) -> Any:
    """Runs of before have no soft terms."""
    return {'soft_box': 0.0, 'soft_class': 0.0, **values} if isinstance(values, dict) else values


def _of(names: tuple[str, ...]):
    def check(values: dict[str, float]) -> dict[str, float]:
        if set(values) != set(names) or not sum(values.values()):
            raise ValueError(f'must name exactly {", ".join(names)}, not all 0')
        return values

    return AfterValidator(check)


Side = Annotated[int, Field(ge=64), AfterValidator(_whole_cells)]
Zoom = Annotated[Number, Field(ge=0.01)]
Factor = Annotated[Number, Field(ge=1)]
Mixture = Annotated[dict[str, Positive], _of(SOURCES)]


class DetectorMethod(Method):
    """What is judged and shipped is the running average of the weights. ``best`` is by the
    validation loss, on machine labels; what is exported is ``last``."""

    name = 'detector'
    ships = 'last'
    columns = ('loss', *TERMS)

    class Settings(Section):
        finish: Annotated[int, Field(ge=0)]
        side: Side
        long_side: Side
        scene_seed: Annotated[int, Field(ge=0)]
        scene_seeds: Annotated[int, Field(ge=0)]
        scene_frames: Count
        zoom_out: Zoom
        zoom_in: Zoom
        gain: Factor
        gamma: Factor
        noise: Positive
        held_out: str
        persons_only: list[str]
        weights: Annotated[dict[str, Positive], BeforeValidator(_with_soft), _of(TERMS)]
        before: Mixture
        after: Mixture
        # These came later: runs of before have none.
        more: Annotated[list[str], Field(default_factory=list)]
        objects: str = ''
        teacher: str = ''

    def __init__(self, settings: Settings, engine: Engine, data: Path):
        self.engine, self.settings = engine, settings
        held_out = StemList.read(settings.held_out)
        boxed = load_boxed(data, settings, held_out, engine.config.selection)
        self.validation = boxed.validation
        self.data, self.fingerprint = boxed.description, boxed.fingerprint
        objects = teacher = None
        if settings.objects:
            objects = Objects(settings.objects, engine.config.selection)
            self.data += f', and {len(objects.labels)} objects to paste'
            self.fingerprint = digest((self.fingerprint, objects.fingerprint))
        if settings.teacher:
            teacher = SoftBoxes(settings.teacher, engine.config.threads)
            self.data += f', and what {Path(settings.teacher).stem} sees'
        self.view = Views()
        self.crops = engine.batches(
            BoxedCrops(
                boxed, settings, engine.batch, engine.config.seed, engine.rank, objects, teacher
            )
        )
        torch.manual_seed(engine.config.seed)  # whatever the data drew
        network = self.made(settings)
        self.data += begin_from(engine.config.start, network)
        self.network = engine.network(network)
        self.optimiser = engine.optimiser(self.network.parameters())

    @classmethod
    def made(cls, settings: Settings) -> nn.Module:
        return Yolo(len(CLASSES))

    def step(self, number: int) -> dict[str, float]:
        images, targets = self.crops(number)
        device = self.engine.device
        terms = detection_loss(
            self.network, images.to(device), [target.to(device) for target in targets]
        )
        loss = self._total(terms)
        self.optimiser.minimise(loss)
        return {'loss': loss.item(), **{name: term.item() for name, term in terms.items()}}

    def _total(self, terms: Mapping[str, Tensor]) -> Tensor:
        return sum(self.settings.weights[name] * term for name, term in terms.items())

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        """Over validation images, each in one view. On machine labels: no accuracy."""
        network, device = self.engine.averaged(self.network), self.engine.device
        sums = dict.fromkeys(self.columns, 0.0)
        numbers = self.engine.share(range(len(self.validation)))
        for start in range(0, len(numbers), TOGETHER):
            some = [self._whole(i) for i in numbers[start : start + TOGETHER]]
            images = to_tensor(np.stack([image for image, _ in some])).to(device)
            terms = detection_loss(network, images, [target.to(device) for _, target in some])
            for name, value in (('loss', self._total(terms)), *terms.items()):
                sums[name] += value.item() * len(some)
        return {name: value / len(numbers) for name, value in sums.items()}

    def _whole(self, number: int) -> tuple[np.ndarray, Target]:
        """A validation image in one of the views, and what it shows."""
        sample = self.validation[number]
        image = self.view(sample.visible, sample.thermal, VIEWS[number % len(VIEWS)])
        return whole(image, sample, self.settings.long_side)

    def weights(self) -> dict[str, Tensor]:
        return self.engine.averaged(self.network).state_dict()

    @torch.no_grad()
    def sample(self) -> np.ndarray:
        """Validation images with what is found in them at a score of 0.3, side by side."""
        network, device = self.engine.averaged(self.network), self.engine.device
        pictures = []
        count = self.engine.config.samples
        for i in range(min(count, len(self.validation))):
            image, _ = self._whole(i * len(self.validation) // count)
            grid = cells(*image.shape[:2], device)
            boxes, logits = decode(network(to_tensor(image[None]).to(device)), *grid)
            boxes = corners(boxes[0].T).cpu().numpy()
            scores, labels = (x.cpu().numpy() for x in logits[0].sigmoid().max(0))
            good = scores >= 0.3
            boxes, scores, labels = boxes[good], scores[good], labels[good]
            found = [
                Detection(CLASSES[labels[k]], float(scores[k]), *map(float, boxes[k]))
                for k in suppress(boxes, scores, labels, 0.5)
            ]
            pictures.append(draw(image, found))
        return np.hstack(pictures)

    def export(self, path: Path) -> None:
        self.ship(Checkpoint.load(self.engine.folder), path)

    @classmethod
    def ship(cls, checkpoint: Checkpoint, path: Path, **options: Any) -> dict[str, Any]:
        from ..export.onnx import export_detector  # here: it takes the exporter's second

        if given := [name for name, value in options.items() if value]:
            raise UserError(f'a detector is exported as it is; leave --{given[0]} out')
        export_detector(checkpoint, path, CLASSES, checkpoint.config.section.long_side)
        return {}
