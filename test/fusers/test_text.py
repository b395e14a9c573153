"""Texts for models that are told one: words, vectors, and what is said to those who forget."""

import json

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from multimodal_fusion.cli import main
from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.text import PHRASES, faults_in, vector

IMAGES = np.full((40, 50), 100, np.uint8), np.full((40, 50), 20, np.uint8)


@pytest.mark.parametrize(
    ('text', 'phrases'),
    [
        ('low light, noisy thermal',
         ['low light in the visible image', 'noise in the thermal image']),
        ('Dark and foggy', ['low light in the visible image', 'haze in the visible image']),
        ('noise', ['noise in the visible image', 'noise in the thermal image']),
        ('infrared: stripes, blurred',
         ['stripes in the thermal image', 'blur in the thermal image']),
        ('RGB over-exposed; thermal clean', ['over-exposure in the visible image']),
        ('clean', []),
    ],
)  # fmt: skip
def test_what_a_text_names(text, phrases):
    assert [p for p, there in zip(PHRASES, faults_in(text), strict=True) if there] == phrases


def test_a_text_that_names_nothing_says_what_is_known():
    with pytest.raises(UserError, match=r"'a cat' names no fault .*low light.*stripes"):
        faults_in('a cat')


def test_a_vector_is_the_mean_of_the_words():
    table = {phrase: [float(i), 1.0] for i, phrase in enumerate(PHRASES)}
    metadata = {'phrases': json.dumps(table)}
    first, second = (PHRASES.index(f'{n} in the thermal image') for n in ('noise', 'stripes'))
    found = vector('thermal: noise, stripes', metadata)
    assert found.tolist() == [[(first + second) / 2, 1.0]] and found.dtype == np.float32
    assert vector('clean', metadata).tolist() == [[0, 0]]
    for broken in ({}, {'phrases': 'x'}, {'phrases': '{"rain": [1]}'}):
        with pytest.raises(UserError, match='has no vectors for the words of this version'):
            vector('clean', broken)


def told(path, numbers=2):
    """A model that returns visible, brighter by the first number of its text."""
    shape = [1, 'H', 'W', 1]
    ports = [
        helper.make_tensor_value_info('visible', TensorProto.UINT8, shape),
        helper.make_tensor_value_info('thermal', TensorProto.UINT8, shape),
        helper.make_tensor_value_info('text', TensorProto.FLOAT, [1, numbers]),
    ]
    nodes = [
        helper.make_node('Cast', ['visible'], ['grey'], to=TensorProto.FLOAT),
        helper.make_node('Cast', ['thermal'], ['heat'], to=TensorProto.FLOAT),
        helper.make_node('Mul', ['heat', 'zero'], ['nothing']),
        helper.make_node('ReduceSum', ['text'], ['more'], keepdims=0),
        helper.make_node('Add', ['grey', 'more'], ['brighter']),
        helper.make_node('Add', ['brighter', 'nothing'], ['sum']),
        helper.make_node('Cast', ['sum'], ['fused'], to=TensorProto.UINT8),
    ]
    zero = helper.make_tensor('zero', TensorProto.FLOAT, [], [0.0])
    out = helper.make_tensor_value_info('fused', TensorProto.UINT8, shape)
    graph = helper.make_graph(nodes, 'told', ports, [out], [zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8)
    table = {phrase: [10.0 * i, 0.0] for i, phrase in enumerate(PHRASES)}
    helper.set_model_props(model, {'phrases': json.dumps(table)})
    onnx.save(model, path)
    return str(path)


def test_a_model_is_told_its_text(tmp_path):
    path = told(tmp_path / 'told.onnx')
    haze = PHRASES.index('haze in the visible image')
    for text, more in (('clean', 0), ('haze', 10 * haze)):
        fuser = Fuser.load(path, allow_unlisted=True, text=text)
        assert (fuser.fuse(*IMAGES) == 100 + more).all()


def test_who_gives_none_is_told_what_to_do(tmp_path):
    path = told(tmp_path / 'told.onnx')
    with pytest.raises(UserError, match=r'give it a text by --text .*; a node takes its student'):
        Fuser.load(path, allow_unlisted=True)
    with pytest.raises(UserError, match='takes texts of 3 numbers, and its words have 2'):
        Fuser.load(told(tmp_path / 'more.onnx', 3), allow_unlisted=True, text='clean')
    with pytest.raises(UserError, match='mobilefuse is told no text: leave --text'):
        Fuser.load('mobilefuse', text='clean')


def test_fuse_takes_a_text(tmp_path, capsys):
    path = told(tmp_path / 'told.onnx')
    for name, image in zip(('v.png', 't.png'), IMAGES, strict=True):
        cv2.imwrite(str(tmp_path / name), image)
    words = ['fuse', str(tmp_path / 'v.png'), str(tmp_path / 't.png'), '--model', path,
             '--allow-unlisted', '-o', str(tmp_path / 'f.png')]  # fmt: skip
    assert main([*words, '--text', 'a cat']) == 2
    assert 'names no fault that is known' in capsys.readouterr().err
    assert main([*words, '--text', 'noisy thermal']) == 0
    noise = PHRASES.index('noise in the thermal image')
    assert (cv2.imread(str(tmp_path / 'f.png'), 0) == 100 + 10 * noise).all()
