"""ROS image messages to numpy and back, without importing ROS.

A *message* here is anything with the fields of ``sensor_msgs/Image`` (``height``, ``width``,
``encoding``, ``is_bigendian``, ``step``, ``data``) or ``sensor_msgs/CompressedImage`` (``format``,
``data``): an rclpy message, a message read from a bag, or a test's own object.

Everything is checked before anything is allocated, and reads are views on the message's bytes
wherever the encoding allows it: treat the arrays as read-only.
"""

import sys
from array import array
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import BadImage, quoted
from .image_codec import MAX_PIXELS, check_size, decode
from .pixels import luma


@dataclass(frozen=True)
class Encoding:
    """How one pixel lies in the message's bytes."""

    channels: int
    bits: int = 8
    to_bgr: int | None = None
    """OpenCV conversion code to BGR; None where the pixels are grey or BGR already."""


ENCODINGS = {
    'mono8': Encoding(1),
    '8UC1': Encoding(1),
    'mono16': Encoding(1, 16),
    '16UC1': Encoding(1, 16),
    'bgr8': Encoding(3),
    '8UC3': Encoding(3),
    'rgb8': Encoding(3, to_bgr=cv2.COLOR_RGB2BGR),
    'bgra8': Encoding(4, to_bgr=cv2.COLOR_BGRA2BGR),
    'rgba8': Encoding(4, to_bgr=cv2.COLOR_RGBA2BGR),
    # ROS names the plain 'yuv422' byte order after UYVY; newer releases spell both orders out.
    'yuv422': Encoding(2, to_bgr=cv2.COLOR_YUV2BGR_UYVY),
    'uyvy': Encoding(2, to_bgr=cv2.COLOR_YUV2BGR_UYVY),
    'yuv422_yuy2': Encoding(2, to_bgr=cv2.COLOR_YUV2BGR_YUY2),
    'yuyv': Encoding(2, to_bgr=cv2.COLOR_YUV2BGR_YUY2),
    # ROS names the first two pixels of the first two rows, OpenCV those of the second: hence BG.
    'bayer_rggb8': Encoding(1, to_bgr=cv2.COLOR_BayerBG2BGR),
    'bayer_bggr8': Encoding(1, to_bgr=cv2.COLOR_BayerRG2BGR),
    'bayer_gbrg8': Encoding(1, to_bgr=cv2.COLOR_BayerGR2BGR),
    'bayer_grbg8': Encoding(1, to_bgr=cv2.COLOR_BayerGB2BGR),
}

_PUBLISHED = (b'\xff\xd8', b'\x89PNG\r\n\x1a\n')  # how compressed messages begin


def check(message, max_pixels: int = MAX_PIXELS) -> Encoding:
    """Check the fields of an Image message against each other; returns its encoding.

    Raises BadImage with reason ``encoding``, ``size`` or ``truncated``.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise BadImage(
            'encoding',
            f'image encoding {quoted(message.encoding)} is not supported; '
            f'publish one of {", ".join(ENCODINGS)}',
        )
    height, width = message.height, message.width
    check_size(height, width, max_pixels)
    if encoding.to_bgr in (cv2.COLOR_YUV2BGR_UYVY, cv2.COLOR_YUV2BGR_YUY2) and width % 2:
        raise BadImage('size', f'a {message.encoding} image needs an even width, got {width}')
    row = width * encoding.channels * encoding.bits // 8
    if message.step < row:
        raise BadImage(
            'size',
            f'step is {message.step} bytes, but a row of {width} {message.encoding} pixels '
            f'takes {row}; the driver fills in step wrongly',
        )
    expected, got = height * message.step, len(_buffer(message.data))
    if got != expected:
        raise BadImage(
            'truncated',
            f'expected {expected} bytes of data ({height} rows x step {message.step}), got {got}; '
            'the message was cut off or the driver fills in its fields wrongly',
        )
    return encoding


def _buffer(data) -> memoryview:
    """The bytes of a message's data. Raises BadImage where they lie in no memory of ours.

    Lyrical's messages may carry a ``rosidl::Buffer`` instead of an ``array``, on a GPU for example.
    """
    try:
        return memoryview(data)
    except TypeError:
        raise BadImage(
            'encoding',
            f'the pixels come as {type(data).__name__}, which cannot be read as bytes here: '
            'publish images from host memory',
        ) from None


def as_array(message, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The message's pixels as they are: a view, nothing is copied.

    Returns uint8 or uint16 (H, W) for one channel, (H, W, C) otherwise. Padded rows become strides;
    16-bit data of foreign byte order keeps it in its dtype. Raises BadImage.
    """
    encoding = check(message, max_pixels)
    sixteen = '>u2' if message.is_bigendian else '<u2'
    dtype = np.dtype(sixteen if encoding.bits == 16 else 'u1')
    shape: tuple[int, ...] = (message.height, message.width)
    strides: tuple[int, ...] = (message.step, dtype.itemsize)
    if encoding.channels > 1:
        shape = (*shape, encoding.channels)
        strides = (message.step, encoding.channels, 1)
    data = np.frombuffer(_buffer(message.data), np.uint8)
    return np.ndarray(shape, dtype, buffer=data, strides=strides)


