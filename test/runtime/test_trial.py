"""Unlisted models are tried out in a process of their own."""

import onnx
import pytest
from onnx import TensorProto, helper

from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.runtime.manifest import Manifest
from multimodal_fusion.runtime.trial import try_unlisted

FOREVER = helper.make_tensor('n', TensorProto.INT64, [], [2**62])
TRUE = helper.make_tensor('t', TensorProto.BOOL, [], [True])
HUGE = helper.make_tensor('shape', TensorProto.INT64, [4], [2000, 64, 64, 1000])


def model(path, nodes, *constants):
    """A fusion model of these nodes, from visible and thermal to fused."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 'H', 'W', 1])
        for name in ('visible', 'thermal', 'fused')
    ]
    graph = helper.make_graph(nodes, 'g', ports[:2], ports[2:], constants)
    opset = [helper.make_opsetid('', 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def endless(path):
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node('Identity', ['c'], ['c2']), helper.make_node('Max', ['x', 'x'], ['x2'])],
        'body',
        [info('i', TensorProto.INT64, []), info('c', TensorProto.BOOL, []),
         info('x', TensorProto.UINT8, None)],
        [info('c2', TensorProto.BOOL, []), info('x2', TensorProto.UINT8, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node('Loop', ['n', 't', 'visible'], ['y'], body=body),
        helper.make_node('Max', ['y', 'thermal'], ['fused']),
    ]
    return model(path, nodes, FOREVER, TRUE)


def greedy(path):
    """Wants 2000 * 64 * 64 * 1000 bytes, of which it needs the largest."""
    nodes = [
        helper.make_node('Expand', ['visible', 'shape'], ['wide']),
        helper.make_node('ReduceMax', ['wide'], ['most'], keepdims=1),
        helper.make_node('Max', ['most', 'thermal', 'visible'], ['fused']),
    ]
    return model(path, nodes, HUGE)


@pytest.mark.parametrize(
    ('make', 'sentence'),
    [
        (endless, r'was not done with one image within 1 s .*model\.max_seconds'),
        (greedy, r'needs more than 4096 MB for one image.*model\.max_memory'),
    ],
)
def test_a_model_without_an_end_is_refused_by_name(tmp_path, make, sentence):
    path = make(tmp_path / 'odd.onnx')
    with pytest.raises(UserError, match=f'odd.onnx {sentence}'):
        Fuser.load(str(path), allow_unlisted=True, max_seconds=1.0 if make is endless else 30.0)


def test_what_a_model_may_take_is_a_setting(tmp_path):
    """A constant of 600 MB is within 4 GB of addresses, and beyond 512 MB of them."""
    size = helper.make_tensor('shape', TensorProto.INT64, [4], [150_000, 64, 64, 1])
    nodes = [
        helper.make_node('Expand', ['visible', 'shape'], ['wide']),
        helper.make_node('ReduceMax', ['wide', 'axes'], ['most'], keepdims=1),
        helper.make_node('Max', ['most', 'thermal', 'visible'], ['fused']),
    ]
    axes = helper.make_tensor('axes', TensorProto.INT64, [1], [0])
    path = model(tmp_path / 'large.onnx', nodes, size, axes)
    content, manifest = path.read_bytes(), Manifest.load()
    with pytest.raises(UserError, match='needs more than 512 MB'):
        try_unlisted(content, path, manifest, 64, memory=512.0)
    try_unlisted(content, path, manifest, 64)


def test_listed_models_load_directly(monkeypatch):
    monkeypatch.setattr('subprocess.run', lambda *_, **__: pytest.fail('tried out'))
    Fuser.load('mobilefuse')


def test_what_fails_in_words_is_left_to_who_loads_it(tmp_path):
    """The sentence is that of the contract, not one of the trial's."""
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node('Identity', ['x'], ['y'])], 'g',
        [port('x', TensorProto.DOUBLE, [1, 2])], [port('y', TensorProto.DOUBLE, [1, 2])],
    )  # fmt: skip
    path = tmp_path / 'other.onnx'
    opset = [helper.make_opsetid('', 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    with pytest.raises(UserError, match='is not a fusion model'):
        Fuser.load(str(path), allow_unlisted=True)
