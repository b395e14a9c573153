"""Average precision, recall and precision on boxes whose answers can be counted by hand."""

import math

import numpy as np
import pytest

from multimodal_fusion.detect.detection import Detection
from multimodal_fusion.errors import UserError
from multimodal_fusion.evaluate import detection
from multimodal_fusion.evaluate.detection import (
    Findings,
    Truth,
    detection_table,
    hits,
    only_fused,
    score,
)
from multimodal_fusion.io.box_files import read_boxes, read_classes

BOTH = frozenset(('person', 'car'))


def truth(stem, *boxes, judged=BOTH):
    """boxes: (label, x0, y0, x1, y1)."""
    corners = np.float32([box[1:] for box in boxes]).reshape(-1, 4)
    return Truth(stem, corners, tuple(box[0] for box in boxes), judged)


def person(score_, x0, y0=0, side=10, label='person'):
    return Detection(label, score_, x0, y0, x0 + side, y0 + side)


TWO = truth('a', ('person', 0, 0, 10, 10), ('person', 50, 0, 60, 10))


def test_one_of_two_found():
    """A hit at 0.9, a miss at 0.8: precision is 1 up to a recall of 0.5 and 0 from there on. COCO
    takes 101 recalls, 0 to 0.5 of which are 51: AP is 51 / 101 at every IoU; the hit is exact."""
    pytest.importorskip('pycocotools')
    found = {'a': [person(0.9, 0), person(0.8, 100)]}
    figures = score([TWO], found)['person']
    assert figures['AP50'] == pytest.approx(51 / 101)
    assert figures['AP'] == pytest.approx(51 / 101)
    assert (figures['recall'], figures['precision']) == (0.5, 0.5)
    assert (figures['boxes'], figures['images']) == (2, 1)


def test_a_box_that_is_off_counts_at_the_lower_thresholds_only():
    """Shifted by 2 of 10 pixels in one direction: IoU 8 / 12 = 0.67, enough for 0.5 to 0.65, which
    are 4 of the 10 thresholds."""
    pytest.importorskip('pycocotools')
    figures = score([truth('a', ('person', 0, 0, 10, 10))], {'a': [person(0.9, 2)]})['person']
    assert figures['AP50'] == pytest.approx(1) and figures['AP'] == pytest.approx(0.4)


def test_recall_is_at_the_score_and_average_precision_is_not():
    pytest.importorskip('pycocotools')
    found = {'a': [person(0.9, 0), person(0.2, 50)]}
    assert score([TWO], found, at=0.35)['person']['recall'] == 0.5
    assert score([TWO], found, at=0.1)['person']['recall'] == 1
    assert score([TWO], found, at=0.35)['person']['AP50'] == pytest.approx(1)


def test_the_interval_is_of_the_images():
    """Of two images one is found whole and one not at all: draws of two have both, with AP
    51 / 101, or one of them twice, with 1 or 0. All alike: no interval at all."""
    pytest.importorskip('pycocotools')
    truths = [truth(stem, ('person', 0, 0, 10, 10)) for stem in 'ab']
    figures = score(truths, {'a': [person(0.9, 0)], 'b': []})['person']
    assert (figures['AP50_from'], figures['AP50_to']) == (0, 1)
    assert figures['AP50'] == pytest.approx(51 / 101)
    figures = score(truths, {stem: [person(0.9, 0)] for stem in 'ab'})['person']
    assert figures['AP50_from'] == figures['AP50_to'] == figures['AP50'] == pytest.approx(1)


def test_both_sources_are_judged_where_they_are_there():
    """People seen by either camera, each once."""

    class Eyes:
        def detect(self, picture):
            return {'visible': [person(0.5, 0)], 'thermal': [person(0.5, 0), person(0.9, 50)]}[
                picture
            ]

    found = detection.detect_all(Eyes(), [TWO], ['visible', 'thermal'], lambda _, name: name)
    assert list(found) == ['visible', 'thermal', 'both']
    both = found['both'].found['a']
    assert [(d.score, d.x0) for d in both] == [(pytest.approx(0.9), 50), (pytest.approx(0.75), 0)]
    assert len(found['both'].milliseconds) == 1
    assert list(detection.detect_all(Eyes(), [TWO], ['thermal'], lambda _, name: name)) == [
        'thermal'
    ]


def test_nothing_found():
    pytest.importorskip('pycocotools')
    figures = score([TWO], {'a': []})['person']
    assert figures['AP50'] == figures['recall'] == 0 and math.isnan(figures['precision'])


def test_classes_that_are_not_labelled_do_not_count():
    """The car is a false alarm in the image where cars are labelled, and nothing in the other."""
    pytest.importorskip('pycocotools')
    partial = truth('b', ('person', 0, 0, 10, 10), judged=frozenset(('person',)))
    whole = truth('a', ('car', 0, 0, 10, 10))
    found = {'a': [person(0.9, 0, label='car')], 'b': [person(0.8, 0, label='car')]}
    assert score([whole, partial], found)['car']['precision'] == 1
    labelled = truth('b', ('person', 0, 0, 10, 10))
    assert score([whole, labelled], found)['car']['precision'] == 0.5


def test_a_truck_of_the_stock_classes_is_a_car_where_only_cars_are_labelled():
    boxes = truth('a', ('car', 0, 0, 10, 10))
    assert hits(boxes, [person(0.9, 0, label='truck')], 0.35).tolist() == [True]
    assert hits(boxes, [person(0.9, 0, label='person')], 0.35).tolist() == [False]
    separate = truth('a', ('car', 0, 0, 10, 10), judged=frozenset(('car', 'truck')))
    assert hits(separate, [person(0.9, 0, label='truck')], 0.35).tolist() == [False]


