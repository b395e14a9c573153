"""Masks of classes in PNG files: the number of the class in each pixel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError
from .image_files import read_thermal

IGNORE = 255  # what nobody knows


def read_mask(path: Path, shape: tuple[int, ...], classes: Sequence[str]) -> np.ndarray:
    """A mask for images of this (height, width), uint8 (H, W). Raises UserError."""
    mask = read_thermal(path)
    if mask.shape != tuple(shape):
        raise UserError(
            f'the mask {path} is {mask.shape[1]}x{mask.shape[0]}, its images are '
            f'{shape[1]}x{shape[0]}: they must be of one size'
        )
    strange = np.setdiff1d(mask, [*range(len(classes)), IGNORE])
    if len(strange):
        raise UserError(
            f'the mask {path} has the class {strange[0]}, and the classes are '
            f'{len(classes)}: {", ".join(classes)}; {IGNORE} is for what nobody knows'
        )
    return mask.astype(np.uint8)
