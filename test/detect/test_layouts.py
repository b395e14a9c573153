"""Every output layout, decoded from hand-made outputs of a real ONNX session.

All models here have a 64x64 input, so 64 + 16 + 4 = 84 cells, and see a 128x64 image. Letterboxed
into the corner it covers 64x32 pixels of the input from the top, into the centre it begins at row
16; stretched it covers all. An input pixel is therefore two image pixels wide, and two (letterbox)
or one (stretch) high.
"""

import numpy as np
import pytest

from multimodal_fusion.detect.detector import Detector
from multimodal_fusion.detect.geometry import Canvas
from multimodal_fusion.detect.layouts import LAYOUTS, decode, grid
from multimodal_fusion.detect.telling import tell
from multimodal_fusion.errors import UserError

from ..helpers.detectors import detector_bytes

IMAGE = np.zeros((64, 128, 3), np.uint8)
BOX = (8.0, 20.0, 24.0, 44.0)  # corners on the input
CENTRED = (16.0, 8.0, 48.0, 56.0)  # on the image: x * 2, (y - 16) * 2
CORNER = (16.0, 40.0, 48.0, 64.0)  # x * 2, y * 2, cut off at the image's edge
STRETCHED = (16.0, 20.0, 48.0, 44.0)  # x * 2, y


def single(rows, columns, at, values):
    raw = np.zeros((1, rows, columns), np.float32)
    raw[0, at] = values
    return {'output': raw}


def yolov8(score=(0.1, 0.7)):
    """cx, cy, w, h of BOX are (16, 32, 16, 24)."""
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 10] = (16, 32, 16, 24, *score)
    return {'output': raw}


def found_by(tmp_path, outputs, **options):
    path = tmp_path / 'm.onnx'
    content = {k: options.pop(k) for k in list(options) if k in ('size', 'metadata', 'inputs',
                                                                 'dtype', 'batch')}  # fmt: skip
    path.write_bytes(detector_bytes(outputs, **content))
    detector = Detector(str(path), allow_unlisted=True, **options)
    return detector, detector.detect(IMAGE)


def check(found, label, score, box):
    assert [d.label for d in found] == [label]
    d = found[0]
    assert d.score == pytest.approx(score, abs=1e-3)
    assert (d.x0, d.y0, d.x1, d.y1) == pytest.approx(box, abs=0.01)


def test_yolox(tmp_path):
    """Cell 33 of stride 8 is (x, y) = (1, 4): centre (1 + 1, 4 + 0) * 8 = (16, 32), size
    exp(ln 2, ln 3) * 8 = (16, 24), which is BOX; score 0.8 * 0.5."""
    outputs = single(84, 7, 33, (1, 0, np.log(2), np.log(3), 0.8, 0.1, 0.5))
    detector, found = found_by(tmp_path, outputs)
    assert detector.layout == 'yolox'
    check(found, '1', 0.4, CORNER)


def test_yolov5(tmp_path):
    """Three anchors a cell: 252 rows, decoded already; score 0.8 * 0.5."""
    detector, found = found_by(tmp_path, single(252, 7, 200, (16, 32, 16, 24, 0.8, 0.1, 0.5)))
    assert detector.layout == 'yolov5'
    check(found, '1', 0.4, CENTRED)


def test_yolov8(tmp_path):
    detector, found = found_by(tmp_path, yolov8(), metadata={'names': "{0: 'cat', 1: 'dog'}"})
    assert detector.layout == 'yolov8'
    check(found, 'dog', 0.7, CENTRED)


def test_yolov10(tmp_path):
    """Corners, score, class; two boxes in one place both stay: the model has chosen already."""
    outputs = single(30, 6, slice(3, 5), [(*BOX, 0.9, 1), (*BOX, 0.8, 1)])
    detector, found = found_by(tmp_path, outputs)
    assert detector.layout == 'yolov10'
    assert [round(d.score, 2) for d in found] == [0.9, 0.8]
    check(found[:1], 'bicycle', 0.9, CENTRED)