def to_visible(message, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A visible-light Image message as uint8 (H, W, 3) BGR, or (H, W) where it is grey.

    16-bit grey keeps its high byte (cv_bridge rounds: one level at most). Raises BadImage.
    """
    encoding = check(message, max_pixels)
    pixels = as_array(message, max_pixels)
    if encoding.to_bgr is not None:
        return cv2.cvtColor(np.ascontiguousarray(pixels), encoding.to_bgr)
    return (pixels >> 8).astype(np.uint8) if encoding.bits == 16 else pixels


def to_thermal(message, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A thermal Image message as uint8 or native uint16 (H, W) raw counts.

    Colour encodings are taken as grey pictures in three channels and reduced to luma.
    Raises BadImage.
    """
    encoding = check(message, max_pixels)
    if encoding.bits == 16:
        return as_array(message, max_pixels).astype(np.uint16, copy=False)
    visible = to_visible(message, max_pixels)
    return visible if visible.ndim == 2 else luma(visible)


def decompress(message, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A CompressedImage message (JPEG or PNG) as uint8 BGR, uint8 grey or uint16 grey.

    The size is read from the file's header and checked before the decoder allocates it.
    Raises BadImage with reason ``encoding``, ``size`` or ``truncated``.
    """
    if 'compressedDepth' in message.format:
        raise BadImage(
            'encoding',
            f'compressed format {quoted(message.format)} is a depth image with a header of its '
            'own; publish JPEG or PNG through the "compressed" transport',
        )
    data = np.frombuffer(_buffer(message.data), np.uint8)
    if not data[:8].tobytes().startswith(_PUBLISHED):
        raise BadImage(
            'encoding',
            f'the compressed image (format {quoted(message.format)}) is neither JPEG nor PNG: it '
            f'begins with {data[:8].tobytes().hex(" ") or "nothing"}; publish one of these',
        )
    try:
        return decode(data, max_pixels)
    except BadImage as error:
        if error.reason != 'truncated':
            raise
        raise BadImage(
            'truncated',
            f'the {quoted(message.format)} image of {len(data)} bytes does not decode; it was cut '
            f'off or damaged on the way: {error}',
        ) from error


def is_compressed(message) -> bool:
    """Whether a message is a CompressedImage rather than an Image."""
    return hasattr(message, 'format')


def read_visible(message, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A visible-light Image or CompressedImage as uint8 BGR (H, W, 3) or grey (H, W).

    Raises BadImage.
    """
    if not is_compressed(message):
        return to_visible(message, max_pixels)
    pixels = decompress(message, max_pixels)
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def read_thermal(message, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A thermal Image or CompressedImage as uint8 or uint16 (H, W) raw counts. Raises BadImage."""
    if not is_compressed(message):
        return to_thermal(message, max_pixels)
    pixels = decompress(message, max_pixels)
    return pixels if pixels.ndim == 2 else luma(pixels)


def encoding_of(pixels: np.ndarray) -> str:
    """The encoding name that fits an array: mono8, mono16 or bgr8. Raises BadImage."""
    names = {(2, 'uint8'): 'mono8', (2, 'uint16'): 'mono16', (3, 'uint8'): 'bgr8'}
    name = names.get((pixels.ndim, pixels.dtype.name))
    if name is None or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise BadImage(
            'encoding',
            'expected uint8 (H, W), uint16 (H, W) or uint8 (H, W, 3), '
            f'got {pixels.dtype} {pixels.shape}',
        )
    return name


def fields(pixels: np.ndarray, encoding: str | None = None, share: bool = False) -> dict:
    """The fields of an Image message for an array; its bytes are copied once.

    ``data`` is an ``array('B')``, the one type that rclpy takes over as it is (by
    `nodes.distro.image_message`): bytes, lists and ndarrays are walked through byte by byte.
    share: if the pixels are the whole of such an array, take that and copy nothing; the caller
    promises not to write to them again. Raises BadImage.
    """
    data = _whole_buffer(pixels) if share else None
    if data is None:
        data = array('B')
        data.frombytes(bytes_of(pixels))
    height, width = pixels.shape[:2]
    return {
        'height': height,
        'width': width,
        'encoding': encoding or encoding_of(pixels),
        'is_bigendian': int(sys.byteorder == 'big'),
        'step': len(data) // height,
        'data': data,
    }


def _whole_buffer(pixels: np.ndarray) -> array | None:
    """The ``array('B')`` that the pixels fill from its first byte to its last, if any."""
    owner: Any = pixels
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    fits = isinstance(owner, array) and owner.typecode == 'B' and len(owner) == pixels.nbytes
    return owner if fits and pixels.flags.c_contiguous else None


def bytes_of(pixels: np.ndarray) -> np.ndarray:
    """The pixels row by row as flat uint8: a view where they lie so already."""
    return np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)


def fill(message, pixels: np.ndarray, encoding: str | None = None, share: bool = False):
    """Set the `fields` of an Image message from an array; returns the message."""
    for name, value in fields(pixels, encoding, share).items():
        setattr(message, name, value)
    return message
