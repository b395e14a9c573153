"""The compiled pyramid beside ONNX Runtime, and which files it takes for one."""

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip('torch', reason='the model is exported by torch')
for package in ('lightning_fabric', 'onnxscript'):
    pytest.importorskip(package, reason='the model is exported by the train extra')

from multimodal_fusion.fusers.kernel.compiled import Compiled, compiled
from multimodal_fusion.fusers.kernel.pyramid import SKELETON, read_pyramid, skeleton
from multimodal_fusion.networks.pyramid import MMDRFusePyramid
from multimodal_fusion.train.export.onnx import export

from ...helpers.data import every, validation_pairs
from ...helpers.kernel import needs_kernel, noise, shipped
from .test_compiled import Runtime, assert_rarely_off

SIZES = [(2, 3), (5, 31), (32, 32), (33, 47), (48, 319), (50, 641), (37, 1283), (481, 640)]


def exported(folder, seed, start):
    torch.manual_seed(seed)
    network = MMDRFusePyramid().start_at_shares(0.1 if start else 0.5)
    export(network.eval(), folder / f'{seed}.onnx', {'name': 'pyramid'})
    return (folder / f'{seed}.onnx').read_bytes()


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    return exported(tmp_path_factory.mktemp('models'), 0, True)


@pytest.fixture(scope='module', params=['start', 'random'])
def model(request, content, tmp_path_factory):
    """The bytes of a network near its start, and of one far from it."""
    if request.param == 'start':
        return content
    return exported(tmp_path_factory.mktemp('models'), 1, False)


def test_the_exporter_writes_the_graph_that_is_known(content):
    """SKELETON is this hash: after a change of network or exporter, that of the new file, once the
    kernel computes the same again."""
    assert skeleton(content)[0] == SKELETON


@needs_kernel
@pytest.mark.parametrize('size', SIZES)
def test_every_pixel_is_that_of_onnx_runtime(model, size):
    weights, runtime, thermal = read_pyramid(model), Runtime(model), noise(*size)
    for visible in (noise(*size), noise(*size, 3)):
        expected = runtime.fuse(visible, thermal)
        for wide in (None, False):
            assert_rarely_off(Compiled(weights, wide=wide).fuse(visible, thermal), expected)


@needs_kernel
@pytest.mark.parametrize('size', [(32, 32), (97, 333), (256, 700)])
def test_threads_change_no_byte(content, size):
    thermal = noise(*size)
    for visible in (noise(*size), noise(*size, 3)):
        one = compiled(content).fuse(visible, thermal)
        for threads in (2, 3):
            assert np.array_equal(compiled(content, threads).fuse(visible, thermal), one)


@needs_kernel
def test_rows_that_lie_apart_and_sizes_in_turn(content):
    ours, runtime = compiled(content), Runtime(content)
    wide, thermal = noise(64, 120, 3), noise(80, 130)
    for height, width in ((40, 90), (64, 101), (40, 90)):
        visible, heat = wide[:height, :width], thermal[:height, :width]
        expected = runtime.fuse(np.ascontiguousarray(visible), np.ascontiguousarray(heat))
        assert_rarely_off(ours.fuse(visible, heat), expected)
    with pytest.raises(ValueError, match=r'thermal \(1, 90\)'):
        ours.fuse(wide[:1, :90], thermal[:1, :90])


def changed(content, change):
    model = onnx.load_from_string(content)
    change(model.graph)
    return model.SerializeToString()


def taps(graph):
    next(t for t in graph.initializer if list(t.dims) == [3, 1, 1, 3]).raw_data = bytes(36)


def padding(graph):
    pad = next(node for node in graph.node if node.op_type == 'Pad')
    pad.attribute[0].s = b'reflect'


def order(graph):
    node = next(node for node in graph.node if node.op_type == 'Sub')
    node.input[0], node.input[1] = node.input[1], node.input[0]


def shape(graph):
    tensor = next(t for t in graph.initializer if t.name.endswith('enter.weight'))
    del tensor.dims[:]
    tensor.dims.extend((5, 8, 1, 1))


def infinite(graph):
    tensor = next(t for t in graph.initializer if t.name.endswith('leave.bias'))
    tensor.raw_data = np.float32(np.inf).tobytes()


def sparse(graph):
    graph.sparse_initializer.add()


@pytest.mark.parametrize('change', [taps, padding, order, shape, infinite, sparse])
def test_a_file_that_computes_something_else_is_left_alone(content, change):
    assert read_pyramid(content) is not None
    assert read_pyramid(changed(content, change)) is None


def test_other_files_are_left_alone(content):
    for damaged in (b'', b'x', content[:-40], content[: len(content) // 2]):
        assert read_pyramid(damaged) is None


def test_weights_are_read_by_name(content):
    """The order of the file does not matter: names do."""
    tensors = read_pyramid(content).tensors
    assert sum(value.size for value in tensors.values()) == 100
    assert tensors['enter.weight'][0, 0, 0, 0] == pytest.approx(1, abs=0.3)
    assert tensors['limit'] == pytest.approx(1, abs=0.3)


@needs_kernel
def test_the_shipped_pyramid_is_compiled_and_right_on_real_images():
    content = shipped('mmdrfuse_pyramid')
    ours, runtime = compiled(content), Runtime(content)
    for path in every((validation_pairs() / 'ir').iterdir(), 16):
        thermal = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        visible = cv2.imread(str(validation_pairs() / f'vis/{path.stem}.jpg'))
        assert_rarely_off(ours.fuse(visible, thermal), runtime.fuse(visible, thermal))
