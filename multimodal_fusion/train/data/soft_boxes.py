"""What another detector sees, cell by cell: soft targets to learn from (Hinton et al., 2015)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...detect.layouts import grid
from ...errors import UserError
from ...runtime.manifest import Manifest, read_model
from ...runtime.session import open_session
from .boxes import CLASSES

KINDS = {'person': (0,), 'car': (2, 5, 7)}  # COCO's person; car, bus and truck
_COLUMNS = 85  # box, objectness, COCO's classes


class SoftBoxes:
    """A YOLOX model with COCO's classes, on crops of any size whose sides are multiples of 32.

    Its cells are those of `networks.yolo.Yolo`: what it says of a cell is what that cell learns.
    """

    def __init__(self, path: Path | str, threads: int = 1):
        """path: a YOLOX .onnx with raw outputs. Raises UserError."""
        import onnx  # with the training extra

        path = Path(path)
        model = onnx.load_from_string(read_model(path, Manifest.load(), allow_unlisted=True))
        # The export fixes the size of its input and of three reshapes: without these it takes any.
        heads = [node.input[0] for node in model.graph.node if node.op_type == 'Reshape']
        shape = model.graph.input[0].type.tensor_type.shape.dim
        if len(heads) != 3 or len(model.graph.input) != 1 or len(shape) != 4:
            raise UserError(
                f'{path} is no YOLOX as its authors export it: detector.teacher must be one with '
                "COCO's classes and raw outputs, or empty"
            )
        for size, name in zip((shape[0], shape[2], shape[3]), 'nhw', strict=True):
            size.dim_param = name
        del model.graph.output[:], model.graph.value_info[:]
        for name in heads:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
        self._session = open_session(model.SerializeToString(), path, ['cpu'], threads)
        self._input = model.graph.input[0].name
        self._path = path

    def __call__(self, clear: Sequence[Sequence[np.ndarray]]) -> list[Tensor | None]:
        """clear: for each crop its views, uint8 (S, S, 3) BGR; none for what is not to be judged.

        Returns for each float (cells, 4 + classes): box as corners in pixels and scores, of the
        view in which the cell is surest; None for no views.
        """
        images = [view for views in clear for view in views]
        if not images:
            return [None] * len(clear)
        pixels = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)
        levels = self._session.run(None, {self._input: pixels})
        raw = np.concatenate(
            [level.reshape(len(images), level.shape[1], -1) for level in levels], 2
        )
        if raw.shape[1] != _COLUMNS:
            raise UserError(f"{self._path} has other classes than COCO's 80; detector.teacher")
        cells, strides = grid(images[0].shape[:2])
        centre = (raw[:, :2] + cells.T) * strides
        half = np.exp(np.minimum(raw[:, 2:4], 10)) * strides / 2
        scores = [raw[:, 4] * raw[:, [5 + k for k in KINDS[name]]].max(1) for name in CLASSES]
        table = np.concatenate((centre - half, centre + half, np.stack(scores, 1)), 1)
        table = torch.from_numpy(table.transpose(0, 2, 1).astype(np.float32))
        found, start = [], 0
        for views in clear:
            seen = table[start : start + len(views)]
            start += len(views)
            found.append(_surest(seen) if len(views) else None)
        return found


def _surest(seen: Tensor) -> Tensor:
    """Of (views, cells, 4 + classes) the rows with the highest score, (cells, 4 + classes)."""
    best = seen[:, :, 4:].amax(2).argmax(0)
    return seen[best, torch.arange(seen.shape[1])]
