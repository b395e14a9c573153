"""Cut-out objects that both cameras saw, pasted into other scenes.

Copy and paste as augmentation (Dwibedi et al., ICCV 2017): the same object in both spectra, at the
same place, with a soft edge.
"""

from pathlib import Path

import cv2
import numpy as np

from ...errors import UserError
from ...io.datasets import match_by_stem, usable
from ...io.image_files import read_thermal, read_visible
from ...io.stems import Selection
from .boxes import CLASSES
from .fingerprint import digest
from .pairs import ALL

HEIGHTS = 12.0, 120.0  # pixels, of what is pasted
MOST = 3  # objects in a crop
_TRIES = 8
_EDGE = 0.12  # of a side, over which an object fades out


class Objects:
    """Objects of one folder: vis/CLASS and ir/CLASS, equal file names, equal sizes."""

    def __init__(self, folder: Path | str, selection: Selection = ALL):
        """selection: its ``without`` leaves out the names of files. Raises UserError."""
        folder = Path(folder)
        self.visible: list[np.ndarray] = []
        self.thermal: list[np.ndarray] = []
        labels = []
        for label, name in enumerate(CLASSES):
            parts = folder / 'vis' / name, folder / 'ir' / name
            if not all(part.is_dir() for part in parts):
                raise UserError(
                    f'{folder} should hold objects in vis/{name} and ir/{name}, with equal file '
                    'names; detector.objects may be empty instead'
                )
            files = selection.leave_out(match_by_stem(*parts)[0], folder)
            pairs = usable(
                files, lambda f: (read_visible(f.visible), read_thermal(f.thermal)), folder
            )
            self.visible += [visible for visible, _ in pairs]
            self.thermal += [thermal for _, thermal in pairs]
            labels += [label] * len(pairs)
        self.labels = np.array(labels, np.int64)
        self.fingerprint = digest((*self.visible, *self.thermal))

    def paste(
        self,
        visible: np.ndarray,
        thermal: np.ndarray,
        boxes: np.ndarray,
        labels: np.ndarray,
        judged: np.ndarray,
        random: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paste up to `MOST` objects of the classes that are judged, where no box is.

        visible: uint8 (S, S, 3), and thermal: uint8 (S, S), are changed in place. boxes: float32
        (M, 4). Returns all boxes and labels.
        """
        which = np.flatnonzero(judged[self.labels] > 0)
        side = thermal.shape[0]
        for _ in range(random.integers(1, MOST + 1)):
            i = which[random.integers(len(which))]
            high, wide = self.thermal[i].shape
            height = np.exp(random.uniform(*np.log(HEIGHTS)))
            width = height * wide / high * np.exp(random.uniform(-0.15, 0.15))
            size = max(4, round(width)), max(8, round(height))
            if max(size) >= side:
                continue
            for _ in range(_TRIES):
                x, y = (int(random.integers(side - n)) for n in size)
                box = np.float32([x, y, x + size[0], y + size[1]])
                if not _meets(box, boxes).any():
                    break
            else:
                continue
            alpha = _soft(size)[..., None]
            place = np.s_[y : y + size[1], x : x + size[0]]
            flip = random.integers(2)
            for image, cutting in ((visible, self.visible[i]), (thermal, self.thermal[i])):
                part = cv2.resize(cutting, size, interpolation=cv2.INTER_AREA)
                part = part[:, ::-1] if flip else part
                under = image[place]
                mixed = under + (alpha if image.ndim == 3 else alpha[..., 0]) * (
                    part.astype(np.float32) - under
                )
                image[place] = np.round(mixed)
            boxes = np.concatenate((boxes, box[None]))
            labels = np.append(labels, self.labels[i])
        return boxes, labels


def _meets(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Which boxes have anything in common with one."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    return ((high - low) > 0).all(1)


def _soft(size: tuple[int, int]) -> np.ndarray:
    """1 inside, falling to 0 at the rim, float32 (height, width)."""
    across, down = (
        np.clip(np.minimum(at := np.linspace(0, 1, n), 1 - at) / _EDGE, 0, 1) for n in size
    )
    return np.outer(down, across).astype(np.float32)
