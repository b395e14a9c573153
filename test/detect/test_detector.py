"""Geometry and suppression of detections, class names, and the stock model on real images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.detect import detection
from multimodal_fusion.detect.detector import Detector
from multimodal_fusion.detect.geometry import FITS, Canvas, fit, tight
from multimodal_fusion.detect.names import COCO
from multimodal_fusion.detect.suppress import suppress
from multimodal_fusion.errors import UserError

from ..helpers.data import DATA, needs_data
from ..helpers.detectors import detector_bytes
from ..helpers.models import onnx_bytes

YOLOX = DATA / 'weights' / 'yolox_nano.onnx'

sides = st.integers(32, 1300)
parts = st.floats(0, 1)


def to_input(place, boxes):
    """Corners (N, 4) from image to input pixels: the way back of `Fit.to_image`."""
    return boxes * np.float32(place.scale * 2) + np.float32((place.left, place.top) * 2)


@settings(max_examples=200, deadline=None)
@given(sides, sides, st.integers(2, 20), st.integers(2, 20), st.sampled_from(FITS), parts, parts)
def test_a_box_comes_back_within_half_a_pixel(height, width, rows, columns, how, x, y):
    """To the input, rounded to its pixels' corners by at most a quarter, and back."""
    place = fit((height, width), (32 * rows, 32 * columns), how)
    box = np.float32([[x * width / 2, y * height / 2, width * (1 + x) / 2, height * (1 + y) / 2]])
    there = to_input(place, box)
    assert (there >= -1e-3).all() and (
        there <= np.float32((32 * columns, 32 * rows) * 2) + 1e-3
    ).all()
    assert np.abs(place.to_image(there) - box).max() < 0.5


@settings(max_examples=100, deadline=None)
@given(sides, sides, st.sampled_from(FITS))
def test_the_pixels_lie_where_the_mapping_says(height, width, how):
    """A white image on the grey canvas: the white part begins and ends where the corners map."""
    image = np.full((height, width), 255, np.uint8)
    blob, place = Canvas(how, True, False, np.float32).blob(image, (416, 320))
    assert blob.shape == (1, 3, 416, 320)
    x0, y0, x1, y1 = to_input(place, np.float32([[0, 0, width, height]]))[0]
    y, x = (blob[0, 0] == 255).nonzero()
    assert (x.min(), y.min(), x.max() + 1, y.max() + 1) == pytest.approx((x0, y0, x1, y1), abs=0.01)


def test_what_the_network_sees():
    """One orange pixel's colour, BGR (10, 100, 200), as each kind of model expects it."""
    image = np.full((32, 32, 3), (10, 100, 200), np.uint8)
    rgb, _ = Canvas('centre', True, True, np.float16).blob(image, (32, 64))
    assert rgb.dtype == np.float16
    assert rgb[0, :, 5, 32] * 255 == pytest.approx([200, 100, 10], abs=0.1)
    assert rgb[0, :, 5, 2] * 255 == pytest.approx([114, 114, 114], abs=0.1)
    bgr, _ = Canvas('corner', False, False, np.float32).blob(image, (32, 64))
    assert bgr[0, :, 5, 2].tolist() == [10, 100, 200] and bgr[0, :, 5, 40].tolist() == [114] * 3


def test_the_input_of_a_model_that_takes_any_size():
    """640x480 with the longer side at 416: 416x312, up to multiples of 32."""
    assert tight((480, 640), 416) == (320, 416)
    assert tight((640, 480), 416) == (416, 320)
    assert tight((16, 640), 416) == (32, 416)


def test_suppression_is_within_a_class_and_keeps_the_best():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [30, 30, 40, 40]], float)
    scores = np.array([0.5, 0.9, 0.4, 0.1])
    labels = np.array([0, 0, 1, 0])
    assert suppress(boxes, scores, labels, 0.5).tolist() == [1, 2, 3]
    assert suppress(boxes, scores, labels, 0.5, limit=2).tolist() == [1, 2]
    assert suppress(boxes, scores, labels, 0.9).tolist() == [1, 0, 2, 3]
    assert suppress(boxes[:0], scores[:0], labels[:0], 0.5).tolist() == []


def test_ten_thousand_candidates():
    """All in one place: the best stays. All apart: as many as asked for, best first."""
    scores = np.linspace(0, 1, 10_000)
    same = np.tile([[0.0, 0, 10, 10]], (10_000, 1))
    labels = np.zeros(10_000, int)
    assert suppress(same, scores, labels, 0.5).tolist() == [9999]
    apart = same + 20 * np.arange(10_000)[:, None]
    assert suppress(apart, scores, labels, 0.5, limit=3).tolist() == [9999, 9998, 9997]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.floats(0, 1))
def test_what_stays_after_suppression(seed, count, iou):
    """By the definition, box by box: a box goes if and only if a better one of its class that
    stays overlaps it by more than the threshold."""
    random = np.random.default_rng(seed)
    corner = random.integers(0, 20, (count, 2))
    boxes = np.concatenate((corner, corner + random.integers(1, 20, (count, 2))), 1).astype(float)
    scores, labels = random.permutation(count) / 100, random.integers(0, 2, count)
    stays = []
    for i in np.argsort(-scores):
        if all(labels[i] != labels[j] or not _more(boxes[i], boxes[j], iou) for j in stays):
            stays.append(i)
    assert suppress(boxes, scores, labels, iou).tolist() == stays


