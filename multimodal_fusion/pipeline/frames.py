"""A frame on its way from a message to the fuser."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..io.image_codec import MAX_PIXELS
from ..parameters import option
from ..registration.camera import image_size
from .pairing import STREAMS
from .thermal import Limits
from .views import PALETTES, VIEWS


@dataclass(frozen=True)
class InputSettings:
    """What comes in, and how large it may be: ``input.*``."""

    rgb_transport: str = option(
        'raw',
        'raw: rgb/image_raw; compressed: rgb/image_raw/compressed.',
        choices=('raw', 'compressed'),
        read_only=True,
    )
    thermal_transport: str = option(
        'raw',
        'raw: thermal/image_raw; compressed: thermal/image_raw/compressed.',
        choices=('raw', 'compressed'),
        read_only=True,
    )
    max_pixels: int = option(
        MAX_PIXELS,
        'Larger images are refused before memory is taken for them.',
        unit='pixels',
        low=1024,
        high=1000000000,
    )


@dataclass(frozen=True)
class OutputSettings:
    """What goes out: ``output.*``."""

    reference: str = option(
        'rgb',
        'Camera whose stamp, frame_id and camera_info the fused image carries.',
        choices=STREAMS,
    )
    view: str = option(
        'fused',
        'What goes out as the fused image; detections stay on the fused one.',
        choices=VIEWS,
    )
    palette: str = option('white', 'Of views that show thermal.', choices=PALETTES)
    opacity: float = option(1.0, 'Of the views inset and edges.', low=0.0, high=1.0)
    compressed: str = option(
        'jpeg',
        'How .../compressed of the fused image and of that with boxes is coded.',
        choices=('jpeg', 'png'),
    )
    jpeg_quality: int = option(80, 'Of compressed images.', low=1, high=100)
    colour: str = option(
        'add',
        'Colour beside fused luma. add: the difference to it stays; keep: saturation and hue stay.',
        choices=('add', 'keep'),
    )


@dataclass(frozen=True)
class ThermalFrame:
    """A thermal image and what was decided about it on arrival.

    counts: uint8 or uint16 (H, W). limits: what maps to 0..255, as
    `ThermalRange` says.
    frozen: seconds for which the camera has repeated itself (shutter); 0.0 if it doesn't.
    """

    counts: np.ndarray
    limits: Limits
    frozen: float = 0.0


@dataclass
class Frame:
    """A message on its way to being fused.

    message: sensor_msgs Image or CompressedImage. arrival: when it came, in the caller's clock.
    thermal: what was decided about a thermal frame; None while nobody wants images.
    age: seconds from its stamp to its arrival. clock: seconds of the node's clock at arrival.
    observing: seconds that the thermal stage took on
    arrival.
    """

    message: Any
    arrival: float
    thermal: ThermalFrame | None = None
    age: float = 0.0
    clock: float = 0.0
    observing: float = 0.0

    @property
    def header(self):
        return self.message.header


@dataclass(frozen=True)
class Lone:
    """A frame of stream ``name`` whose partner does not come. held: the last one of the partner, to
    be fused on; None where the frame goes out alone."""

    name: str
    frame: Frame
    held: Frame | None = None


def stamp_of(header) -> int:
    """Nanoseconds of a message header."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def misfit(info, fused: np.ndarray) -> str:
    """Why a CameraInfo cannot go with a fused image, in a sentence; empty if it can."""
    height, width = fused.shape[:2]
    high, wide = image_size(info)
    if (high, wide) == (height, width):
        return ''
    return (
        f'camera_info of output.reference is for {wide}x{high} images, the fused ones '
        f'are {width}x{height}: it is not passed on'
    )
