"""What is wrong with the pairs of a folder, in words; and the words as numbers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...errors import UserError, quoted, told
from ...fusers.text import PHRASES, THERMAL, VISIBLE
from ...io.text_files import read_text
from ...io.whole_files import whole_file
from .faults import FAULTS, Found, text_of

Encoder = Callable[[Sequence[str]], np.ndarray]
"""Texts to float32 (texts, numbers)."""


@dataclass(frozen=True)
class Vectors:
    """The phrases of `faults.PHRASES` as an encoder sees them.

    encoder: its name. table: float32 (phrases, numbers), rows of length 1.
    """

    encoder: str
    table: np.ndarray

    def of(self, present: np.ndarray) -> np.ndarray:
        """The mean over the faults that are there: (..., faults) of 0 and 1 to (..., numbers); 0 of
        none."""
        count = np.maximum(present.sum(-1, keepdims=True), 1)
        return (present @ self.table / count).astype(np.float32)

    def are(self, table: np.ndarray) -> bool:
        """Whether these are the vectors that a network was told."""
        return self.table.shape == table.shape and np.allclose(self.table, table, atol=1e-4)

    @classmethod
    def load(cls, path: Path | str) -> 'Vectors':
        """Raises UserError."""
        path = Path(path)
        make = 'make it with: multimodal_fusion data embed --out text.npz'
        try:
            with np.load(path, allow_pickle=False) as file:
                phrases, table = [str(p) for p in file['phrases']], file['vectors']
                encoder = str(file['encoder'])
        except FileNotFoundError:
            raise UserError(f'the embeddings {path} do not exist; {make}') from None
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f'{path} holds no embeddings ({told(error)}); {make}') from error
        if phrases != list(PHRASES):
            missing = [p for p in PHRASES if p not in phrases]
            raise UserError(
                f'{path} has {len(phrases)} phrases, and this version knows {len(PHRASES)}'
                f'{f" (such as {missing[0]!r})" if missing else ""}; {make}'
            )
        if table.shape[:1] != (len(PHRASES),) or table.ndim != 2 or not np.isfinite(table).all():
            raise UserError(f'{path} has vectors of shape {table.shape}; {make}')
        return cls(encoder, table.astype(np.float32))

    def save(self, path: Path) -> None:
        with whole_file(Path(path)) as temporary, temporary.open('wb') as file:
            np.savez(file, phrases=PHRASES, vectors=self.table, encoder=self.encoder)


def embed(name: str) -> Vectors:
    """The phrases through an encoder: ``wordllama``, static vectors in a package; or the folder of
    a CLIP text model for transformers. Raises UserError.
    """
    table = (_wordllama() if name == 'wordllama' else _clip(Path(name)))(PHRASES)
    table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    return Vectors(Path(name).name, table.astype(np.float32))


def _wordllama() -> Encoder:
    try:
        import wordllama
    except ImportError:
        raise UserError(
            'the encoder wordllama is not installed: pip install "multimodal_fusion[text]"'
        ) from None
    # Weights and tokenizer lie in the package; it would look for the second on the network.
    model = wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )
    return lambda texts: np.asarray(model.embed(list(texts)), np.float32)


def _clip(folder: Path) -> Encoder:
    if not folder.is_dir():
        raise UserError(
            f'the encoder {quoted(str(folder))} is neither wordllama nor a folder with a CLIP text '
            'model'
        )
    try:
        import torch
        from transformers import AutoTokenizer, CLIPTextModelWithProjection
    except ImportError:
        raise UserError('a CLIP text model needs: pip install transformers') from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = CLIPTextModelWithProjection.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever the library makes of a folder
        raise UserError(f'{folder} holds no CLIP text model: {told(error)}') from error

    def encode(texts: Sequence[str]) -> np.ndarray:
        with torch.no_grad():
            found = model(**tokenizer(list(texts), return_tensors='pt', padding=True))
        return found.text_embeds.numpy()

    return encode


# Rules ------------------------------------------------------------------------------------------

_NUMBER = {(fault.image, fault.name): n for n, fault in enumerate(FAULTS)}


def analyse(visible: np.ndarray, thermal: np.ndarray) -> list[Found]:
    """What is wrong by simple measures, with strengths from 0 to 1.

    visible: uint8 (H, W, 3) or (H, W). thermal: uint8 (H, W). A measure begins to count where it
    is clearly beyond what good images of roads have.
    """
    grey = visible if visible.ndim == 2 else cv2.cvtColor(visible, cv2.COLOR_BGR2GRAY)
    found = []

    def judge(image: str, name: str, value: float, begins: float, severe: float) -> None:
        strength = float(np.clip((value - begins) / (severe - begins), 0, 1))
        if strength > 0:
            found.append(Found(_NUMBER[image, name], round(strength, 2)))

    low, high = np.percentile(grey, (1, 99))
    judge(VISIBLE, 'low light', -float(grey.mean()), -60, -8)
    judge(VISIBLE, 'over-exposure', float((grey >= 250).mean()), 0.12, 0.6)
    if low > 40 and grey.mean() > 90:
        judge(VISIBLE, 'haze', low, 60, 160)
    judge(VISIBLE, 'low contrast', -float(high - low), -90, -20)
    judge(VISIBLE, 'noise', noise_level(grey), 5, 40)
    judge(VISIBLE, 'blur', -_sharpness(grey), -0.25, -0.02)
    low, high = np.percentile(thermal, (1, 99))
    striped = stripe_level(thermal)
    judge(THERMAL, 'noise', noise_level(thermal) - striped, 6, 40)
    judge(THERMAL, 'stripes', striped, 3, 20)
    judge(THERMAL, 'low contrast', -float(high - low), -70, -15)
    judge(THERMAL, 'blur', -_sharpness(thermal), -0.15, -0.02)
    ends = ((thermal <= 1) | (thermal >= 254)).mean()
    judge(THERMAL, 'saturation', float(ends), 0.2, 0.7)
    flat = (thermal.std(1) < 1e-9) & np.isin(thermal[:, 0], (0, 255))
    judge(THERMAL, 'dead rows', float(flat.mean()), 0.005, 0.08)
    return found


def noise_level(image: np.ndarray) -> float:
    """Standard deviation of white noise, grey levels: the median magnitude of the second mixed
    difference, whose deviation is 6 times the noise's (Immerkaer, 1996)."""
    kernel = np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    return float(np.median(np.abs(cv2.filter2D(image.astype(np.float32), -1, kernel)))) / 0.6745 / 6


