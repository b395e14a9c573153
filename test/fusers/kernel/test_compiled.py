"""The compiled network beside ONNX Runtime: every pixel within one grey level."""

import dataclasses

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.fusers.kernel.compiled import Compiled, compiled
from multimodal_fusion.fusers.kernel.fixed_point import fixed_point
from multimodal_fusion.fusers.kernel.library import library
from multimodal_fusion.fusers.kernel.weights import read_two_layer
from multimodal_fusion.fusers.pair import return_colour
from multimodal_fusion.io.pixels import luma

from ...helpers.data import every, validation_pairs
from ...helpers.kernel import SHIPPED, SIZES, needs_kernel, noise, shipped
from ...helpers.models import onnx_bytes, random_two_layer, two_layer


def linear(first, second, last_bias, bias=(0, 0, 0, 0)):
    """The bytes of a model with these weights and a linear output."""
    weights = {'conv1_weight': first, 'conv1_bias': bias, 'conv2_weight': second}
    return two_layer('linear', **weights, conv2_bias=[last_bias]).SerializeToString()


class Runtime:
    """ONNX Runtime on the same bytes, with the colour return of Fuser."""

    def __init__(self, content):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(content, options, providers=['CPUExecutionProvider'])

    def fuse(self, visible, thermal):
        grey = np.ascontiguousarray(luma(visible))
        feed = {'visible': grey[None, ..., None], 'thermal': thermal[None, ..., None]}
        return return_colour(visible, grey, self.session.run(['fused'], feed)[0][0, ..., 0])


def assert_within_one(fused, expected):
    assert fused.shape == expected.shape and fused.dtype == np.uint8
    difference = np.abs(fused.astype(int) - expected)
    assert difference.max() <= 1, f'{np.argwhere(difference > 1)[:5].tolist()}'
    return difference


def assert_rarely_off(fused, expected):
    """One level here and there, where the exact value lies near the middle between two."""
    assert (assert_within_one(fused, expected) > 0).mean() < 0.05


@pytest.fixture(scope='module', params=[*SHIPPED, ('tanh', 1), ('tanh', 2), ('linear', 1)], ids=str)
def model(request):
    """(compiled, ONNX Runtime) of a shipped model, or of one with random weights."""
    if library() is None:
        pytest.skip('the kernel is not built')
    if request.param in SHIPPED:
        content = shipped(request.param)
    else:
        content = random_two_layer(request.param[1], request.param[0]).SerializeToString()
    return compiled(content), Runtime(content)


@pytest.mark.parametrize('size', SIZES)
def test_every_pixel_is_that_of_onnx_runtime(model, size):
    ours, runtime = model
    thermal = noise(*size)
    for visible in (noise(*size), noise(*size, 3)):
        expected = runtime.fuse(visible, thermal)
        assert_rarely_off(ours.fuse(visible, thermal), expected)
        assert expected.std() > 10


@needs_kernel
@pytest.mark.parametrize('name', SHIPPED)
def test_real_images_too(name):
    ours, runtime = compiled(shipped(name)), Runtime(shipped(name))
    folder = validation_pairs()
    for path in every((folder / 'ir').iterdir(), 16):
        thermal = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        visible = cv2.imread(str(folder / 'vis' / f'{path.stem}.jpg'))
        assert_rarely_off(ours.fuse(visible, thermal), runtime.fuse(visible, thermal))


@needs_kernel
@settings(max_examples=40, deadline=None)
@given(st.integers(32, 90), st.integers(32, 700), st.integers(0, 2**32 - 1), st.data())
def test_any_size_and_any_content(height, width, seed, data):
    content = shipped(data.draw(st.sampled_from(SHIPPED)))
    values = np.random.default_rng(seed)
    low, high = sorted(data.draw(st.tuples(st.integers(0, 255), st.integers(0, 255))))
    visible = values.integers(low, high + 1, (height, width, 3), np.uint8)
    thermal = values.integers(0, 256, (height, width), np.uint8)
    ours = compiled(content, threads=data.draw(st.integers(1, 3)))
    assert_within_one(ours.fuse(visible, thermal), Runtime(content).fuse(visible, thermal))


