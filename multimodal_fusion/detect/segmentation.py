"""Semantic segmentation by an ONNX model: pixels in, the number of a class for each out."""

import json
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError, quoted, told
from ..runtime.manifest import Manifest, read_model
from ..runtime.session import open_session, run
from ..runtime.trial import try_unlisted
from .names import class_names

AUTO_SIDE = 320  # longer side for models of any size that don't say which they were trained on
STRIDE = 32
COLOURS = ((0, 0, 0), (60, 60, 255), (255, 160, 40), (80, 200, 80), (40, 220, 255), (220, 80, 200))


class SegmentationModel:
    """A segmentation model; read-only once made.

    path: a name that ``models`` lists as a segmenter, or an .onnx file with one input, RGB in
    [0, 1], float32 (1, 3, H, W), and as its first output logits or scores, (1, classes, h, w).
    names: of the classes, by number. Raises UserError for other files.
    """

    def __init__(self, path: str, threads: int = 1, allow_unlisted: bool = False):
        manifest = Manifest.load()
        entry = manifest.segmenters.get(path)
        if entry is None and Path(path).suffix.lower() != '.onnx':
            raise UserError(
                f'{quoted(path)} is no segmenter; known are '
                f'{", ".join(manifest.segmenters) or "none"}, or give the path of an .onnx file'
            )
        self.path = manifest.folder / entry.file if entry else Path(path)
        self.name = entry.name if entry else self.path.stem
        content = read_model(self.path, manifest, allow_unlisted)
        try_unlisted(content, self.path, manifest, AUTO_SIDE)
        self._session = open_session(content, self.path, ('cpu',), threads, False)
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or inputs[0].type != 'tensor(float)':
            raise UserError(
                f'{self.path} takes {", ".join(f"{i.type} {i.shape}" for i in inputs)}; a '
                'segmenter takes one image, float32 (1, 3, H, W)'
            )
        self._fixed = tuple(shape[2:]) if all(isinstance(n, int) for n in shape[2:]) else None
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._side = self._longer(metadata.get('imgsz', ''))
        count = self.logits(np.zeros((64, 64, 3), np.uint8)).shape[0]
        self.names = class_names(metadata, '', count)

    @staticmethod
    def _longer(text: str) -> int:
        try:
            side = int(max(json.loads(text[:100])))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return AUTO_SIDE
        return side if STRIDE <= side <= 4096 else AUTO_SIDE

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the input for an image of this size."""
        if self._fixed:
            return self._fixed
        scale = self._side / max(height, width)
        rounded = [max(1, round(side * scale / STRIDE)) * STRIDE for side in (height, width)]
        return rounded[0], rounded[1]

    def logits(self, image: np.ndarray) -> np.ndarray:
        """What the model says of an image, float32 (classes, h, w). Raises UserError."""
        height, width = self._size(*image.shape[:2])
        shrinks = height * width < image.shape[0] * image.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)
        blob = cv2.resize(rgb, (width, height), interpolation=how).transpose(2, 0, 1)[None]
        feed = {self._session.get_inputs()[0].name: blob.astype(np.float32) / 255}
        try:
            found = np.asarray(run(self._session, None, feed)[0])
        except Exception as error:  # the runtime's own exception types share no base class
            raise UserError(
                f'{self.path} failed on an input of {width}x{height}: {told(error)}'
            ) from error
        if found.ndim != 4 or found.shape[0] != 1 or found.shape[1] < 2:
            raise UserError(
                f'{self.path} returns {list(found.shape)}; a segmenter returns logits, '
                '(1, classes, h, w)'
            )
        return found[0].astype(np.float32)

    def segment(self, image: np.ndarray) -> np.ndarray:
        """image: uint8 (H, W, 3) BGR or (H, W). Returns numbers of classes, uint8 (H, W)."""
        size = image.shape[1::-1]
        shares = [cv2.resize(plane, size) for plane in self.logits(image)]
        return np.argmax(shares, axis=0).astype(np.uint8)


def paint(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of the image, as BGR, with every class but the first in a colour of its own; what
    nobody knows is grey."""
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
    table = np.full((256, 3), 128, np.uint8)
    table[: len(COLOURS)] = COLOURS
    mixed = cv2.addWeighted(picture, 0.45, table[mask], 0.55, 0)
    return np.where((mask > 0)[..., None], mixed, picture)
