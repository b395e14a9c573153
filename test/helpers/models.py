"""Tiny ONNX models for tests, made on the spot."""

import hashlib

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from multimodal_fusion.host.share import share_file
from multimodal_fusion.runtime.manifest import Manifest


def onnx_bytes(channels=1, output='fused', external='', name='test maximum', fixed=None) -> bytes:
    """A model by the contract: pixel maximum for one channel, visible itself for three.

    external: place a tensor with external data in an ``initializer``, a node's ``attribute``, a
    ``subgraph``, a ``function``'s node or its ``default`` of an attribute, or in ``training``.
    fixed: (height, width) that the model insists on inside, against the contract.
    """
    shape = [1, 'H', 'W', channels]
    inputs = [
        helper.make_tensor_value_info('visible', TensorProto.UINT8, shape),
        helper.make_tensor_value_info('thermal', TensorProto.UINT8, [1, 'H', 'W', 1]),
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.UINT8, shape)]
    operands = ['visible', 'thermal'] if channels == 1 else ['visible']
    nodes = [helper.make_node('Max', operands, [output])]
    initializers = []
    if fixed:
        nodes = [
            helper.make_node('Max', operands, ['any']),
            helper.make_node('Reshape', ['any', 'size'], [output]),
        ]
        size = np.array([1, *fixed, channels], np.int64)
        initializers = [numpy_helper.from_array(size, 'size')]
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), 'weights')
    if external:
        tensor.ClearField('raw_data')
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = 'location', '../../etc/passwd'
    if external == 'initializer':
        initializers = [tensor]
    elif external in ('attribute', 'subgraph'):
        constant = helper.make_node('Constant', [], ['unused'], value=tensor)
        if external == 'subgraph':
            bool_ = numpy_helper.from_array(np.array(True), 'condition')
            nodes.append(helper.make_node('Constant', [], ['condition'], value=bool_))
            value = helper.make_tensor_value_info('unused', TensorProto.FLOAT, [4])
            branch = helper.make_graph([constant], 'branch', [], [value])
            constant = helper.make_node(
                'If', ['condition'], ['out'], then_branch=branch, else_branch=branch
            )
        nodes.append(constant)
    graph = helper.make_graph(nodes, 'test', inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    _hide(model, external, tensor)
    helper.set_model_props(model, {'name': name, 'kind': 'luma', 'licence': 'Apache-2.0'})
    return model.SerializeToString()


def _hide(model, where: str, tensor) -> None:
    """Place a tensor outside of the model's graph."""
    if where == 'training':
        model.training_info.add().initialization.initializer.append(tensor)
    elif where in ('function', 'default'):
        nodes = []
        if where == 'function':
            nodes = [helper.make_node('Constant', [], ['unused'], value=tensor)]
        opsets = [helper.make_opsetid('', 17)]
        function = helper.make_function('test', 'Unused', [], ['unused'], nodes, opsets)
        if where == 'default':
            function.attribute_proto.append(helper.make_attribute('weights', tensor))
        model.functions.append(function)


LUMA_MAXIMUM = onnx_bytes()


def manifest_of(folder, content: bytes | None = None) -> Manifest:
    """A manifest in a folder: empty, or with the model ``ours`` as the default."""
    models = {}
    if content is not None:
        (folder / 'ours.onnx').write_bytes(content)
        models['ours'] = {'file': 'ours.onnx', 'sha256': hashlib.sha256(content).hexdigest()}
    path = folder / 'models.yaml'
    path.write_text(yaml.safe_dump({'models': models, 'default': 'ours'}))
    return Manifest.load(path)


def two_layer(output='linear', **weights) -> onnx.ModelProto:
    """A model of the mini-model's shape: a shipped file with other weights.

    output: ``tanh`` or ``linear``. weights: conv1_weight, conv1_bias, conv2_weight, conv2_bias.
    """
    name = {'tanh': 'mmdrfuse', 'linear': 'mmdrfuse_plus'}[output]
    model = onnx.load(share_file(f'models/{name}.onnx'))
    for tensor in model.graph.initializer:
        values = weights.get(tensor.name.removeprefix('network.').replace('.', '_'))
        if values is not None:
            values = np.asarray(values, np.float32).reshape(tensor.dims)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def random_two_layer(seed: int, output: str) -> onnx.ModelProto:
    """`two_layer` with weights that leave few pixels black or white."""
    random = np.random.default_rng(seed)
    return two_layer(
        output,
        conv1_weight=random.normal(0, 0.4, 72),
        conv1_bias=random.normal(0, 0.1, 4),
        conv2_weight=random.normal(0.05, 0.2, 36),
        conv2_bias=[0.4],
    )


def blending_bytes(channels=1, mask_channels=1) -> bytes:
    """A blending model by the contract: thermal where it is brighter (than blue, in colour)."""
    shape, single = [1, 'H', 'W', channels], [1, 'H', 'W', mask_channels]
    grey = [1, 'H', 'W', 1]
    info, uint8 = helper.make_tensor_value_info, TensorProto.UINT8
    nodes = [
        helper.make_node('Slice', ['visible', 'minus', 'end', 'axis'], ['last']),
        helper.make_node('Greater', ['thermal', 'last'], ['warmer']),
        helper.make_node('Where', ['warmer', 'white', 'black'], ['single']),
        helper.make_node('Expand', ['single', 'width'], ['mask']),
        helper.make_node('Where', ['warmer', 'thermal', 'visible'], ['fused']),
    ]
    constants = {
        'minus': np.array([-1], np.int64),
        'end': np.array([9], np.int64),
        'axis': np.array([3], np.int64),
        'white': np.array(255, np.uint8),
        'black': np.array(0, np.uint8),
        'width': np.array([mask_channels], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        'test',
        [info('visible', uint8, shape), info('thermal', uint8, grey)],
        [info('fused', uint8, shape), info('mask', uint8, single)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, {'name': 'blender', 'licence': 'Apache-2.0'})
    return model.SerializeToString()


def slow_bytes(layers: int = 12) -> bytes:
    """The pixel maximum, after convolutions that add nothing: 0.6 GFLOP each at 64x48."""
    float_, uint8 = TensorProto.FLOAT, TensorProto.UINT8
    ports = [
        helper.make_tensor_value_info(name, uint8, [1, 'H', 'W', 1])
        for name in ('visible', 'thermal', 'fused')
    ]
    nodes = [
        helper.make_node('Max', ['visible', 'thermal'], ['most']),
        helper.make_node('Cast', ['most'], ['real'], to=float_),
        helper.make_node('Transpose', ['real'], ['wide'], perm=[0, 3, 1, 2]),
        helper.make_node('Conv', ['wide', 'first'], ['x0'], pads=[0, 0, 0, 0]),
    ]
    for k in range(layers):
        nodes.append(helper.make_node('Conv', [f'x{k}', 'next'], [f'x{k + 1}'], pads=[3, 3, 3, 3]))
    nodes += [
        helper.make_node('Conv', [f'x{layers}', 'last'], ['narrow']),
        helper.make_node('Transpose', ['narrow'], ['nothing'], perm=[0, 2, 3, 1]),
        helper.make_node('Add', ['real', 'nothing'], ['sum']),
        helper.make_node('Cast', ['sum'], ['fused'], to=uint8),
    ]
    tensors = {
        'first': np.full((64, 1, 1, 1), 1e-3, np.float32),
        'next': np.full((64, 64, 7, 7), 1e-4, np.float32),
        'last': np.zeros((1, 64, 1, 1), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        'slow',
        ports[:2],
        ports[2:],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, {'name': 'slow', 'kind': 'luma', 'licence': 'Apache-2.0'})
    return model.SerializeToString()
