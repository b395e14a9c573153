"""Coded images in memory to pixels: what the header says is checked before a decoder allocates it.

The sizes are read here as the decoders read them, and whether the image is whole: decoders fill
what is missing with grey, some without a word. A file that two readers could take for two sizes is
refused, so that nothing gets past ``max_pixels``.

Known are JPEG, PNG, TIFF, BMP, WebP and PNM (PGM, PPM, PAM).
"""

import re
import struct
from collections.abc import Callable

import cv2
import numpy as np

from ..errors import NO_MEMORY, BadImage, out_of_memory

MAX_PIXELS = 64_000_000
"""Default cap on height times width: above any camera in use, below what exhausts a robot."""


def decode(data: np.ndarray, max_pixels: int = MAX_PIXELS, floats: bool = False) -> np.ndarray:
    """The pixels of a coded image as they are stored: uint8 or uint16, (H, W) or (H, W, 3) BGR.

    data: uint8 (N,), a whole file. floats: float32 (H, W) is welcome, too. An alpha channel is
    dropped. Raises BadImage with reason ``encoding``, ``size`` or ``truncated``.
    """
    height, width, end = read_header(data)
    check_size(height, width, max_pixels)
    try:
        # What lies behind the end is not handed on: decoders have read chunks there, too.
        pixels = cv2.imdecode(data[:end], cv2.IMREAD_UNCHANGED)
    except Exception as error:  # cv2.error, MemoryError: whatever damage leads the decoder into
        if out_of_memory(error):
            raise BadImage('size', f'{width}x{height}: {NO_MEMORY}') from error
        raise BadImage('truncated', f'it does not decode ({error}); it is damaged') from error
    if pixels is None or pixels.shape[:2] != (height, width):
        raise BadImage('truncated', 'it does not decode: it is damaged')
    if floats and pixels.dtype == np.float32 and pixels.ndim == 2:
        return pixels
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BadImage('encoding', f'it holds {pixels.dtype} pixels; expected 8 or 16 bits')
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise BadImage('encoding', f'it has {pixels.shape[2]} channels; expected 1, 3 or 4')
    return pixels


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raises BadImage for an empty image and one over the cap."""
    if height < 1 or width < 1:
        raise BadImage('size', f'the image is {width}x{height}: both sides must be at least 1')
    if height * width > max_pixels:
        raise BadImage(
            'size',
            f'the image is {width}x{height}, over the cap of {max_pixels} pixels; '
            'raise input.max_pixels (--max-pixels) if it is meant to be that large',
        )


def read_header(data: np.ndarray) -> tuple[int, int, int]:
    """(height, width, end in bytes) of a coded image. data: uint8 (N,), a whole file.

    Raises BadImage: ``encoding`` for another kind of file, ``truncated`` for a damaged one.
    """
    raw = memoryview(np.ascontiguousarray(data))
    start = bytes(raw[:12])
    kind = next((kind for kind, (begins, _) in _READERS.items() if begins(start)), None)
    if kind is None:
        raise BadImage(
            'encoding',
            f'it is none of {", ".join(_READERS)}, or damaged in its first bytes: '
            f'{start[:8].hex(" ") or "nothing"}',
        )
    try:
        return _READERS[kind][1](raw)
    except (struct.error, ValueError, OverflowError) as error:
        reason = str(error) if type(error) is ValueError else 'it ends in its header'
        raise BadImage('truncated', f'as {kind} it is cut off or damaged: {reason}') from error


# JPEG --------------------------------------------------------------------------------------------

_SIZES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # start of a frame that libjpeg reads
_SEGMENTS = {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)} | _SIZES
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length


def _jpeg(raw: memoryview) -> tuple[int, int, int]:
    """The frame header before the first scan; the image has to go on to its end marker."""
    data = np.frombuffer(raw, np.uint8)
    # As libjpeg, between segments and within scans alike: what is no marker is passed over, and
    # FF before 00 or another FF is none.
    marks = np.flatnonzero(data[:-1] == 0xFF)
    marks = marks[(data[marks + 1] != 0) & (data[marks + 1] != 0xFF)]
    size: tuple[int, int] | None = None
    at, scanned, huffman = 2, False, True
    for mark in marks.tolist():
        if mark < at:  # within a segment
            continue
        marker, at = raw[mark + 1], mark + 2
        if marker == 0xD9 and scanned and size:
            height, width = size
            # Huffman codes take a bit or more for each block of 8x8; arithmetic ones may take less.
            if huffman and height * width > 64 * 8 * at:
                raise ValueError(f'{at} bytes cannot hold {width}x{height} pixels')
            return height, width, at
        if marker in _ALONE:
            continue
        if marker not in _SEGMENTS:
            raise ValueError(f'marker FF {marker:02X} is not expected there')
        (length,) = struct.unpack_from('>H', raw, at)
        if length < 2 or at + length > len(raw):
            where = 'one of its scans' if scanned else 'its header'
            raise ValueError(f'it ends in {where}, segment FF {marker:02X}')
        if marker in _SIZES:
            if size:
                raise ValueError('it has two frame headers')
            size, huffman = struct.unpack_from('>HH', raw, at + 3), marker < 0xC9
        elif marker == 0xDA:
            if not size:
                raise ValueError('it has no frame header')
            scanned = True
        at += length
    raise ValueError('its end is missing')


# PNG ---------------------------------------------------------------------------------------------

_PNG = b'\x89PNG\r\n\x1a\n'


def _png(raw: memoryview) -> tuple[int, int, int]:
    """The header chunk. All chunks have to fit into the bytes there are, up to the last one."""
    at, size = len(_PNG), None
    while True:
        length, kind = struct.unpack_from('>I4s', raw, at)
        if at + 12 + length > len(raw):
            raise ValueError(f'chunk {kind!r} says {length} bytes, more than the image has')
        if (kind == b'IHDR') != (size is None):
            raise ValueError('its header is not its first chunk alone')
        if size is None:
            width, height = struct.unpack_from('>II', raw, at + 8)
            size = height, width
        if kind == b'IEND':
            return *size, at + 12 + length
        at += 12 + length


# TIFF --------------------------------------------------------------------------------------------

_TIFF_TYPES = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}
_WIDTH, _HEIGHT, _ORIENTATION, _STRIP_BYTES = 256, 257, 274, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES = 322, 323, 325
_TILE = 4096 * 4096  # pixels; a larger tile must not be larger than the image, which it fills up


def _tiff(raw: memoryview) -> tuple[int, int, int]:
    """The first page, of which alone OpenCV's imdecode makes an image; classic and BigTIFF."""
    tags = _tiff_tags(raw)
    if max((*tags.get(_STRIP_BYTES, ()), *tags.get(_TILE_BYTES, ())), default=0) > len(raw):
        raise ValueError('a part of it is longer than the image')
    height, width = (tags.get(tag, (0,))[0] for tag in (_HEIGHT, _WIDTH))
    tile = tags.get(_TILE_HEIGHT, (height,))[0] * tags.get(_TILE_WIDTH, (width,))[0]
    if tile > max(_TILE, 2 * height * width):
        raise ValueError('its tiles are larger than the image')
    if 5 <= tags.get(_ORIENTATION, (1,))[0] <= 8:  # it lies on its side, and OpenCV puts it up
        height, width = width, height
    return height, width, len(raw)


