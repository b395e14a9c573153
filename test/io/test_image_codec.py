"""Sizes are read as the decoders read them; nothing over the cap gets as far as a decoder."""

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from multimodal_fusion.errors import BadImage
from multimodal_fusion.io.image_codec import decode, read_header

from ..helpers.hostile import chunk, hidden_frame, images, jpeg, png, segment

GRADIENT = np.add.outer(np.arange(47), 3 * np.arange(63)).astype(np.uint8)
COLOUR = np.dstack((GRADIENT, GRADIENT[::-1], GRADIENT // 2))
WIDE = GRADIENT.astype(np.uint16) * 257


def of(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def by_opencv(suffix, pixels, *options) -> bytes:
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def by_pillow(kind, pixels, **options) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, kind, **options)
    return written.getvalue()


WHOLE = {
    'jpeg': jpeg(COLOUR),
    'jpeg grey': jpeg(GRADIENT),
    'jpeg progressive': jpeg(COLOUR, 90, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'jpeg restarts': jpeg(COLOUR, 90, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    'jpeg with a thumbnail': b'\xff\xd8' + segment(0xE1, jpeg(GRADIENT[:8])) + jpeg(COLOUR)[2:],
    'jpeg and a film behind it': jpeg(COLOUR) + b'\0\0\0\x18ftypmp42' + bytes(5000),
    'jpeg 4:2:0': by_pillow('JPEG', COLOUR, subsampling=2),
    'png': by_opencv('.png', COLOUR),
    'png 16 bits': by_opencv('.png', WIDE),
    'png palette': by_pillow('PNG', GRADIENT, bits=8, optimize=True),
    'tiff': by_opencv('.tiff', COLOUR),
    'tiff 16 bits': by_opencv('.tiff', WIDE),
    'tiff deflate': by_pillow('TIFF', COLOUR, compression='tiff_deflate'),
    'bmp': by_opencv('.bmp', COLOUR),
    'bmp grey': by_opencv('.bmp', GRADIENT),
    'webp': by_opencv('.webp', COLOUR),
    'webp lossless': by_opencv('.webp', COLOUR, cv2.IMWRITE_WEBP_QUALITY, 101),
    'webp with alpha': by_pillow('WEBP', np.dstack((COLOUR, GRADIENT))),
    'pgm': by_opencv('.pgm', GRADIENT),
    'pgm 16 bits': by_opencv('.pgm', WIDE),
    'ppm': by_opencv('.ppm', COLOUR),
    'pgm with a comment': b'P5 # made by hand\n63\n# twice\n47\n255\n' + GRADIENT.tobytes(),
    'pam': by_opencv('.pam', COLOUR),
}  # fmt: skip


@pytest.mark.parametrize('name', WHOLE)
def test_whole_images_of_every_kind_are_read(name):
    """47 rows of 63 pixels, and the very pixels that the decoder gives."""
    data = of(WHOLE[name])
    height, width, end = read_header(data)
    assert (height, width) == (47, 63) and end <= len(data)
    pixels = decode(data)
    assert pixels.shape[:2] == (47, 63)
    expected = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if expected.ndim == 3:
        expected = expected[..., :3]
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_tiff_on_its_side_is_put_up_as_opencv_does(orientation):
    content = by_pillow('TIFF', COLOUR, tiffinfo={274: orientation})
    expected = cv2.imdecode(of(content), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decode(of(content)), expected)


@pytest.mark.parametrize('name', images())
def test_images_that_lie_are_refused_before_a_decoder_sees_them(name, monkeypatch):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('the decoder was called'))
    with pytest.raises(BadImage):
        decode(of(images()[name]))


def test_the_sentences_say_what_came():
    for content, text in (
        (hidden_frame(65500), '3[0-9][0-9] bytes cannot hold 65500x65500 pixels'),
        (png(9000, 9000), 'the image is 9000x9000, over the cap of 64000000 pixels; raise'),
        (png(64, 64, length=4_000_000_000), "chunk b'IDAT' says 4000000000 bytes, more than the"),
        (jpeg(COLOUR)[:-2], 'as JPEG it is cut off or damaged: its end is missing'),
        (b'GIF89a' + bytes(99), 'none of JPEG, PNG, .* or damaged in its first bytes: 47 49'),
    ):  # fmt: skip
        with pytest.raises(BadImage, match=text):
            decode(of(content))


@pytest.mark.parametrize('name', ['jpeg', 'jpeg progressive', 'jpeg restarts', 'png', 'webp'])
def test_an_image_cut_anywhere_is_refused(name):
    whole = WHOLE[name]
    for cut in np.linspace(1, len(whole) - 1, 50).astype(int):
        with pytest.raises(BadImage):
            read_header(of(whole[:cut]))


def test_what_lies_behind_the_end_does_not_reach_the_decoder(monkeypatch):
    """OpenCV 5 took 4 GB for a chunk behind the last one."""
    seen, decoder = [], cv2.imdecode
    monkeypatch.setattr(
        cv2, 'imdecode', lambda data, how: seen.append(len(data)) or decoder(data, how)
    )
    for name in ('png', 'jpeg', 'webp'):
        decode(of(WHOLE[name] + chunk(b'IDAT', b'', 4_000_000_000)))
    assert seen == [len(WHOLE[name]) for name in ('png', 'jpeg', 'webp')]


def test_what_the_decoder_raises_is_a_bad_image(monkeypatch):
    def fails(*_):
        raise MemoryError('no memory')

    monkeypatch.setattr(cv2, 'imdecode', fails)
    with pytest.raises(BadImage, match=r'the memory is not enough'):
        decode(of(WHOLE['png']))


# The size reader against the decoders ------------------------------------------------------------

PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b'\xff', b'\xff\x00', b'\xff\xff', b'\xff\xd8', b'\xff\xd9', b'\xff\xda',
                     segment(0xFE, b'note'), segment(0xFE, jpeg(GRADIENT[:8, :8])[:200]),
                     segment(0xC0, struct.pack('>BHHB', 8, 9, 9, 1) + b'\x01\x11\x00'),
                     png(9, 9)[8:33], chunk(b'tEXt', b'a\0b'), chunk(b'IEND', b''),
                     b'VP8X\n\0\0\0', b'P5 9 9 255\n']),
)  # fmt: skip


