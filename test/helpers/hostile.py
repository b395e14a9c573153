"""Small coded images that lie about their size, made by hand."""

import struct
import zlib

import cv2
import numpy as np


def jpeg(pixels, quality=90, *options) -> bytes:
    return cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, *options])[1].tobytes()


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG segment with its length."""
    return struct.pack('>BBH', 0xFF, marker, len(content) + 2) + content


def hidden_frame(side: int) -> bytes:
    """A JPEG whose true frame header, of side x side, a reader that counts segments passes over.

    FF 00 before the first marker: libjpeg goes on to the next marker, one byte earlier than a
    reader that takes FF 00 for a segment with a length and lands within the comment, where a frame
    header of 8x8 lies.
    """
    whole = jpeg(np.zeros((8, 8), np.uint8))
    at = whole.index(b'\xff\xc0')
    small = whole[at : at + 2 + struct.unpack('>H', whole[at + 2 : at + 4])[0]]
    large = small[:5] + struct.pack('>HH', side, side) + small[9:]
    # FF 00, then "length" bytes that a counting reader skips: they end within the comment.
    comment = segment(0xFE, small + bytes(16))
    tables, rest = whole[2:at], whole[at + len(small) :]
    return whole[:2] + b'\xff\x00\x00\x06' + comment + tables + large + rest


def jpeg_of(side: int) -> bytes:
    """A JPEG of a few hundred bytes that says to be side x side."""
    whole = jpeg(np.zeros((8, 8), np.uint8))
    at = whole.index(b'\xff\xc0') + 5
    return whole[:at] + struct.pack('>HH', side, side) + whole[at + 4 :]


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """A PNG chunk; ``length`` is what it says, if that is not true."""
    said = len(content) if length is None else length
    return struct.pack('>I', said) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def png(width: int, height: int, *, length: int | None = None) -> bytes:
    """A grey PNG of that header, with no pixels to speak of. length: what its data chunk says."""
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    data = chunk(b'IDAT', zlib.compress(b'\0'), length)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + data + chunk(b'IEND', b'')


def images() -> dict[str, bytes]:
    """By name, images that no reader of this package may let through to a decoder."""
    return {
        'jpeg of 65500x65500': hidden_frame(65500),
        'jpeg of 32000x32000': hidden_frame(32000),
        'png chunk of 4 GB': png(64, 64, length=0xFF7FFFFF),
        'png of 100000x100000': png(100_000, 100_000),
        'jpeg cut': jpeg(np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))[:-900],
        'jpeg of 8000x8000': jpeg_of(8000),
        'no image': bytes(range(256)),
        'nothing': b'',
    }


def zeros_mcap(path, size, whole):
    """An MCAP file of one chunk that unpacks to zeros; whole: with the index of such a chunk.

    Records as the format defines them: a header, the chunk, the end of data, then the summary (a
    schema, two channels, statistics, the index of the chunk), a footer.
    """
    import zstandard

    def text(content):
        return struct.pack('<I', len(content)) + content

    def record(number, body):
        return struct.pack('<BQ', number, len(body)) + body

    packed = zstandard.ZstdCompressor(level=19).compress(bytes(size))
    kind = text(b'zstd')
    head = struct.pack('<QQQI', 1, 2, size, 0) + kind + struct.pack('<Q', len(packed))
    magic = b'\x89MCAP0\r\n'
    content = magic + record(1, text(b'ros2') + text(b''))
    start, body = len(content), record(6, head + packed)
    content += body
    if whole:
        content += record(15, bytes(4))
        summary = len(content)
        image = text(b'sensor_msgs/msg/Image') + text(b'ros2msg') + text(b'')
        content += record(3, struct.pack('<H', 1) + image)
        for i, topic in enumerate((b'/rgb/image_raw', b'/thermal/image_raw'), 1):
            content += record(4, struct.pack('<HH', i, 1) + text(topic) + text(b'cdr') + text(b''))
        content += record(11, struct.pack('<QHIIIIQQI', 2, 1, 2, 0, 0, 1, 1, 2, 0))
        where = struct.pack('<QQQQIQ', 1, 2, start, len(body), 0, 0)
        content += record(8, where + kind + struct.pack('<QQ', len(packed), size))
        content += record(2, struct.pack('<QQI', summary, 0, 0)) + magic
    path.write_bytes(content)
    return path