def test_rtdetr_in_one_output(tmp_path):
    """Relative to the input: BOX is cx, cy, w, h = (16, 32, 16, 24) / 64."""
    outputs = single(30, 7, 4, (0.25, 0.5, 0.25, 0.375, 0.1, 0.2, 0.6))
    detector, found = found_by(tmp_path, outputs)
    assert detector.layout == 'rtdetr'
    check(found, '2', 0.6, STRETCHED)


def test_dfine_with_its_post_processing(tmp_path):
    """Corners in pixels of the size that was asked for, which is that of the input."""
    outputs = {
        'labels': np.array([[0, 2]], np.int64),
        'boxes': np.array([[[0, 0, 9, 9], BOX]], np.float32),
        'scores': np.array([[0.1, 0.9]], np.float32),
    }
    detector, found = found_by(tmp_path, outputs, inputs=('images', 'orig_target_sizes'))
    assert detector.layout == 'dfine'
    check(found, 'car', 0.9, STRETCHED)


def test_detr_without_post_processing(tmp_path):
    """The score is the sigmoid of the logit: of ln 3 it is 0.75."""
    outputs = {
        'logits': np.array([[[-9, np.log(3)], [-9, -9]]], np.float32),
        'pred_boxes': np.array([[[0.25, 0.5, 0.25, 0.375], [0, 0, 0, 0]]], np.float32),
    }
    detector, found = found_by(tmp_path, outputs)
    assert detector.layout == 'detr'
    check(found, '1', 0.75, STRETCHED)


def test_float16_and_any_size(tmp_path):
    """A model of any size, trained on 64 by its metadata: the image becomes 64x32, without grey
    around it, so 32 + 8 + 2 = 42 cells. It is asked with 64x64 first: 84 columns."""
    halves = {'output': yolov8()['output'].astype(np.float16)}
    detector, found = found_by(
        tmp_path, halves, size=('H', 'W'), dtype=np.float16, metadata={'imgsz': [64, 64]}
    )
    assert detector.layout == 'yolov8' and detector.input_size((64, 128)) == (32, 64)
    check(found, '1', 0.7, (16, 40, 48, 64))


@pytest.mark.parametrize(
    ('resize', 'box'), [('corner', CORNER), ('centre', CENTRED), ('stretch', STRETCHED)]
)
def test_the_user_says_how_the_image_is_resized(tmp_path, resize, box):
    _, found = found_by(tmp_path, yolov8(), resize=resize)
    check(found, '1', 0.7, box)


def test_the_metadata_and_the_user_settle_what_shapes_leave_open(tmp_path):
    """84 rows of 7 would be raw YOLOX; YOLOv6 has the same shape, decoded."""
    outputs = single(84, 7, 33, (16, 32, 16, 24, 1, 0.1, 0.5))
    detector, found = found_by(tmp_path, outputs, metadata={'layout': 'yolov5'})
    check(found, '1', 0.5, CENTRED)
    detector, found = found_by(tmp_path, outputs, layout='yolov5')
    assert detector.layout == 'yolov5'
    check(found, '1', 0.5, CENTRED)


def test_only_the_classes_that_are_wanted(tmp_path):
    metadata = {'names': ['cat', 'dog']}
    detector, found = found_by(tmp_path, yolov8(), metadata=metadata, classes='cat')
    assert not found
    detector = detector.retuned(score=0.35, iou=0.5, limit=100, classes=' dog, cat')
    assert [d.label for d in detector.detect(IMAGE)] == ['dog']
    with pytest.raises(UserError, match=r"no class 'bird'; it has cat, dog"):
        detector.retuned(score=0.35, iou=0.5, limit=100, classes='bird')