def _more(a, b, iou):
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.float32(max(width, 0) * max(height, 0))
    areas = [np.float32((x[2] - x[0]) * (x[3] - x[1])) for x in (a, b)]
    return common > np.float32(iou) * (areas[0] + areas[1] - common)


def test_other_models_are_refused_with_what_was_found(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(onnx_bytes())
    with pytest.raises(UserError, match=r"takes tensor\(uint8\) \[1, 'H', 'W', 1\]; a detector"):
        Detector(str(path), allow_unlisted=True)
    with pytest.raises(UserError, match=r'detector\.model is empty: give the path of an \.onnx'):
        Detector('')
    with pytest.raises(UserError, match=r'mmdrfuse.*a fuser, not a detector; known are detector_p'):
        Detector('mmdrfuse')
    with pytest.raises(UserError, match="'nope', which is no detector; known are detector_person"):
        Detector('nope')


@pytest.mark.parametrize('layout', ['dfine', 'detr', 'yolov10'])
def test_a_layout_that_the_model_cannot_have_is_refused(layout):
    with pytest.raises(
        UserError, match=rf'detector\.layout is {layout}, .* has .*; set it to auto'
    ):
        Detector('detector_person_car', layout=layout)


def test_a_detector_that_runs_elsewhere_than_asked_says_so():
    onnxruntime = pytest.importorskip('onnxruntime')
    assert Detector('detector_person_car').notice == ''
    halved = Detector('detector_person_car', fp16=True)
    assert 'half precision (fp16) was asked for, but detector_person_car runs' in halved.notice
    if 'CUDAExecutionProvider' not in onnxruntime.get_available_providers():
        elsewhere = Detector('detector_person_car', provider='cuda')
        assert elsewhere.provider == 'CPUExecutionProvider'
        assert 'CUDAExecutionProvider was asked for, but detector_person_car' in elsewhere.notice


def test_the_class_names():
    assert len(COCO) == 80 and (COCO[0], COCO[2], COCO[79]) == ('person', 'car', 'toothbrush')


@needs_data
def test_the_stock_model_finds_people_in_real_thermal_images():
    from multimodal_fusion.io.image_files import read_thermal

    model = Detector(str(YOLOX), allow_unlisted=True)
    assert model.layout == 'yolox' and model.names == COCO
    found = 0
    for path in sorted((DATA / 'ivif/train/ir').glob('llvip_*.png'))[:12]:
        image = read_thermal(path)
        detections = model.detect(image)
        height, width = image.shape
        for d in detections:
            assert 0 <= d.x0 < d.x1 <= width and 0 <= d.y0 < d.y1 <= height
        found += sum(d.label == 'person' for d in detections)
        picture = detection.draw(image, detections)
        assert picture.shape == (height, width, 3)
    assert found >= 12


ODD = [
    ({'names': '{"a": "person"}'}, None, 'class names that cannot be read'),
    ({'names': '[' * 5000}, None, 'class names that cannot be read'),
    ({'names': '{[1]: 2}'}, None, 'class names that cannot be read'),
    ({'names': '{1e400: "a"}'}, None, 'class names that cannot be read'),
    ({}, {'labels': (1, 5), 'boxes': (1, 3, 3), 'scores': (1, 7)}, 'do not fit together: labels'),
    ({}, {'labels': (1,), 'boxes': (1,), 'scores': (1,)}, 'do not fit together'),
    ({}, {'logits': (3,), 'pred_boxes': (3,)}, 'do not fit together: logits \\[3\\]'),
    ({}, {'logits': (1, 5, 3), 'pred_boxes': (1, 4, 4)}, 'do not fit together'),
    ({}, {'dets': (1, 5, 3), 'labels': (1, 5, 3)}, 'do not fit together'),
]


@pytest.mark.parametrize(('metadata', 'shapes', 'text'), ODD)
def test_odd_metadata_and_outputs_are_refused_when_the_model_is_loaded(
    tmp_path, metadata, shapes, text
):
    shapes = shapes or {'output': (1, 30, 7)}
    outputs = {n: np.full(s, 0.5, np.float32) for n, s in shapes.items()}
    (tmp_path / 'm.onnx').write_bytes(detector_bytes(outputs, metadata=metadata))
    with pytest.raises(UserError, match=text) as raised:
        Detector(str(tmp_path / 'm.onnx'), allow_unlisted=True)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize('imgsz', ['[1e400]', '[0]', '[-5, 3]', '[10**9]', '[' * 3000, 'x'])
def test_an_odd_size_in_the_metadata_is_the_usual_one(tmp_path, imgsz):
    raw = {'output': np.zeros((1, 6, 8400), np.float32)}
    content = detector_bytes(raw, size=('H', 'W'), metadata={'imgsz': imgsz})
    (tmp_path / 'm.onnx').write_bytes(content)
    assert Detector(str(tmp_path / 'm.onnx'), allow_unlisted=True)._size == 640
