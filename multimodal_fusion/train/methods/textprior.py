"""The text prior: a teacher that is told what is wrong with its images, a student that is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ...errors import UserError
from ...fusers.text import PHRASES
from ...networks.textprior import FUSIONS, LEVELS, TextPrior
from ..config import Config, Count, Number, Positive, Section, Share, Weights
from ..data.faults import FAULTS
from ..data.pairs import ImagePair, eight_bit, large_enough, load_folders, spread, stems_of
from ..data.spoilt import Spoiler, Spoilt, SpoiltCrops, own_faults
from ..data.text import Vectors
from ..engine import Engine
from ..losses import fusion
from ..losses import textprior as losses
from ..losses.chosen import Values, weighted
from ..run import Checkpoint, fingerprint
from ..scores import Example
from .fusion import FusionMethod, Side, begin_from

DISTILLED = ('base', 'features', 'result')


class TextPriorMethod(FusionMethod):
    """Teacher: equation 12, its weights switched by the text. Student: equation 19, from a
    teacher's run. What ships is the student alone; a teacher is for offline use."""

    name = 'textprior'
    colour = True
    about: ClassVar[str] = (
        'a transformer (TextPrior) that fuses and mends RGB and thermal: low light, noise, stripes'
    )
    limits: ClassVar[str] = (
        'It was taught on faults that were made, and mends what resembles them; it can invent '
        'texture where none was.'
    )

    class Settings(Section):
        role: Literal['teacher', 'student']
        width: Annotated[int, Field(ge=8, multiple_of=8)]
        expansion: Annotated[Number, Field(gt=0)]
        blocks: Annotated[list[Count], Field(min_length=LEVELS, max_length=LEVELS)]
        refinement: Count
        fusion: Literal[tuple(FUSIONS)]  # type: ignore[valid-type]
        embeddings: str
        annotations: list[str] = []  # noqa: RUF012 - a field; runs of before have none
        teacher: str
        patch: Side
        validation_pairs: Count
        faults: Annotated[int, Field(ge=0, le=len(FAULTS))]
        weakest: Share
        strongest: Share
        weights: Weights
        switch: dict[str, dict[str, Positive]]
        distil: Weights

    def __init__(self, settings: Settings, engine: Engine, data: Path):
        self.engine, self.settings = engine, settings
        for name, known in (('weights', losses.TERMS), ('distil', DISTILLED)):
            if set(getattr(settings, name)) != set(known):
                raise UserError(f'textprior.{name} must name exactly {", ".join(known)}')
        self.student = settings.role == 'student'
        self.columns = ('loss', *losses.TERMS, *(DISTILLED[1:] if self.student else ()))
        self.factors, self.shares = switched({} if self.student else settings.switch)
        pairs = load_folders(data, engine.config.seed, True, engine.config.selection)
        self.validation = [
            pair.centre(settings.patch * 2)
            for pair in spread(pairs.validation, settings.validation_pairs)
        ]
        self.data, self.fingerprint = pairs.description, pairs.fingerprint
        taught = any(weight for name, weight in settings.distil.items() if name != 'base')
        self.vectors = self._vectors()
        teacher = self._teacher() if self.student and taught else None
        train = large_enough(pairs.train, settings.patch)
        stems = stems_of(train) + stems_of(self.validation)
        self.spoiler = Spoiler(
            settings.faults,
            settings.weakest,
            settings.strongest,
            self.vectors,
            own_faults(settings.annotations, stems),
        )
        self.crops = engine.batches(
            SpoiltCrops(
                train, settings.patch, self.spoiler, engine.batch, engine.config.seed, engine.rank
            )
        )
        network = self.made(settings, self.vectors.table.shape[1] if self.vectors else 0)
        if network.texts:
            network.phrases.copy_(torch.from_numpy(self.vectors.table))
        self.data += begin_from(engine.config.start, network)
        if teacher is not None:
            self.data += f'; teacher {fingerprint(teacher)}'
        self.network = engine.network(Lesson(network, teacher))
        self.optimiser = engine.optimiser(
            parameter for parameter in self.network.parameters() if parameter.requires_grad
        )

    def _vectors(self) -> Vectors | None:
        """Of the texts that the teacher is told. Raises UserError."""
        settings = self.settings
        if not settings.embeddings:
            return None
        vectors = Vectors.load(settings.embeddings)
        self.data += f'; texts by {vectors.encoder}'
        return vectors

    def _teacher(self) -> TextPrior:
        """Raises UserError."""
        settings = self.settings
        if not settings.teacher:
            raise UserError(
                'the student learns from a teacher: give the run folder of textprior-teacher by '
                '--teacher, or set distil={base: 1, features: 0, result: 0}'
            )
        teacher = Checkpoint.load(Path(settings.teacher)).network
        if not isinstance(teacher, TextPrior):
            raise UserError(f'{settings.teacher} is no run of textprior-teacher')
        if teacher.texts and not settings.embeddings:
            raise UserError(
                f'the teacher {settings.teacher} is told texts of {teacher.texts} numbers: give '
                'the embeddings that it was trained with as embeddings=FILE'
            )
        if teacher.texts and not self.vectors.are(teacher.phrases.numpy()):
            raise UserError(
                f'{settings.embeddings} ({self.vectors.encoder}, {self.vectors.table.shape[1]} '
                f'numbers) does not hold the vectors that the teacher {settings.teacher} was told '
                f'({teacher.texts} numbers): give the embeddings that it was trained with'
            )
        return teacher

    @classmethod
    def made(cls, settings: Settings, text: int | None = None) -> TextPrior:
        """text: numbers of the embedding; None: those of ``embeddings``."""
        if settings.role == 'student':
            text = 0
        elif text is None:
            text = Vectors.load(settings.embeddings).table.shape[1] if settings.embeddings else 0
        return TextPrior(
            settings.width,
            settings.expansion,
            settings.blocks,
            settings.refinement,
            text,
            settings.fusion,
            len(PHRASES),
        )

    @classmethod
    def ship(cls, checkpoint: Checkpoint, path: Path, **options: Any) -> dict[str, Any]:
        """A teacher's file has its words as vectors in it, for texts of one's own."""
        more = {}
        if checkpoint.network.texts:
            table = checkpoint.network.phrases.double().numpy().round(5).tolist()
            more = {'phrases': json.dumps(dict(zip(PHRASES, table, strict=True)))}
        return super().ship(checkpoint, path, metadata=more, **options)

    @classmethod
    def examples(cls, config: Config, pairs: Sequence[ImagePair]) -> list[Example]:
        """Pairs with faults, three of four of them, and what is wrong in words."""
        settings = config.section
        vectors = Vectors.load(settings.embeddings) if settings.embeddings else None
        spoiler = Spoiler(settings.faults, settings.weakest, settings.strongest, vectors, {})
        found = []
        for number, pair in enumerate(pairs):
            one = spoiler.example(pair.centre(4 * settings.patch), number, config.seed)
            given, clean = (
                ImagePair(pair.stem, *(_pixels(image) for image in images))
                for images in (
                    (one.thermal, one.visible),
                    (one.clean_thermal, one.clean_visible),
                )
            )
            found.append(Example(given, clean, one.text if vectors else None))
        return found

    @classmethod
    def fuser(cls, network: TextPrior) -> Callable[[Example], np.ndarray]:
        @torch.no_grad()
        def run(example: Example) -> np.ndarray:
            text = example.text if network.texts else None
            fused = network(*example.given.tensors(), text)
            return _pixels(fusion.luma(fused))

        return run

    def step(self, number: int) -> dict[str, float]:
        batch = self.crops(number).to(self.engine.device)
        fused, lessons = self.network(batch.thermal, batch.visible, batch.text)
        loss, values = self._base(fused, batch)
        if self.student:
            distil = self.settings.distil
            loss = distil['base'] * loss + weighted(distil, lessons)
            values |= lessons
        self.optimiser.minimise(loss)
        return {'loss': loss.item(), **{name: value.item() for name, value in values.items()}}

    def _base(self, fused: Tensor, batch: Spoilt) -> tuple[Tensor, Values]:
        """The teacher's loss, by the faults of each sample (the student's is switched by none,
        eq. 19), and the means of its terms."""
        count = batch.faults.sum(1, keepdim=True).clamp(min=1)
        share = batch.faults / count
        none = (batch.faults.sum(1, keepdim=True) == 0).float()
        factors = share @ self.factors.to(fused.device) + none
        of_thermal = share @ self.shares.to(fused.device) + none[:, 0]
        values = losses.terms(fused, batch.clean_visible, batch.clean_thermal, of_thermal)
        loss = sum(
            self.settings.weights[name] * (factors[:, i] * values[name]).mean()
            for i, name in enumerate(losses.TERMS)
        )
        return loss, {name: value.mean() for name, value in values.items()}

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        """On validation pairs with faults of their own, the same ones each time."""
        network, device = self._network(), self.engine.device
        numbers = self.engine.share(range(len(self.validation)))
        sums = dict.fromkeys(('loss', *losses.TERMS), 0.0)
        for number in numbers:
            batch = self._spoilt(number).to(device)
            text = batch.text if network.texts else None
            fused = eight_bit(network(batch.thermal, batch.visible, text)).float() / 255
            loss, values = self._base(fused, batch)
            for name, value in (('loss', loss), *values.items()):
                sums[name] += value.item()
        return {name: value / len(numbers) for name, value in sums.items()}

    def _spoilt(self, number: int) -> Spoilt:
        """A validation pair and its faults; the first of four is as it is."""
        return self.spoiler.example(self.validation[number], number, self.engine.config.seed)

    def _network(self) -> TextPrior:
        return self.engine.averaged(self.network).network

    def weights(self) -> dict[str, Tensor]:
        return self._network().state_dict()

    @torch.no_grad()
    def sample(self) -> np.ndarray:
        """Spoilt visible and thermal, fused, and the clean visible image, side by side."""
        network, rows = self._network(), []
        count = min(self.engine.config.samples, len(self.validation))
        side = min(min(pair.thermal.shape) for pair in self.validation)
        for number in range(count):
            batch = self._spoilt(number * len(self.validation) // count).to(self.engine.device)
            text = batch.text if network.texts else None
            fused = network(batch.thermal, batch.visible, text)
            images = (
                batch.visible,
                batch.thermal.expand(-1, 3, -1, -1),
                fused,
                batch.clean_visible,
            )
            row = torch.cat([image[..., :side, :side] for image in images], 3)
            rows.append(eight_bit(row)[0].permute(1, 2, 0).cpu().numpy()[..., ::-1])
        return np.vstack(rows)


class Lesson(nn.Module):
    """A network, and what it learns from a teacher: learned 1x1 reductions of the teacher's
    features to the student's widths (eq. 17)."""

    def __init__(self, network: TextPrior, teacher: TextPrior | None):
        super().__init__()
        self.network = network
        self.teacher = teacher.requires_grad_(False).eval() if teacher is not None else None
        self.reduce = nn.ModuleList()
        if teacher is not None:
            for k in reversed(range(LEVELS)):
                scale = 2**k if k else 2
                self.reduce.append(nn.Conv2d(teacher.width * scale, network.width * scale, 1))

    def forward(
        self, thermal: Tensor, visible: Tensor, text: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The fused image, and the terms of distillation that there are."""
        told = text if self.network.texts else None
        fused, learnt = self.network.painted(thermal, visible, told)
        if self.teacher is None:
            return fused, {}
        with torch.no_grad():
            told = text if self.teacher.texts else None
            right, taught = self.teacher.painted(thermal, visible, told)
        taught = [layer(level) for layer, level in zip(self.reduce, taught, strict=True)]
        lessons = {
            'features': losses.features(taught, learnt),
            'result': (right - fused).abs().mean(),
        }
        return fused, lessons


def _pixels(image: Tensor) -> np.ndarray:
    """One of a batch of one: uint8 (H, W) or RGB (H, W, 3)."""
    return eight_bit(image)[0].permute(1, 2, 0).squeeze(2).numpy()


def switched(switch: Mapping[str, Mapping[str, float]]) -> tuple[Tensor, Tensor]:
    """By what each fault multiplies the terms, float (faults, terms), and thermal's share in ssim,
    (faults,): the table ``switch``. Raises UserError."""
    columns = (*losses.TERMS, 'thermal')
    table = torch.ones(len(FAULTS), len(columns))
    for phrase, factors in switch.items():
        if phrase not in PHRASES:
            raise UserError(
                f'textprior.switch names {phrase!r}, which is no fault; they are '
                f'{", ".join(PHRASES)}'
            )
        for name, factor in factors.items():
            if name not in columns:
                raise UserError(
                    f'textprior.switch: {phrase} has {name!r}; it can have {", ".join(columns)}'
                )
            table[PHRASES.index(phrase), columns.index(name)] = factor
    return table[:, :-1], table[:, -1]