@st.composite
def damaged(draw):
    """A whole image with pieces put in, taken out, repeated or overwritten, often in its header."""
    content = bytearray(draw(st.sampled_from(list(WHOLE.values()))))
    for _ in range(draw(st.integers(1, 4))):
        front = draw(st.booleans())
        at = draw(st.integers(0, min(len(content), 200) if front else len(content)))
        span = draw(st.integers(0, 24))
        match draw(st.sampled_from(['insert', 'overwrite', 'delete', 'repeat', 'cut', 'number'])):
            case 'insert':
                content[at:at] = draw(PIECES)
            case 'overwrite':
                piece = draw(PIECES)
                content[at : at + len(piece)] = piece
            case 'delete':
                del content[at : at + span]
            case 'repeat':
                content[at:at] = content[at : at + span]
            case 'cut':
                del content[max(8, at) :]
            case 'number':
                value = draw(st.sampled_from([0, 1, 2, 255, 256, 0x7FFF, 0xFFFF]))
                content[at : at + 2] = struct.pack(draw(st.sampled_from(['<H', '>H'])), value)
    return bytes(content)


@settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(damaged())
def test_no_decoder_finds_another_size(content):
    """What OpenCV makes an image of has the size that was read, or was refused before.

    Pillow, a reader of its own, agrees where it opens a file that OpenCV decodes.
    """
    data = of(content)
    try:
        *size, end = read_header(data)
    except BadImage:
        return
    if size[0] * size[1] > 1_000_000:
        return  # would be refused by a cap
    try:
        pixels = cv2.imdecode(data[:end], cv2.IMREAD_UNCHANGED) if len(data) else None
    except cv2.error:
        return
    if pixels is None:
        return
    assert pixels.shape[:2] == tuple(size)
    try:
        with Image.open(io.BytesIO(content[:end])) as image:
            assert image.size[::-1] == tuple(size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return