@needs_kernel
def test_both_layers_are_reflected_each_by_its_own_values():
    """The first layer takes the pixel to the left, h[x] = t[x - 1]; so does the second.

    h = t1 t0 t1 t2 ..., as t[-1] is t[1]; fused = h1 h0 h1 h2 ... = t0 t1 t0 t1 t2 ..., as h[-1] is
    h[1]. Reflecting the image alone, by two pixels, would begin with t2 t1.
    """
    left, image = np.zeros((3, 3)), noise(32, 40)
    left[1, 0] = 1
    for taps, thermal in ((left, image), (left.T, np.ascontiguousarray(image.T))):
        first, second = np.zeros((4, 2, 3, 3)), np.zeros((1, 4, 3, 3))
        first[0, 0] = second[0, 0] = taps
        fused = compiled(linear(first, second, 0)).fuse(np.zeros_like(thermal), thermal)
        if thermal is not image:
            fused = fused.T
        assert np.array_equal(fused[:, :2], image[:, :2])
        assert np.array_equal(fused[:, 2:], image[:, :-2])


@needs_kernel
def test_golden_grey_and_colour():
    """fused = relu(t - 0.2) / 2 + relu(v) / 4 + 0.1, flat images: t = 153 is 0.6, v = 102 is 0.4.

    0.2 + 0.1 + 0.1 = 0.4, so 102, and clipped at 255 for a last bias of 2. In colour,
    B G R = 50 100 122: luma = 0.114 x 50 + 0.587 x 100 + 0.299 x 122 = 100.88, so 101; fused
    0.2 + 101 / 255 / 4 + 0.1 = 0.399, so 102 (101.75): every channel rises by 1.
    """
    first, second = np.zeros((4, 2, 3, 3)), np.zeros((1, 4, 3, 3))
    first[0, 0, 1, 1] = first[1, 1, 1, 1] = 1
    second[0, :2, 1, 1] = 0.5, 0.25
    bias = (-0.2, 0, 0, 0)
    thermal, grey = np.full((40, 40), 153, np.uint8), np.full((40, 40), 102, np.uint8)
    ours = compiled(linear(first, second, 0.1, bias))
    assert (ours.fuse(grey, thermal) == 102).all()
    colour = np.empty((40, 40, 3), np.uint8)
    colour[:] = 50, 100, 122
    assert (ours.fuse(colour, thermal) == colour + 1).all()
    assert (compiled(linear(first, second, 2, bias)).fuse(grey, thermal) == 255).all()


@needs_kernel
def test_luma_is_that_of_opencv_bit_for_bit():
    """Through a network that passes visible through, and through one that is black everywhere."""
    first, second = np.zeros((4, 2, 3, 3)), np.zeros((1, 4, 3, 3))
    first[0, 1, 1, 1] = second[0, 0, 1, 1] = 1
    same, dark = (compiled(linear(first, second, last_bias)) for last_bias in (0, -2))
    levels, black = np.arange(256, dtype=np.uint8), np.zeros((256, 256), np.uint8)
    for blue in (0, 1, 77, 128, 254, 255):
        visible = np.empty((256, 256, 3), np.uint8)
        visible[..., 0], visible[..., 1], visible[..., 2] = blue, levels[:, None], levels
        assert np.array_equal(same.fuse(visible, black), visible)
        expected = return_colour(visible, luma(visible), black)
        assert np.array_equal(dark.fuse(visible, black), expected)


@needs_kernel
@pytest.mark.parametrize('name', SHIPPED)
@pytest.mark.parametrize('options', [{'wide': False}, {'sixteen_bit': False}], ids=str)
def test_floats_where_16_bit_numbers_are_not_to_be_had(name, options):
    ours = Compiled(read_two_layer(shipped(name)), **options)
    assert not ours.sixteen_bit
    for size in ((41, 70), (33, 1283)):
        thermal = noise(*size)
        for visible in (noise(*size), noise(*size, 3)):
            expected = Runtime(shipped(name)).fuse(visible, thermal)
            difference = assert_within_one(ours.fuse(visible, thermal), expected)
            assert (difference > 0).mean() < 0.001


