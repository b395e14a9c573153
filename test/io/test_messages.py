"""The codec against golden bytes, against rosbags-image, and against cv_bridge where it is."""

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.io import messages
from multimodal_fusion.io.messages import BadImage

from ..helpers.messages import compressed, image

CHANNELS = {name: encoding.channels for name, encoding in messages.ENCODINGS.items()}
# rosbags-image knows neither the names without meaning of colour nor the short YUV ones.
REFERENCE = ['mono8', 'bgr8', 'rgb8', 'bgra8', 'rgba8', 'yuv422', 'yuv422_yuy2',
             'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8']  # fmt: skip


def random_pixels(encoding, height=6, width=8, seed=0):
    shape = (height, width) + ((CHANNELS[encoding],) if CHANNELS[encoding] > 1 else ())
    bits = messages.ENCODINGS[encoding].bits
    dtype = np.uint16 if bits == 16 else np.uint8
    return np.random.default_rng(seed).integers(0, 2**bits, shape, dtype)


def test_golden_pixels_of_every_colour_order():
    """One pixel with red 200, green 100, blue 50 comes out as B, G, R = 50, 100, 200."""
    expected = [[[50, 100, 200]]]
    for encoding, data in {
        'bgr8': [50, 100, 200],
        'rgb8': [200, 100, 50],
        'bgra8': [50, 100, 200, 9],
        'rgba8': [200, 100, 50, 9],
    }.items():
        pixel = np.array(data, np.uint8).reshape(1, 1, -1)
        assert messages.to_visible(image(pixel, encoding)).tolist() == expected


@pytest.mark.parametrize('encoding', REFERENCE)
def test_visible_agrees_with_rosbags_image(encoding):
    reference = pytest.importorskip('rosbags.image')
    message = image(random_pixels(encoding, 16, 16), encoding)
    message.data = np.frombuffer(message.data, np.uint8)
    ours = messages.to_visible(message)
    target = 'mono8' if encoding == 'mono8' else 'bgr8'
    assert np.array_equal(ours, reference.message_to_cvimage(message, target))


# Names for the same bytes that cv_bridge has, and what it converts them to. It refuses to convert
# xxUCn, so these are read as they are; and it knows uyvy by its older name alone.
BRIDGE = {
    '8UC1': 'mono8',
    '8UC3': 'bgr8',
    '16UC1': 'mono16',
    'uyvy': 'yuv422',
    'yuyv': 'yuv422_yuy2',
}


@pytest.mark.parametrize('encoding', list(messages.ENCODINGS))
def test_visible_agrees_with_cv_bridge(encoding):
    """To the bit, but for 16 bits: cv_bridge rounds v/257, we keep the high byte, which is v/256
    cut off. That costs no pass over the image and undoes "v << 8"; it is one level at most."""
    bridge = pytest.importorskip('cv_bridge', reason='cv_bridge is installed on robots only')
    from sensor_msgs.msg import Image

    message = image(random_pixels(encoding, 16, 16), encoding)
    ros = Image(height=16, width=16, encoding=BRIDGE.get(encoding, encoding), step=message.step)
    ros.data = array.array('B', message.data)
    grey = CHANNELS[encoding] == 1 and 'bayer' not in encoding
    try:
        expected = bridge.CvBridge().imgmsg_to_cv2(ros, 'mono8' if grey else 'bgr8')
    except bridge.CvBridgeError as error:
        pytest.skip(f'this cv_bridge does not know it: {error}')
    ours = messages.to_visible(message)
    if encoding in ('mono16', '16UC1'):
        assert np.abs(ours.astype(int) - expected).max() <= 1
    else:
        assert np.array_equal(ours, expected)


@pytest.mark.parametrize('name', ['mono16', '16UC1'])
@pytest.mark.parametrize('big_endian', [False, True])
def test_16_bit_in_both_byte_orders(name, big_endian):
    pixels = np.array([[0, 1, 256], [4660, 65534, 65535]], np.uint16)
    message = image(pixels, name, padding=4, big_endian=big_endian)
    thermal = messages.to_thermal(message)
    assert thermal.dtype == np.dtype(np.uint16) and thermal.dtype.isnative
    assert np.array_equal(thermal, pixels)
    assert messages.to_visible(message).tolist() == [[0, 0, 1], [18, 255, 255]]


def test_colour_thermal_becomes_luma():
    """BT.601: 0.299 R + 0.587 G + 0.114 B of (200, 100, 50) is 124.2."""
    message = image(np.full((2, 2, 3), (50, 100, 200), np.uint8), 'bgr8')
    assert messages.to_thermal(message).tolist() == [[124, 124], [124, 124]]