def test_class_names_from_a_file(tmp_path):
    names = tmp_path / 'names.txt'
    names.write_text('cat\ndog\n')
    _, found = found_by(tmp_path, yolov8(), labels=str(names))
    assert found[0].label == 'dog'
    names.write_text('cat\n')
    with pytest.raises(UserError, match='has 1 class names, the model has 2 classes'):
        found_by(tmp_path, yolov8(), labels=str(names))


BAD = [
    ({'output': np.zeros((1, 100, 9), np.float32)}, {},
     r'found output \[1, 100, 9\] on an input of 64x64; supported are yolox: \(1, cells, 5 \+ C\); '
     r'yolov5: .* with 84 cells here'),
    ({'a': np.zeros((1, 3), np.float32), 'b': np.zeros((2, 3), np.float32)}, {},
     r'found a \[1, 3\], b \[2, 3\]'),
    (yolov8(), {'batch': 4}, 'takes 4 images at once; export it for a batch of 1'),
    (yolov8(), {'size': 320}, r'detector\.size is 320, but .* takes 64x64 only'),
    (yolov8(), {'metadata': {'task': 'segment'}}, "is a model for 'segment' by its metadata"),
    (yolov8(), {'metadata': {'names': 'what?'}}, 'class names that cannot be read'),
]  # fmt: skip


@pytest.mark.parametrize(('outputs', 'options', 'text'), BAD)
def test_what_is_refused_and_how(tmp_path, outputs, options, text):
    asked = {'size': options.pop('size')} if 'size' in options else {}
    path = tmp_path / 'm.onnx'
    path.write_bytes(detector_bytes(outputs, **options))
    with pytest.raises(UserError, match=text):
        Detector(str(path), allow_unlisted=True, **asked)