# 16-bit numbers


@pytest.mark.parametrize('name', SHIPPED)
def test_no_image_can_break_the_bound(name):
    """The worst images there are, found from the signs of the weights, in exact arithmetic.

    Every hidden value that counts for the output, or against it, is as large as it can be. Nothing
    leaves its 16 or 32 bits, and the output is as near to the exact one as `error` says.
    """
    weights = read_two_layer(shipped(name))
    fixed = fixed_point(weights)
    assert 0 < fixed.error < 0.5
    first, taps = fixed.first.reshape(4, 18), fixed.second.reshape(4, 9)
    assert max(np.abs(first).max(), np.abs(taps).max()) < 2**15
    half = 0 if weights.tanh else 2**fixed.shift // 2
    exact_first = weights.first.reshape(4, 18).astype(float) / 255
    exact_taps = weights.second.reshape(4, 9).astype(float)
    errors, random = [], np.random.default_rng(4)
    for sign in (1, -1):
        images = [random.integers(0, 256, (4, 18)) for _ in range(200)]
        for pixels in ((sign * first > 0) * 255, *images):  # for each channel
            sums = (first * pixels).sum(1) * 128 + fixed.bias
            assert np.abs(sums).max() < 2**31
            hidden = np.maximum(sums >> 16, 0)
            exact = np.maximum((exact_first * pixels).sum(1) + weights.bias, 0)
            for wanted in (1, -1):
                seen = wanted * taps > 0
                total = (taps * seen * hidden[:, None]).sum() + fixed.last_bias
                assert abs(total) < 2**31 and abs(total >> fixed.shift) < 2**15
                true = (exact_taps * seen * exact[:, None]).sum() + weights.last_bias[0]
                errors.append(abs((total - half) / 2**fixed.shift - 255 * true))
    assert 0 < max(errors) <= fixed.error


def test_weights_that_16_bits_cannot_hold_stay_floats():
    """One weight 10 million times the others: rounded to 16 bits those would vanish."""
    weights = read_two_layer(random_two_layer(1, 'linear').SerializeToString())
    assert fixed_point(weights) is not None
    first = weights.first.copy()
    first[:, 0, 0, 0] *= 1e7
    large = dataclasses.replace(weights, first=first)
    assert fixed_point(large) is None
    dead = dataclasses.replace(weights, first=weights.first * np.float32(0))
    assert fixed_point(dead) is None
    if library() is not None:
        assert not Compiled(large).sixteen_bit
        with pytest.raises(ValueError, match='not exact enough'):
            Compiled(large, sixteen_bit=True)


@needs_kernel
def test_rows_and_pixels_that_lie_apart():
    ours = compiled(shipped('mmdrfuse_plus'))
    wide, thermal = noise(80, 200, 3), noise(80, 200)
    for visible, hot in (
        (wide[:, 8:108], thermal[:, 3:103]),
        (wide[..., ::-1], thermal[::-1]),
        (wide[:, ::2, 1], thermal[:, ::2]),
        (wide[::2, ::-1], thermal[::2]),
    ):
        copies = ours.fuse(visible.copy(), hot.copy())
        before = visible.copy()
        assert np.array_equal(ours.fuse(visible, hot), copies)
        assert np.array_equal(visible, before)


@needs_kernel
def test_a_result_goes_where_the_caller_wants_it():
    ours, visible, thermal = compiled(shipped('mmdrfuse')), noise(64, 64, 3), noise(64, 64)
    second, kept = np.empty_like(visible), ours.fuse(visible, thermal)
    assert ours.fuse(visible, thermal, out=second) is second
    assert np.array_equal(second, kept)
    with pytest.raises(ValueError, match='out overlaps an input'):
        ours.fuse(visible, thermal, out=visible)
    with pytest.raises(ValueError, match=r'out is uint8 \(64, 64\), expected uint8 \(64, 64, 3\)'):
        ours.fuse(visible, thermal, out=np.empty((64, 64), np.uint8))


