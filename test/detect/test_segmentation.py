"""Segmentation models: what comes out of them, and what is refused."""

import numpy as np
import pytest

from multimodal_fusion.detect.segmentation import SegmentationModel, paint
from multimodal_fusion.errors import UserError

from ..helpers.detectors import detector_bytes


def model(path, logits, **rest):
    path.write_bytes(detector_bytes({'logits': logits}, **rest))
    return str(path)


def test_the_class_of_the_largest_logit_at_the_size_of_the_image(tmp_path):
    """Logits of 4x4 cells: the left half is class 2, the right class 0; an image of 80x64."""
    logits = np.zeros((1, 3, 4, 4), np.float32)
    logits[0, 2, :, :2], logits[0, 0, :, 2:] = 5, 5
    names = {'0': 'other', '1': 'person', '2': 'car'}
    path = model(tmp_path / 'halves.onnx', logits, metadata={'names': names})
    found = SegmentationModel(path, allow_unlisted=True)
    assert found.names == ('other', 'person', 'car') and found.name == 'halves'
    mask = found.segment(np.zeros((64, 80, 3), np.uint8))
    assert mask.shape == (64, 80) and mask.dtype == np.uint8
    assert (mask[:, :38] == 2).all() and (mask[:, 42:] == 0).all()
    assert (found.segment(np.zeros((64, 80), np.uint8)) == mask).all()


def test_classes_without_names_are_numbers(tmp_path):
    path = model(tmp_path / 'a.onnx', np.zeros((1, 2, 4, 4), np.float32), size=('H', 'W'))
    assert SegmentationModel(path, allow_unlisted=True).names == ('0', '1')


@pytest.mark.parametrize(
    ('logits', 'rest', 'text'),
    [
        (np.zeros((1, 6, 84), np.float32), {}, r'returns \[1, 6, 84\]; a segmenter returns logits'),
        (np.zeros((1, 1, 4, 4), np.float32), {}, r'returns \[1, 1, 4, 4\]'),
        (np.zeros((1, 2, 4, 4), np.float32), {'dtype': np.float16}, r'takes one image, float32'),
        (
            np.zeros((1, 2, 4, 4), np.float32),
            {'metadata': {'names': ['a', 'b', 'c']}},
            'has 3 class names, the model has 2 classes',
        ),
    ],
)
def test_models_that_are_refused(tmp_path, logits, rest, text):
    path = model(tmp_path / 'odd.onnx', logits, **rest)
    with pytest.raises(UserError, match=text):
        SegmentationModel(path, allow_unlisted=True)


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(UserError, match="'cat' is no segmenter; known are"):
        SegmentationModel('cat')


def test_paint_leaves_the_first_class_as_it_is():
    image = np.full((2, 2), 100, np.uint8)
    found = paint(image, np.array([[0, 1], [2, 255]], np.uint8))
    assert found[0, 0].tolist() == [100, 100, 100]
    assert len({tuple(pixel) for row in found.tolist() for pixel in row}) == 4
