"""An image on a detector's input, and boxes back on the image."""

from dataclasses import dataclass

import cv2
import numpy as np

PAD = 114  # the grey that YOLO models are trained to see around their input
FITS = ('corner', 'centre', 'stretch')


@dataclass(frozen=True)
class Fit:
    """How an image of ``image`` (height, width) lies on an input of ``size`` (height, width).

    scale: (x, y), input pixels per image pixel; left, top: where it begins; width, height: what it
    covers there.
    """

    image: tuple[int, int]
    size: tuple[int, int]
    scale: tuple[float, float]
    left: int
    top: int
    width: int
    height: int

    def to_image(self, boxes: np.ndarray) -> np.ndarray:
        """Corners (N, 4) from input to image pixels, clipped to the image."""
        offset = np.array((self.left, self.top) * 2, np.float32)
        boxes = (boxes - offset) / np.array(self.scale * 2, np.float32)
        return np.clip(boxes, 0, np.array(self.image[::-1] * 2, np.float32))


def fit(image: tuple[int, int], size: tuple[int, int], how: str) -> Fit:
    """The place of an image on an input, both (height, width).

    how: ``corner`` or ``centre``, scaled alike in both directions with grey around it, or
    ``stretch`` over the whole input.
    """
    if how == 'stretch':
        return Fit(image, size, (size[1] / image[1], size[0] / image[0]), 0, 0, size[1], size[0])
    scale = min(size[0] / image[0], size[1] / image[1])
    height, width = (max(1, round(n * scale)) for n in image)
    # The scales that the rounded size really has: boxes come back to half a pixel.
    scales = (width / image[1], height / image[0])
    left, top = ((size[1] - width) // 2, (size[0] - height) // 2) if how == 'centre' else (0, 0)
    return Fit(image, size, scales, left, top, width, height)


def tight(image: tuple[int, int], longest: int, multiple: int = 32) -> tuple[int, int]:
    """The smallest input for an image whose longer side becomes ``longest``, both (height, width),
    in multiples of the coarsest stride."""
    scale = longest / max(image)
    height, width = (max(multiple, multiple * -(-round(n * scale) // multiple)) for n in image)
    return height, width


_MEAN = np.array((0.406, 0.456, 0.485), np.float32)  # of ImageNet, blue first
_DEVIATION = np.array((0.225, 0.224, 0.229), np.float32)


class Canvas:
    """Puts images onto an input of one kind; keeps its memory from image to image.

    rgb: channels in the order red, green, blue, otherwise as OpenCV has them. unit: 0..1 instead of
    0..255. normed: less ImageNet's mean, by its deviation. dtype: float32 or float16.
    """

    def __init__(
        self, how: str, rgb: bool, unit: bool, dtype: np.typing.DTypeLike, normed: bool = False
    ):
        self.how, self.rgb, self.unit, self.dtype = how, rgb, unit, np.dtype(dtype)
        self.normed = normed
        self._fit: Fit | None = None

    def blob(self, image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, Fit]:
        """image: uint8 (H, W, 3) BGR or (H, W). Returns (1, 3, *size) of dtype, which the next call
        overwrites, and the place."""
        place = self._fit
        if place is None or place.image != image.shape[:2] or place.size != size:
            place = self._fit = fit(image.shape[:2], size, self.how)
            self._pixels = np.full((*size, 3), PAD, np.uint8)
            self._planes = [np.empty(size, np.uint8) for _ in range(3)]
            self._blob = np.empty((1, 3, *size), np.float32)
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        rows = slice(place.top, place.top + place.height)
        columns = slice(place.left, place.left + place.width)
        self._pixels[rows, columns] = cv2.resize(image, (place.width, place.height))
        cv2.split(self._pixels, self._planes)
        scale = np.float32(1 / 255 if self.unit else 1)
        for channel, plane in enumerate(self._planes):
            at = self._blob[0, 2 - channel if self.rgb else channel]
            np.multiply(plane, scale, out=at)
            if self.normed:
                at -= _MEAN[channel]
                at /= _DEVIATION[channel]
        return self._blob.astype(self.dtype, copy=False), place