@pytest.mark.parametrize('encoding', ['mono8', 'bgr8', 'mono16'])
def test_reading_copies_nothing(encoding):
    message = image(random_pixels(encoding), encoding, padding=3 if encoding != 'mono16' else 6)
    buffer = bytearray(message.data)
    message.data = buffer
    view = messages.as_array(message)
    buffer[0] ^= 0xFF
    assert view.reshape(-1).view(np.uint8)[0] == buffer[0] if view.flags.c_contiguous else True
    assert np.shares_memory(view, np.frombuffer(buffer, np.uint8))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(['mono8', 'bgr8', 'mono16']),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 17),
    st.booleans(),
)
def test_round_trip_with_any_padding(encoding, height, width, padding, big_endian):
    pixels = random_pixels(encoding, height, width)
    read = messages.as_array(image(pixels, encoding, padding, big_endian))
    assert np.array_equal(read, pixels)
    written = SimpleNamespace(**messages.fields(read.astype(pixels.dtype)))
    assert written.encoding == encoding
    assert isinstance(written.data, array.array)
    assert np.array_equal(messages.as_array(written), pixels)


def test_pixels_that_fill_a_buffer_are_shared_on_request():
    buffer = array.array('B', bytes(range(60)))
    pixels = np.frombuffer(buffer, np.uint8).reshape(4, 5, 3)
    assert messages.fields(pixels, share=True)['data'] is buffer
    for other in (pixels[1:], pixels[::-1], pixels.copy(), np.asfortranarray(pixels)):
        data = messages.fields(other, share=True)['data']
        assert data is not buffer
        assert bytes(data) == other.tobytes()
    copied = messages.fields(pixels)['data']
    assert copied is not buffer
    assert copied == buffer


BAD = [
    ({'encoding': '32FC1'}, 'encoding', r"encoding '32FC1' is not supported; publish one of mono8"),
    ({'height': 0, 'data': b''}, 'size', r'the image is 4x0: both sides must be at least 1'),
    ({'step': 11}, 'size', r'step is 11 bytes, but a row of 4 bgr8 pixels takes 12'),
    ({'data': bytes(35)}, 'truncated', r'expected 36 bytes of data \(3 rows x step 12\), got 35'),
    ({'data': bytes(37)}, 'truncated', r'expected 36 bytes of data \(3 rows x step 12\), got 37'),
    ({'width': 2**31, 'height': 2**31}, 'size', r'over the cap of 64000000 pixels'),
    ({'encoding': 'yuv422', 'width': 3}, 'size', r'a yuv422 image needs an even width, got 3'),
]


@pytest.mark.parametrize(('change', 'reason', 'text'), BAD)
def test_bad_fields_are_refused_with_the_reason(change, reason, text):
    message = image(np.zeros((3, 4, 3), np.uint8), 'bgr8')
    vars(message).update(change)
    with pytest.raises(BadImage, match=text) as caught:
        messages.to_visible(message)
    assert caught.value.reason == reason


def coded(suffix, pixels, *options):
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def test_compressed_png_is_exact_in_8_and_16_bits():
    grey16 = random_pixels('mono16', 33, 47)
    bgr = random_pixels('bgr8', 33, 47)
    assert np.array_equal(messages.read_thermal(compressed(coded('.png', grey16))), grey16)
    assert np.array_equal(messages.read_visible(compressed(coded('.png', bgr))), bgr)


@pytest.mark.parametrize('pixels', [random_pixels('mono8', 40, 31), random_pixels('bgr8', 40, 31)])
def test_compressed_jpeg_decodes_as_opencv_does(pixels):
    data = coded('.jpg', pixels)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    message = compressed(data, 'bgr8; jpeg compressed bgr8')
    assert np.array_equal(messages.read_visible(message), expected)
    assert messages.read_thermal(message).shape == (40, 31)


def test_bad_compressed_images_are_refused_before_they_are_decoded():
    png = bytearray(coded('.png', np.zeros((8, 8), np.uint8)))
    with pytest.raises(BadImage, match=r'neither JPEG nor PNG: it begins with 68 65'):
        messages.decompress(compressed(b'hello world, this is text'))
    with pytest.raises(BadImage, match=r'neither JPEG nor PNG: it begins with nothing'):
        messages.decompress(compressed(b''))
    with pytest.raises(BadImage, match=r'does not decode; it was cut off or damaged'):
        messages.decompress(compressed(png[:40], 'png'))
    png[16:20] = (60_000).to_bytes(4, 'big')
    png[20:24] = (60_000).to_bytes(4, 'big')
    with pytest.raises(BadImage, match=r'60000x60000, over the cap'):
        messages.decompress(compressed(png, 'png'))
    jpeg = coded('.jpg', random_pixels('bgr8', 64, 64))
    with pytest.raises(BadImage, match=r'ends in its header'):
        messages.decompress(compressed(jpeg[:30]))
    with pytest.raises(BadImage, match=r'is a depth image'):
        messages.decompress(compressed(jpeg, '16UC1; compressedDepth png'))


def test_arrays_without_an_encoding_are_refused():
    with pytest.raises(BadImage, match=r'got float32 \(2, 2\)'):
        messages.fields(np.zeros((2, 2), np.float32))


def test_pixels_that_are_no_bytes_of_this_process_are_refused():
    """Lyrical: a buffer that lies on a GPU."""

    class Buffer:
        """Without the buffer protocol."""

    message = image(np.zeros((4, 4), np.uint8), 'mono8')
    message.data = Buffer()
    for use in (messages.check, messages.as_array, messages.read_thermal):
        with pytest.raises(BadImage, match=r'the pixels come as Buffer, which .* publish images'):
            use(message)