def test_one_detection_finds_one_box():
    near = truth('a', ('person', 0, 0, 10, 10), ('person', 1, 0, 11, 10))
    assert hits(near, [person(0.9, 0)], 0.35).tolist() == [True, False]
    assert hits(near, [person(0.9, 0), person(0.8, 1)], 0.35).tolist() == [True, True]
    assert hits(near, [person(0.3, 0)], 0.35).tolist() == [False, False]


def test_what_only_the_fused_image_shows():
    """In image a the second person; in b both are in the thermal image already."""
    findings = {
        'visible': Findings({'a': [], 'b': []}),
        'thermal': Findings({'a': [person(0.9, 0)], 'b': [person(0.9, 0), person(0.9, 50)]}),
        'net': Findings({s: [person(0.9, 0), person(0.9, 50)] for s in 'ab'}),
    }
    truths = [TWO, truth('b', ('person', 0, 0, 10, 10), ('person', 50, 0, 60, 10))]
    assert only_fused(truths, findings, 'net', 0.35) == [('a', 1)]


def test_recall_among_boxes_that_meet_no_other():
    """The first two boxes meet; of the other two one is found."""
    boxes = truth('a', ('person', 0, 0, 10, 10), ('car', 9, 0, 30, 10), ('person', 50, 0, 60, 10),
                  ('person', 80, 0, 90, 10))  # fmt: skip
    assert detection.apart(boxes).tolist() == [False, False, True, True]
    assert detection.recall_apart([boxes], {'a': [person(0.9, 50)]}, 'person', 0.35) == (0.5, 2)


def test_the_table():
    pytest.importorskip('pycocotools')
    figures = {'AP50': 0.5, 'AP50_from': 0.31, 'AP50_to': 0.72, 'AP': 0.25, 'recall': 0.75,
               'precision': None, 'boxes': 2, 'images': 1}  # fmt: skip
    summary = {'detector': 'd', 'score': 0.35, 'images': 1, 'boxes': 2,
               'rows': {'visible': {'person': figures}}}  # fmt: skip
    assert '| RGB | 0.500 (0.31–0.72) | 0.250 | 0.750 | – |' in detection_table(summary)


def test_labels_to_pixels(tmp_path):
    """Centre (0.5, 0.25), size (0.5, 0.5) of a 100x40 image: x 25 to 75, y 0 to 20."""
    path = tmp_path / 'a.txt'
    path.write_text('1 0.5 0.25 0.5 0.5\n\n')
    found = read_boxes(path, 100, 40, 2)
    assert found.boxes.tolist() == [[25, 0, 75, 20]] and found.labels.tolist() == [1]
    path.write_text('')
    assert len(read_boxes(path, 100, 40, 2)) == 0


BAD = ['2 0.5 0.5 0.1 0.1', '0 0.5 0.5 0.1', '0 nan 0.5 0.1 0.1', '0 0.5 0.5 0 0.1',
       'person 1 1 1 1', '0 50 50 10 10']  # fmt: skip


@pytest.mark.parametrize('line', BAD)
def test_labels_that_are_none(tmp_path, line):
    path = tmp_path / 'a.txt'
    path.write_text(f'0 0.5 0.5 0.1 0.1\n{line}\n')
    with pytest.raises(UserError, match=r'a\.txt, line 2: expected "class cx cy w h"'):
        read_boxes(path, 100, 40, 2)


def test_truth_from_folders(tmp_path):
    labels = tmp_path / 'train' / 'labels'
    labels.mkdir(parents=True)
    with pytest.raises(UserError, match=r'no classes\.txt in .* or above it'):
        read_classes(labels)
    (tmp_path / 'classes.txt').write_text('person\ncar\n')
    (labels / 'llvip_1.txt').write_text('0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5\n')
    sizes = {'llvip_1': (40, 100), 'llvip_2': (40, 100)}
    partial = detection.parse_partial(['llvip_=person'])
    found = detection.read_truth(labels, sizes, partial)
    assert [t.labels for t in found] == [('person',)]
    assert detection.read_truth(labels, sizes, {})[0].labels == ('person', 'car')
    with pytest.raises(UserError, match='has no labels for these images'):
        detection.read_truth(labels, {'other': (40, 100)}, {})
    with pytest.raises(UserError, match=r"--partial is 'llvip_'; it must be"):
        detection.parse_partial(['llvip_'])


def test_classes_are_compared_without_case_and_renamed_on_request():
    alike = detection.called_alike
    assert alike(('Person', 'CAR', 'dog'), ('person', 'car'), {}) == ('person', 'car', 'dog')
    renamed = detection.parse_class_map(['People=person'])
    assert alike(('people', 'car'), ('person', 'car'), renamed) == ('person', 'car')


@pytest.mark.parametrize(
    ('classes', 'renamed', 'text'),
    [
        (('People',), (), 'no class in common: the labels have People, the detector person, car'),
        (('People',), ('persons=person',), 'names a class that is not there: the labels have Peo'),
        (('People',), ('people=persons',), 'names a class that is not there'),
        (('People',), ('people',), "--class-map is 'people'; it must be a class of the labels"),
    ],
)
def test_classes_without_anything_in_common_are_refused(classes, renamed, text):
    with pytest.raises(UserError, match=text):
        detection.called_alike(classes, ('person', 'car'), detection.parse_class_map(renamed))
