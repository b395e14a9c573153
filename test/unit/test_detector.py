"""YOLOX decoding by hand-made outputs, its geometry, and the stock model on a drawn person."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion import detector
from multimodal_fusion.detector import COCO, Detector, decode, grid, letterbox, suppress
from multimodal_fusion.errors import UserError

from ..data import DATA, needs_data
from ..models import onnx_bytes

YOLOX = DATA / 'weights' / 'yolox_nano.onnx'


def test_decoding_one_cell_by_hand():
    """64x64 input: 64 + 16 + 4 cells. Cell 9 is (1, 1) of stride 8: centre (1 + 0.5, 1 + 0.25) * 8
    = (12, 10), size exp(ln 2, ln 3) * 8 = (16, 24): box (4, -2, 20, 22); score 0.8 * 0.5 = 0.4."""
    cells, strides = grid(64, 64)
    assert len(cells) == 84
    raw = np.zeros((84, 7), np.float32)
    raw[9] = [0.5, 0.25, np.log(2), np.log(3), 0.8, 0.1, 0.5]
    boxes, scores, labels = decode(raw, cells, strides, 0.3)
    assert boxes.tolist() == [pytest.approx([4, -2, 20, 22], abs=1e-5)]
    assert scores.tolist() == [pytest.approx(0.4)] and labels.tolist() == [1]


def test_cells_that_are_not_numbers_and_huge_sizes_do_no_harm():
    cells, strides = grid(64, 64)
    raw = np.full((84, 7), np.nan, np.float32)
    raw[0] = [0, 0, 100, 100, 1, 1, 0]
    boxes, _, _ = decode(raw, cells, strides, 0.3)
    assert len(boxes) == 1 and np.isfinite(boxes).all()


def test_suppression_is_within_a_class_and_keeps_the_best():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [30, 30, 40, 40]], float)
    scores = np.array([0.5, 0.9, 0.4, 0.1])
    assert suppress(boxes, scores, np.array([0, 0, 1, 0]), 0.5) == [1, 2, 3]
    assert suppress(boxes[:0], scores[:0], np.array([], int), 0.5) == []


def test_ten_thousand_candidates():
    boxes = np.tile([[0.0, 0, 10, 10]], (10_000, 1))
    assert suppress(boxes, np.linspace(0, 1, 10_000), np.zeros(10_000, int), 0.5) == [9999]


@settings(max_examples=60, deadline=None)
@given(st.integers(32, 700), st.integers(32, 700))
def test_letterbox_maps_back_within_half_a_pixel_of_the_input(height, width):
    blob, scale = letterbox(np.zeros((height, width), np.uint8), (416, 416))
    assert blob.shape == (1, 3, 416, 416)
    inside = (blob[0, 0] == 0).nonzero()
    for extent, size in zip(inside, (height, width), strict=True):
        assert abs((extent.max() + 1) - size * scale) <= 0.5


def test_other_models_are_refused_with_what_was_found(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(onnx_bytes())
    with pytest.raises(UserError, match=r"outputs \[\[1, 'H', 'W', 1\]\]; supported is YOLOX"):
        Detector(str(path), allow_unlisted=True)
    with pytest.raises(UserError, match=r'detector\.model is empty: give the path of a YOLOX'):
        Detector('')


def test_the_class_names():
    assert len(COCO) == 80 and (COCO[0], COCO[2], COCO[79]) == ('person', 'car', 'toothbrush')


@needs_data
def test_the_stock_model_finds_people_in_real_thermal_images():
    from multimodal_fusion.image_files import read_thermal

    model = Detector(str(YOLOX), allow_unlisted=True)
    found = 0
    for path in sorted((DATA / 'ivif/train/ir').glob('llvip_*.png'))[:12]:
        image = read_thermal(path)
        detections = model.detect(image)
        height, width = image.shape
        for d in detections:
            assert 0 <= d.x0 < d.x1 <= width and 0 <= d.y0 < d.y1 <= height
        found += sum(d.label == 'person' for d in detections)
        picture = detector.draw(image, detections)
        assert picture.shape == (height, width, 3)
    assert found >= 12