def _tiff_tags(raw: memoryview) -> dict[int, tuple[int, ...]]:
    """The values of the tags named above, as far as they are there."""
    order = '<' if raw[0] == ord('I') else '>'
    big = struct.unpack_from(f'{order}H', raw, 2)[0] == 43  # BigTIFF, of 64-bit offsets
    word, size = ('Q', 8) if big else ('I', 4)
    at = struct.unpack_from(order + word, raw, size)[0]
    count = struct.unpack_from(f'{order}{"Q" if big else "H"}', raw, at)[0]
    at += 8 if big else 2
    used = (_WIDTH, _HEIGHT, _ORIENTATION, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES)
    tags: dict[int, tuple[int, ...]] = {}
    for place in range(at, at + min(count, 0xFFFF) * (4 + 2 * size), 4 + 2 * size):
        tag, kind, many = struct.unpack_from(f'{order}HH{word}', raw, place)
        if tag not in used:
            continue
        form = f'{order}{many}{_TIFF_TYPES.get(kind, "x")}'
        if struct.calcsize(form) > len(raw):
            raise ValueError('its directory is longer than the image')
        value = place + 4 + size
        if struct.calcsize(form) > size:
            value = struct.unpack_from(order + word, raw, value)[0]
        values = struct.unpack_from(form, raw, value)
        # Of two that differ, decoders do not all take the same one.
        if not values or tags.setdefault(tag, values) != values:
            raise ValueError('its directory contradicts itself')
    return tags