def noise_of(layout, rows, fill):
    """Outputs of a layout, filled with one number. rows: boxes, where the layout leaves it open."""
    shapes = {
        'yolox': {'output': (1, 84, 7)},
        'yolov5': {'output': (1, 252, 7)},
        'yolov8': {'output': (1, 6, 84)},
        'yolov10': {'output': (1, rows, 6)},
        'rtdetr': {'output': (1, rows, 6)},
        'dfine': {'labels': (1, rows), 'boxes': (1, rows, 4), 'scores': (1, rows)},
        'yolov8-rows': {'output': (1, 84, 6)},
        'deepstream': {'output': (1, 84, 6)},
        'detr': {'logits': (1, rows, 2), 'pred_boxes': (1, rows, 4)},
        'yolos': {'logits': (1, rows, 3), 'pred_boxes': (1, rows, 4)},
        'rfdetr': {'labels': (1, rows, 2), 'dets': (1, rows, 4)},
    }[layout]
    return {name: np.full(shape, fill, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize('layout', list(LAYOUTS))
def test_no_number_is_no_detection(layout):
    found = decode(layout, noise_of(layout, 5, np.nan), (64, 64), 0.3)
    assert len(found.boxes) == len(found.scores) == len(found.labels) == 0
    outputs = noise_of(layout, 5, 0.9)
    for value in outputs.values():
        if value.ndim == 3:  # all scores are good, no box is
            value[
                :, : (4 if layout == 'yolov8' else None), : (None if layout == 'yolov8' else 4)
            ] = np.inf
    if layout not in ('detr', 'yolos', 'rfdetr'):
        assert len(decode(layout, outputs, (64, 64), 0.3).boxes) == 0


@pytest.mark.parametrize('layout', ['yolov10', 'rtdetr', 'dfine', 'detr'])
def test_a_model_that_finds_nothing_returns_no_rows(layout):
    assert len(decode(layout, noise_of(layout, 0, 0), (64, 64), 0.3).boxes) == 0


def test_huge_sizes_do_no_harm():
    raw = np.full((1, 84, 7), 100, np.float32)
    raw[..., 4:] = 1
    assert np.isfinite(decode('yolox', {'output': raw}, (64, 64), 0.3).boxes).all()


def test_one_class_is_not_taken_for_end_to_end():
    """5 + 1 columns: told from v10's six by the number of rows."""
    assert tell([('output', (1, 84, 6))], (64, 64)) == 'yolox'
    assert tell([('output', (1, 252, 6))], (64, 64)) == 'yolov5'
    assert tell([('output', (1, 300, 6))], (64, 64)) == 'yolov10'


def test_the_grid_of_an_input_that_is_not_square():
    """32x64: 4x8 + 2x4 + 1x2 cells; cell 9 is (1, 1) of stride 8, cell 40 (0, 0) of stride 32."""
    cells, strides = grid((32, 64))
    assert len(cells) == len(strides) == 42
    assert cells[9].tolist() == [1, 1] and strides[9] == 8
    assert cells[40].tolist() == [0, 0] and strides[40] == 32


# Told by values, where shapes leave two readings -------------------------------------------------


def table(rows, columns, filled):
    """(1, rows, columns) of small noise as networks give it, with some rows filled in."""
    raw = np.random.default_rng(0).uniform(0.001, 0.02, (1, rows, columns)).astype(np.float32)
    for at, values in filled.items():
        raw[0, at] = values
    return {'output': raw}


def in_pixels(outputs):
    """Boxes spread over the input, as of decoded cells."""
    raw = outputs['output']
    raw[..., :4] += np.random.default_rng(1).uniform(0, 60, raw[..., :4].shape)
    return outputs


@pytest.mark.parametrize(('strides', 'rows'), [((4, 8, 16, 32), 340), ((8, 16, 32, 64), 85)])
def test_yolov8_with_one_more_head(tmp_path, strides, rows):
    """P2 adds 16x16 = 256 cells of stride 4 to the 84, P6 one of stride 64."""
    raw = np.zeros((1, 6, rows), np.float32)
    raw[0, :, 10] = (16, 32, 16, 24, 0.1, 0.7)
    detector, found = found_by(tmp_path, {'output': raw})
    assert detector.layout == 'yolov8'
    check(found, '1', 0.7, CENTRED)


def test_yolov8_turned_round(tmp_path):
    outputs = in_pixels(table(84, 84, {}))
    outputs['output'][0, 7] = (16, 32, 16, 24, *np.zeros(79), 0.8)
    detector, found = found_by(tmp_path, outputs)
    assert detector.layout == 'yolov8-rows'
    check(found, 'toothbrush', 0.8, CENTRED)


def test_deepstreams_rows_are_no_raw_yolox(tmp_path):
    """x0 y0 x1 y1 score class; before, one box over the whole image with a score of 1.8."""
    outputs = table(84, 6, {})
    corners = np.random.default_rng(2).uniform(0, 30, (84, 2))
    outputs['output'][0, :, :2] = corners
    outputs['output'][0, :, 2:4] = corners + 10
    outputs['output'][0, :, 5] = np.arange(84) % 3
    outputs['output'][0, 5] = (*BOX, 0.9, 2)
    detector, found = found_by(tmp_path, outputs)
    assert detector.layout == 'deepstream'
    check(found, 'car', 0.9, CENTRED)


def test_raw_yolox_of_one_class_stays_raw_yolox(tmp_path):
    outputs = table(84, 6, {33: (1, 0, np.log(2), np.log(3), 0.8, 0.5)})
    detector, found = found_by(tmp_path, outputs)
    assert detector.layout == 'yolox'
    check(found, '0', 0.4, CORNER)


SIX = (0.25, 0.5, 0.25, 0.375, 0.1, 0.6)


@pytest.mark.parametrize(
    'metadata',
    [{}, {'description': 'Ultralytics RTDETR-l model trained on data.yaml', 'names': ['a', 'b']}],
)
def test_rtdetr_with_two_classes_is_no_yolov10(tmp_path, metadata):
    detector, found = found_by(tmp_path, table(30, 6, {4: SIX}), metadata=metadata)
    assert detector.layout == 'rtdetr'
    check(found, 'b' if metadata else '1', 0.6, STRETCHED)


def test_six_columns_that_say_nothing_are_refused_with_both_readings(tmp_path):
    with pytest.raises(UserError, match=r'may be yolov10 .* or rtdetr with two classes: set dete'):
        found_by(tmp_path, {'output': np.zeros((1, 30, 6), np.float32)})
    detector, _ = found_by(
        tmp_path, {'output': np.zeros((1, 30, 6), np.float32)}, metadata={'end2end': 'True'}
    )
    assert detector.layout == 'yolov10'


def test_detr_and_yolos_have_no_object_as_the_last_class(tmp_path):
    """92 logits: COCO's 91 numbers and "no object". Softmax of (ln 9, 0, ...): 9 / (9 + 91)."""
    logits = np.zeros((1, 10, 92), np.float32)
    logits[0, :, 91] = 9
    logits[0, 3] = np.eye(92)[1] * np.log(9 * 91)
    boxes = np.full((1, 10, 4), (0.25, 0.5, 0.25, 0.375), np.float32)
    detector, found = found_by(tmp_path, {'logits': logits, 'pred_boxes': boxes})
    assert detector.layout == 'yolos' and len(detector.names) == 91
    check(found, 'person', 0.9, STRETCHED)


def test_rfdetr(tmp_path):
    """91 logits by COCO's numbers; number 3 is a car. Sigmoid of ln 4 is 0.8."""
    logits = np.full((1, 10, 91), -9, np.float32)
    logits[0, 2, 3] = np.log(4)
    boxes = np.full((1, 10, 4), (0.25, 0.5, 0.25, 0.375), np.float32)
    detector, found = found_by(tmp_path, {'dets': boxes, 'labels': logits})
    assert detector.layout == 'rfdetr'
    check(found, 'car', 0.8, STRETCHED)


def test_imagenets_mean_and_deviation():
    """Red 0.485 at value 124 of 255: (0.48627 - 0.485) / 0.229 = 0.0055."""
    blob, _ = Canvas('stretch', True, True, np.float32, True).blob(
        np.full((8, 8, 3), (104, 116, 124), np.uint8), (8, 8)
    )
    assert blob[0, :, 0, 0] == pytest.approx((0.0056, -0.0049, 0.0082), abs=3e-4)


@pytest.mark.parametrize(
    ('outputs', 'text'),
    [
        ({'output': np.full((1, 56, 84), 40, np.float32)}, 'its scores go from 40 to 40: pose'),
        ({'output': np.full((1, 7, 84), -0.4, np.float32)}, 'its scores go from -0.4 to -0.4'),
        ({'output0': np.zeros((1, 38, 84), np.float32),
          'output1': np.zeros((1, 32, 16, 16), np.float32)}, 'which a segmentation model has'),
        ({'output': np.full((1, 84, 112), 0.1, np.float32)}, 'as NanoDet has'),
        ({'save_infer_model/scale_0.tmp_0': np.zeros((3, 6), np.float32)}, 'which PicoDet and ot'),
        (in_pixels(table(84, 9, {})), r'may have 5 classes \(yolov8-rows\) or an objectness and 4'),
    ],
)  # fmt: skip
def test_other_families_are_refused_by_name(tmp_path, outputs, text):
    with pytest.raises(UserError, match=text):
        found_by(tmp_path, outputs)


def test_scores_and_boxes_of_another_layout_are_never_published(tmp_path):
    wrong = single(30, 7, 4, (0.25, 0.5, 0.25, 0.375, 0.1, 0.2, 300))
    with pytest.raises(UserError, match='gives scores up to 300, which must be 0 to 1'):
        found_by(tmp_path, wrong, layout='rtdetr')
    wrong = single(30, 7, 4, (250, 500, 20, 30, 0.1, 0.2, 0.6))
    with pytest.raises(UserError, match='gives boxes far outside the image'):
        found_by(tmp_path, wrong, layout='rtdetr')