@needs_kernel
@pytest.mark.parametrize(
    ('visible', 'thermal', 'message'),
    [
        (np.zeros((40, 41), np.uint8), np.zeros((40, 40), np.uint8), r'visible is \(40, 41\)'),
        (np.zeros((40, 40, 4), np.uint8), np.zeros((40, 40), np.uint8), '4 channels, expected 3'),
        (np.zeros((40, 40)), np.zeros((40, 40), np.uint8), 'visible is float64'),
        (np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint16), 'thermal uint16'),
        (np.zeros((1, 40), np.uint8), np.zeros((1, 40), np.uint8), r'thermal \(1, 40\)'),
    ],
)
def test_what_the_kernel_must_never_see(visible, thermal, message):
    with pytest.raises(ValueError, match=message):
        compiled(shipped('mmdrfuse')).fuse(visible, thermal)


# Which models are of the shape


@pytest.mark.parametrize('name', SHIPPED)
def test_weights_are_those_of_the_file(name):
    import onnx
    from onnx import numpy_helper

    content = shipped(name)
    weights = read_two_layer(content)
    tensors = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load_from_string(content).graph.initializer
    }
    assert np.array_equal(weights.first, tensors['network.conv1.weight'])
    assert np.array_equal(weights.bias, tensors['network.conv1.bias'])
    assert np.array_equal(weights.second, tensors['network.conv2.weight'])
    assert np.array_equal(weights.last_bias, tensors['network.conv2.bias'])
    assert weights.tanh == (name == 'mmdrfuse')


def _attribute(kind, name, value):
    def change(graph):
        node = next(node for node in graph.node if node.op_type == kind)
        attribute = next(a for a in node.attribute if a.name == name)
        if isinstance(value, list):
            attribute.ints[:] = value
        elif isinstance(value, bytes):
            attribute.s = value
        else:
            attribute.i = value

    return change


def _initialiser(name, values):
    def change(graph):
        from onnx import numpy_helper

        tensor = next(tensor for tensor in graph.initializer if name in tensor.name)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    return change


def _inputs_exchanged(graph):
    node = next(node for node in graph.node if node.op_type == 'Concat')
    node.input[:] = list(node.input)[::-1]


def _other_activation(graph):
    next(node for node in graph.node if node.op_type == 'Relu').op_type = 'Sigmoid'


def _one_more_node(graph):
    node = graph.node.add()
    node.op_type, node.input[:], node.output[:] = 'Identity', ['visible'], ['unused']


def _foreign_operator(graph):
    next(node for node in graph.node if node.op_type == 'Relu').domain = 'com.example'


@pytest.mark.parametrize(
    'change',
    [
        _attribute('Pad', 'mode', b'edge'),
        _attribute('Conv', 'dilations', [2, 2]),
        _attribute('Conv', 'strides', [2, 1]),
        _attribute('Concat', 'axis', 2),
        _initialiser('val_5', np.array([0, 0, 2, 2, 0, 0, 2, 2])),
        _initialiser('scalar_tensor', np.array(256, np.float32)),
        _initialiser('_max', np.array(2, np.float32)),
        _initialiser('conv1.weight', np.zeros((8, 2, 3, 3), np.float32)),
        _initialiser('conv1.bias', np.full(4, np.nan, np.float32)),
        _initialiser('conv2.weight', np.zeros((1, 4, 3, 3), np.float16)),
        _inputs_exchanged,
        _other_activation,
        _one_more_node,
        _foreign_operator,
    ],
)
def test_any_other_network_is_left_to_onnx_runtime(change):
    model = two_layer('tanh')
    assert read_two_layer(model.SerializeToString()) is not None
    change(model.graph)
    assert read_two_layer(model.SerializeToString()) is None


@pytest.mark.parametrize('content', [onnx_bytes(), onnx_bytes(channels=3)])
def test_other_models_are_left_to_onnx_runtime(content):
    assert read_two_layer(content) is None
