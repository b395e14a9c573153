"""A calibration as a file: how thermal pixels lie on visible ones, and for which image sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import UserError
from ..io.text_files import read_yaml
from ..io.whole_files import whole_file
from .camera import Size
from .plane import Pose

MARK = 'multimodal_fusion_registration'
VERSION = 1


@dataclass(frozen=True)
class Stored:
    """matrix: 3x3, thermal to visible pixels. thermal_size, visible_size: (height, width) that it
    is for. about: what else is known of it, for people. pose: of the cameras, where it is known."""

    matrix: np.ndarray
    thermal_size: Size
    visible_size: Size
    about: Mapping[str, Any] = field(default_factory=dict)
    pose: Pose | None = None

    @classmethod
    def read(cls, path: Path | str) -> Stored:
        """Raises UserError."""
        path = Path(path)
        content = read_yaml(path, 'the registration')
        if not isinstance(content, dict) or MARK not in content:
            raise UserError(
                f'{path} is no registration: expected a file that "multimodal_fusion calibrate" or '
                '~/save_registration has written'
            )
        if content[MARK] != VERSION:
            raise UserError(f'{path} is of version {content[MARK]}; this package reads {VERSION}')
        try:
            matrix = np.array(content['matrix'], np.float64).reshape(3, 3)
            sizes = [
                (int(content[name][1]), int(content[name][0]))
                for name in ('thermal_size', 'visible_size')
            ]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise UserError(
                f'{path} is damaged: a registration has "matrix" with nine numbers, and '
                '"thermal_size" and "visible_size" with width and height'
            ) from error
        pose = _pose(content, path)
        check_matrix(matrix, str(path))
        if min(min(size) for size in sizes) < 1:
            raise UserError(f'{path} is damaged: sizes are of at least one pixel')
        return cls(matrix, sizes[0], sizes[1], content.get('about') or {}, pose)

    def write(self, path: Path | str) -> None:
        """A file that this package did not write is not replaced. Raises UserError."""
        path = Path(path)
        if path.exists():
            try:
                Stored.read(path)
            except UserError as error:
                raise UserError(
                    f'{path} is there and no registration of ours, so it is left alone: give '
                    'another name'
                ) from error
        content = {
            MARK: VERSION,
            'matrix': [float(f'{number:.9g}') for number in self.matrix.ravel()],
            'thermal_size': [self.thermal_size[1], self.thermal_size[0]],
            'visible_size': [self.visible_size[1], self.visible_size[0]],
            'about': dict(self.about),
        }
        if self.pose is not None:
            content['rotation'] = [float(f'{number:.9g}') for number in self.pose.rotation]
            content['translation'] = [float(f'{number:.6g}') for number in self.pose.translation]
        text = '# Thermal pixels to visible pixels, row by row; sizes are width and height.\n'
        with whole_file(path) as temporary:
            temporary.write_text(text + yaml.safe_dump(content, sort_keys=False))

    def at(self, thermal_size: Size, visible_size: Size) -> np.ndarray:
        """The matrix for images of other sizes that show the same."""
        into, out = grid(thermal_size, self.thermal_size), grid(self.visible_size, visible_size)
        return out @ self.matrix @ into


def _pose(content: Mapping[str, Any], path: Path) -> Pose | None:
    if 'rotation' not in content and 'translation' not in content:
        return None
    try:
        numbers = [tuple(map(float, content[name])) for name in ('rotation', 'translation')]
        return Pose(*numbers)
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(
            f'{path} is damaged: "rotation" has the nine numbers of a rotation, row by row, and '
            '"translation" three, in metres'
        ) from error


def check_matrix(matrix: np.ndarray, name: str) -> None:
    """Raises UserError."""
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise UserError(f'{name}: the matrix cannot be inverted; calibrate again')


def grid(size: Size, other: Size) -> np.ndarray:
    """3x3: pixels of an image to those of the same at another size, (height, width) each; centres
    of pixels are whole numbers."""
    y, x = (b / a for a, b in zip(size, other, strict=True))
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1.0]])
