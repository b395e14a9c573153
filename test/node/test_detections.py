"""Detections of the real node over real DDS, on the synthetic night road and on real images."""

import importlib.util
import json
from dataclasses import dataclass

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from multimodal_fusion.detect.detection import Detection, draw
from multimodal_fusion.detect.detector import Detector
from multimodal_fusion.detect.merge import merge
from multimodal_fusion.evaluate.detection import hits
from multimodal_fusion.io import messages
from multimodal_fusion.io.image_files import read_thermal
from multimodal_fusion.nodes.detections import to_json
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked
from multimodal_fusion.scene import Scene
from tools.results.detection import of_scene

from ..helpers.data import DATA, needs_data
from .frames import SECOND, START, play, scene, stamp_of
from .harness import running, wait_for

YOLOX = str(DATA / 'weights' / 'yolox_nano.onnx')
REAL_MESSAGE = importlib.util.find_spec('vision_msgs') is not None
OURS = {'detector.enabled': True, 'detector.every': 1}


@dataclass
class Found:
    """One detections message, of either kind."""

    stamp: int
    detections: list[Detection]


class Boxes:
    """Collects what the node says it detects: vision_msgs where it is installed, else JSON."""

    def __init__(self, rig):
        self.rig, self.found, self.messages = rig, [], []
        if REAL_MESSAGE:
            from vision_msgs.msg import Detection2DArray

            rig.create_subscription(Detection2DArray, 'fused/detections', self._on_array, 10)
        else:
            rig.create_subscription(String, 'fused/detections_json', self._on_json, 10)

    def _on_array(self, message):
        self.messages.append(message)
        found = []
        for d in message.detections:
            centre, size = d.bbox.center.position, (d.bbox.size_x, d.bbox.size_y)
            best = d.results[0].hypothesis
            found.append(_detection(best.class_id, best.score, (centre.x, centre.y), size))
        self.found.append(Found(stamp_of(message), found))

    def _on_json(self, message):
        content = json.loads(message.data)
        self.messages.append(content)
        found = [
            _detection(d['class_id'], d['score'], d['center'], d['size'])
            for d in content['detections']
        ]
        self.found.append(Found(content['stamp'][0] * SECOND + content['stamp'][1], found))

    def of(self, visible, thermal, stamp):
        """The detections of one pair, sent now and answered before this returns."""
        self.rig.send('rgb', visible, stamp)
        self.rig.send('thermal', thermal, stamp)
        wait_for(lambda: any(f.stamp == stamp for f in self.found), f'detections of {stamp}')
        return next(f for f in self.found if f.stamp == stamp).detections

    def warm(self):
        """Until a first pair has come through, and everything that was sent for that."""
        sent = iter(range(10_000))

        def attempt():
            stamp = START - 100 * SECOND + next(sent) * 100_000_000
            for name in ('rgb', 'thermal'):
                self.rig.send(name, np.zeros((480, 640), np.uint8), stamp)
            return bool(self.found)

        wait_for(attempt, 'the first detections')
        self.of(*[np.zeros((480, 640), np.uint8)] * 2, START - 50 * SECOND)


def _detection(label, score, centre, size):
    half = size[0] / 2, size[1] / 2
    low, high = (
        (centre[0] - half[0], centre[1] - half[1]),
        (centre[0] + half[0], centre[1] + half[1]),
    )
    return Detection(label, score, *low, *high)


def recall_of_people(boxes, truths, sources, start):
    """Over frames of the night road: of all people of whom a quarter or more is visible."""
    found, people = 0, 0
    for i, truth in enumerate(truths):
        shown = sources[truth.stem]
        detected = boxes.of(shown.visible, shown.thermal, start + i * SECOND)
        good = hits(truth, detected, 0.0)
        found += sum(h for h, label in zip(good, truth.labels, strict=True) if label == 'person')
        people += truth.labels.count('person')
    assert people > 250
    return found / people


def test_people_at_night_are_found_in_the_fused_image_more_than_in_rgb_alone():
    """Our detector at the images' own size, on the roads of docs/results/detection.md, whose seeds
    it was not trained on; the input changes at run time."""
    truths, sources = of_scene()
    parameters = {'model.name': 'default', 'detector.size': 640, 'detector.score': 0.3}
    with running(OURS | parameters, listen=False) as node:
        boxes = Boxes(node.rig)
        boxes.warm()
        fused = recall_of_people(boxes, truths, sources, START)
        assert node.rig.set_parameter('detector.input', 'rgb') == (True, '')
        rgb = recall_of_people(boxes, truths, sources, START + 100 * SECOND)
        for name, value in (('input', 'fused'), ('size', 0), ('score', 0.35)):
            assert node.rig.set_parameter(f'detector.{name}', value) == (True, '')
        by_default = recall_of_people(boxes, truths, sources, START + 200 * SECOND)
    assert fused >= 0.85
    assert by_default >= 0.82
    assert rgb < fused - 0.15