def stripe_level(image: np.ndarray) -> float:
    """By how much columns are off beside their neighbours, grey levels."""
    columns = np.median(image.astype(np.float32), axis=0)
    step = np.abs(columns[1:-1] - (columns[:-2] + columns[2:]) / 2)
    return float(np.median(step)) / 0.6745 / 1.5**0.5


def _sharpness(image: np.ndarray) -> float:
    """The share of strong gradients that is lost by a small blur: 0 of a blurred image."""
    image = image.astype(np.float32)
    own = np.abs(np.diff(image, axis=1))
    blurred = np.abs(np.diff(cv2.GaussianBlur(image, (0, 0), 1.0), axis=1))
    strong = own >= np.quantile(own, 0.98)
    total = float(own[strong].sum())
    return 1 - float(blurred[strong].sum()) / total if total else 0.0


# Annotations ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Annotation:
    """One line of a file: a pair and what is wrong with it."""

    stem: str
    text: str
    found: tuple[Found, ...]

    @classmethod
    def of(cls, stem: str, found: Sequence[Found]) -> 'Annotation':
        return cls(stem, text_of(found), tuple(found))

    def content(self) -> dict[str, Any]:
        degradations = {one.fault.phrase: one.strength for one in self.found}
        return {'stem': self.stem, 'text': self.text, 'degradations': degradations}

    def line(self) -> str:
        return json.dumps(self.content())


def read_annotations(path: Path) -> dict[str, Annotation]:
    """By stem. Raises UserError."""
    found = {}
    for number, line in enumerate(read_text(Path(path), 'the annotations').splitlines(), 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            faults = tuple(
                Found(PHRASES.index(phrase), float(strength))
                for phrase, strength in given['degradations'].items()
            )
            one = Annotation(str(given['stem']), str(given['text']), faults)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f'{path}, line {number}: expected a JSON object with stem, text and degradations '
                f'(of {", ".join(PHRASES[:3])}, …), got {quoted(line)}'
            ) from error
        found[one.stem] = one
    return found
