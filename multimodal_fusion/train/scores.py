"""Metrics of a trained network over validation pairs: for tables and model cards."""

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..errors import UserError
from ..io.pixels import luma
from .data.pairs import ImagePair, eight_bit, to_unit

CARD = ('EN', 'SD', 'SF', 'MI', 'SCD', 'VIF', 'Qabf', 'SSIM', 'KC')
Fuse = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(thermal, visible) -> fused, all uint8 (H, W)."""
Scores = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, float]]
"""(thermal, visible, fused) -> metrics."""


@dataclass(frozen=True)
class Example:
    """A pair to fuse, what the result is scored beside (the pair itself, or the same without the
    faults that were planted), and the text of it, float (1, numbers), for networks that are told
    one.
    """

    given: ImagePair
    clean: ImagePair
    text: torch.Tensor | None = None


def metrics(names: tuple[str, ...]) -> Scores:
    """Our definitions of these metrics. Raises UserError where OpenCV or the package is missing."""
    try:
        from ..evaluate.metrics import SourcePair, Triple, evaluate
    except ImportError as error:
        raise UserError(f'scores need multimodal_fusion.evaluate: {error}') from error
    return lambda thermal, visible, fused: evaluate(
        Triple(SourcePair(thermal, visible), fused), metrics=names
    )


def fuse(network: nn.Module) -> Fuse:
    """The pixels that the model file of a luma network gives."""

    @torch.no_grad()
    def run(thermal: np.ndarray, visible: np.ndarray) -> np.ndarray:
        images = (to_unit(image[None, None]) for image in (thermal, visible))
        return eight_bit(network(*images))[0, 0].numpy()

    return run


def score(fuse: Fuse, pairs: list[ImagePair], scores: Scores) -> dict[str, float]:
    """Means over the pairs of grey images."""
    return score_examples(of_pair(fuse), [Example(pair, pair) for pair in pairs], scores)


def of_pair(fuse: Fuse) -> Callable[[Example], np.ndarray]:
    """What fuses the grey images of an example, whatever is said of it."""
    return lambda one: fuse(one.given.thermal, _grey(one.given.visible))


def score_examples(
    fuse: Callable[[Example], np.ndarray], examples: Iterable[Example], scores: Scores
) -> dict[str, float]:
    """Means over them, each without those that a metric is not defined for; NaN if none."""
    found = [scores(e.clean.thermal, _grey(e.clean.visible), fuse(e)) for e in examples]
    values = {name: [row[name] for row in found if np.isfinite(row[name])] for name in found[0]}
    return {name: statistics.fmean(kept) if kept else math.nan for name, kept in values.items()}


def _grey(visible: np.ndarray) -> np.ndarray:
    """RGB, as training has it, or grey, as luma."""
    return visible if visible.ndim == 2 else luma(np.ascontiguousarray(visible[..., ::-1]))