def test_what_is_detected_equals_the_offline_path_and_parameters_change_it_at_run_time():
    road = Scene(seed=12, freeze_for=0)
    visible, thermal = road.visible(4.0), road.thermal(4.0)
    offline = build(checked({'model.name': 'max'} | OURS))
    fused = offline.fuse(visible, offline.observe(thermal, 0))
    expected = offline.detector.detect(fused)
    assert {'person', 'car'} <= {d.label for d in expected}
    stamps = iter(range(START, START + 100 * SECOND, SECOND))
    with running(OURS, listen=False) as node:
        rig, boxes = node.rig, Boxes(node.rig)
        boxes.warm()

        def labels():
            return [d.label for d in boxes.of(visible, thermal, next(stamps))]

        found = boxes.of(visible, thermal, next(stamps))
        assert [d.label for d in found] == [d.label for d in expected]
        for a, b in zip(found, expected, strict=True):
            assert (a.score, a.x0, a.y0, a.x1, a.y1) == pytest.approx(
                (b.score, b.x0, b.y0, b.x1, b.y1), abs=1e-3
            )
        assert rig.set_parameter('detector.input', 'both') == (True, '')
        sources = visible, offline.white_hot(offline.observe(thermal, 0), visible.shape[:2])
        merged = merge([offline.detector.detect(image) for image in sources])
        assert labels() == [d.label for d in merged] != [d.label for d in expected]
        assert rig.set_parameter('detector.input', 'fused') == (True, '')
        assert rig.set_parameter('detector.classes', 'car') == (True, '')
        assert set(labels()) == {'car'}
        done, reason = rig.set_parameter('detector.classes', 'bird')
        assert not done and "no class 'bird'; it has person, car" in reason
        assert rig.set_parameter('detector.classes', '') == (True, '')
        assert rig.set_parameter('detector.limit', 2) == (True, '')
        assert len(labels()) == 2
        assert rig.set_parameter('detector.score', 1.0) == (True, '')
        assert labels() == []
        done, reason = rig.set_parameter('detector.layout', 'detr')
        assert not done and 'detector.layout is detr' in reason
        done, reason = rig.set_parameter('detector.model', 'nothing.onnx')
        assert not done and 'cannot be read' in reason
        loaded = 'detecting with detector_person_car on '
        assert node.log.count(loaded) == 1  # thresholds load nothing
        assert rig.set_parameter('detector.size', 320) == (True, '')
        wait_for(lambda: node.log.count(loaded) == 2, 'the log of the model that was loaded again')
        header = boxes.messages[-1]
        wait_for(lambda: int(rig.figures().get('detected images', 0)) >= 4, 'diagnostics')
        if REAL_MESSAGE:
            assert 'vision_msgs is not installed' not in node.log
            assert header.header.frame_id == 'camera'
            array_ = next(m for m in boxes.messages if m.detections)
            assert all(d.header == array_.header for d in array_.detections)
        else:
            assert header['frame_id'] == 'camera'
            assert node.log.count('vision_msgs is not installed') == 1


def test_the_fallback_says_what_the_array_says():
    """A box from (10, 20) to (30, 60): centre (20, 40), size (20, 40)."""
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 5, 7
    found = json.loads(to_json([Detection('person', 0.87654, 10, 20, 30, 60)], header))
    assert found == {
        'stamp': [5, 7],
        'frame_id': 'camera',
        'detections': [
            {'class_id': 'person', 'score': 0.8765, 'center': [20, 40], 'size': [20, 40]}
        ],
    }


def test_every_third_image():
    with running(OURS) as node:
        boxes = Boxes(node.rig)
        boxes.warm()
        assert node.rig.set_parameter('detector.every', 3) == (True, '')
        # Whatever it took to get here, of nine more exactly three are detected on.
        before = len(boxes.found)
        for i in range(9):
            count = len(boxes.found)
            play(node.rig, [scene(i)], start=START + i * SECOND)
            if (i + 1) % 3 == 0:
                wait_for(lambda n=before + (i + 1) // 3: len(boxes.found) >= n, 'detections')
            assert len(boxes.found) - count <= 1
        assert len(boxes.found) == before + 3


@needs_data
def test_a_slow_detector_costs_no_fused_image():
    """YOLOX takes far longer than fusing a small pair by maximum. All pairs come out fused; some
    find the detector busy and are skipped."""
    parameters = {**OURS, 'detector.model': YOLOX, 'model.allow_unlisted': True}
    with running(parameters) as node:
        boxes = Boxes(node.rig)
        boxes.warm()
        fused = play(node.rig, [scene(i) for i in range(60)])
        assert len(fused) == 60
        wait_for(lambda: int(node.rig.figures().get('detections skipped', 0)) > 0, 'diagnostics')


@needs_data
def test_the_stock_detector_on_a_real_image_and_the_picture_with_boxes():
    thermal = read_thermal(DATA / 'ivif/train/ir/llvip_010001.png')
    parameters = {**OURS, 'detector.model': YOLOX, 'model.allow_unlisted': True}
    pictures = []
    with running(parameters, listen=False) as node:
        node.rig.create_subscription(Image, 'fused/detections_image', pictures.append, 10)
        boxes = Boxes(node.rig)
        boxes.warm()
        stamps = iter(range(START, START + 100 * SECOND, SECOND))

        def attempt():
            found = boxes.of(thermal, thermal, next(stamps))
            return [p for p in pictures if stamp_of(p) >= START] and found

        wait_for(attempt, 'a picture')
        found = boxes.of(thermal, thermal, next(stamps))
    expected = Detector(YOLOX, allow_unlisted=True).detect(thermal)
    assert [d.label for d in found] == [d.label for d in expected] and expected
    last = next(p for p in pictures if stamp_of(p) >= START)
    assert np.array_equal(messages.to_visible(last), draw(thermal, expected))