# The others --------------------------------------------------------------------------------------


def _bmp(raw: memoryview) -> tuple[int, int, int]:
    (header,) = struct.unpack_from('<I', raw, 14)
    if header == 12:
        width, height = struct.unpack_from('<HH', raw, 18)
    else:
        width, height = struct.unpack_from('<ii', raw, 18)
    return abs(height), width, len(raw)  # negative: from the top down


def _webp(raw: memoryview) -> tuple[int, int, int]:
    """The first chunk: VP8X gives the canvas, VP8L and VP8 the frame."""
    riff, kind, length = struct.unpack_from('<4xI4x4sI', raw)
    if riff + 8 > len(raw) or length + 20 > len(raw):
        raise ValueError('its end is missing')
    if kind == b'VP8X':
        width, height = (1 + int.from_bytes(raw[at : at + 3], 'little') for at in (24, 27))
    elif kind == b'VP8L':
        bits = struct.unpack_from('<I', raw, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b'VP8 ':
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', raw, 26))
    else:
        raise ValueError(f'its first chunk is {kind!r}')
    return height, width, riff + 8


_TOKEN = re.compile(rb'(?:\s|#[^\r\n]*[\r\n])*([^\s#]+)')


def _pnm(raw: memoryview) -> tuple[int, int, int]:
    """P1 to P6: width and height in the header. P7 (PAM): by name."""
    head = bytes(raw[:4096])
    if head.startswith(b'P7'):
        head = head.partition(b'ENDHDR')[0]
        fields = dict(re.findall(rb'^(WIDTH|HEIGHT)\s+(\d{1,9})\s*$', head, re.M))
        if len(fields) != 2 or len(re.findall(rb'WIDTH|HEIGHT', head)) != 2:
            raise ValueError('it does not give its size once')
        return int(fields[b'HEIGHT']), int(fields[b'WIDTH']), len(raw)
    first = _TOKEN.match(head, 2)
    second = first and _TOKEN.match(head, first.end())
    if not (first and second) or not (first[1].isdigit() and second[1].isdigit()):
        raise ValueError('its header holds no size')
    return int(second[1]), int(first[1]), len(raw)


_READERS: dict[
    str, tuple[Callable[[bytes], bool], Callable[[memoryview], tuple[int, int, int]]]
] = {
    'JPEG': (lambda start: start.startswith(b'\xff\xd8'), _jpeg),
    'PNG': (lambda start: start.startswith(_PNG), _png),
    'TIFF': (
        lambda start: start[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'),
        _tiff,
    ),
    'BMP': (lambda start: start.startswith(b'BM'), _bmp),
    'WebP': (lambda start: start[:4] == b'RIFF' and start[8:12] == b'WEBP', _webp),
    'PNM': (lambda start: re.match(rb'P[1-7]\s', start) is not None, _pnm),
}
