"""Tiny detectors for tests, made on the spot: they return given numbers whatever they see."""

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def detector_bytes(
    outputs, size=(64, 64), metadata=None, inputs=('images',), dtype=np.float32, batch=1
) -> bytes:
    """A model that returns ``outputs``, {name: array}.

    size: (height, width) of its input, or ('H', 'W') for any.
    """
    kind = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}[dtype]
    ports = []
    for name in inputs:
        if name == 'orig_target_sizes':
            ports.append(helper.make_tensor_value_info(name, TensorProto.INT64, [1, 2]))
        else:
            ports.append(helper.make_tensor_value_info(name, kind, [batch, 3, *size]))
    nodes, initializers, results = [], [], []
    for name, value in outputs.items():
        initializers.append(numpy_helper.from_array(value, f'{name}_value'))
        nodes.append(helper.make_node('Identity', [f'{name}_value'], [name]))
        element = helper.np_dtype_to_tensor_dtype(value.dtype)
        results.append(helper.make_tensor_value_info(name, element, list(value.shape)))
    graph = helper.make_graph(nodes, 'test', ports, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, {k: v if isinstance(v, str) else json.dumps(v)
                                   for k, v in (metadata or {}).items()})  # fmt: skip
    return model.SerializeToString()
