"""The detection topics of fusion_node, computed in a thread of their own.

Publishes  fused/detections        vision_msgs/Detection2DArray, where vision_msgs is installed
           fused/detections_json   std_msgs/String, where it is not: the same as JSON
           fused/detections_image  sensor_msgs/Image with the boxes drawn in, and /compressed

The fusing thread only leaves a pair in the slot; the newest wins, so that a slow detector costs
detections and never a fused image.
"""

import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String

from ..detect.detection import Detection, draw
from ..detect.detector import Detector
from ..io import messages
from ..pipeline.pairing import Pair
from ..pipeline.pipeline import Pipeline
from ..pipeline.settings import Settings
from .distro import image_message
from .output import CompressedPort
from .slot import Slot

try:
    from vision_msgs import msg as vision_msgs
except ImportError:  # PyPI has no wheel of it
    vision_msgs = None

JSON = 'fused/detections_json'
TOPIC = (String, JSON)
if vision_msgs is not None:
    TOPIC = (vision_msgs.Detection2DArray, 'fused/detections')
"""Type and name of the topic that the boxes are on."""

WITHOUT = (
    'vision_msgs is not installed, so fused/detections is not published; the boxes are on '
    'fused/detections_json (std_msgs/String). For the array: ros-<distro>-vision-msgs from apt'
)


@dataclass(frozen=True)
class Work:
    """A fused image to detect on, and its pair; None where it is of one stream alone.

    settings: as they were when it was fused.
    """

    pipeline: Pipeline
    settings: Settings
    pair: Pair | None
    fused: np.ndarray
    header: Any


class DetectionOutput:
    """Detects in its own thread and publishes what somebody listens to.

    refuse(stage, error): told of whatever goes wrong with a frame.
    """

    def __init__(self, node: Node, profile: QoSProfile, refuse: Callable[[str, Exception], None]):
        self._node, self._refuse = node, refuse
        topic = 'fused/detections_image'
        self._image = node.create_publisher(Image, topic, profile)
        self._compressed = CompressedPort(node, topic, profile)
        self._boxes = node.create_publisher(*TOPIC, profile)
        self._said = False
        self._offered = 0
        self._counts: Counter = Counter()
        self._milliseconds = 0.0
        self._slot = Slot()
        self._worker = threading.Thread(target=self._work, name='detect', daemon=True)
        self._worker.start()

    def announce(self, detector: Detector | None) -> None:
        """Say what detects, and once what is missing for it."""
        if detector is None:
            return
        self._node.get_logger().info(
            f'detecting with {detector.name} on {detector.provider} ({detector.layout}), '
            f'{len(detector.names)} classes'
        )
        if vision_msgs is None and not self._said:
            self._said = True
            self._node.get_logger().warning(WITHOUT)

    def listened(self) -> bool:
        """Whether anybody wants detections."""
        plain = any(port.get_subscription_count() for port in (self._image, self._boxes))
        return plain or self._compressed.listened()

    def offer(self, work: Work) -> None:
        """Take every n-th fused pair, if anybody listens; returns at once."""
        if work.pipeline.detector is None or not self.listened():
            return
        self._offered += 1
        if self._offered % work.settings.detector.every == 0:
            self._counts['skipped'] += self._slot.put(work)

    def figures(self) -> dict[str, str]:
        """For the diagnostics; empty before the first detection."""
        if not self._counts:
            return {}
        return {
            'detected images': str(self._counts['images']),
            'detections': str(self._counts['detections']),
            'detections skipped': str(self._counts['skipped']),
            'detector ms': f'{self._milliseconds:.1f}',
        }

    def close(self) -> None:
        self._slot.close()
        self._worker.join(timeout=5.0)

    def _work(self) -> None:
        while (work := self._slot.take()) is not None:
            try:
                self._detect(work)
            except Exception as error:  # the node outlives whatever one frame does to it
                if self._node.context.ok() and not self._slot.closed:
                    self._refuse('detector', error)
                    self._node.get_logger().debug(traceback.format_exc())

    def _detect(self, work: Work) -> None:
        start = time.monotonic()
        image, pipeline = work.fused, work.pipeline
        if work.pair is None or work.settings.detector.input == 'fused':
            found = pipeline.detector.detect(image)
        else:
            visible = messages.read_visible(work.pair.rgb.message, work.settings.input.max_pixels)
            found = pipeline.detect(image, visible, work.pair.thermal.thermal)
        self._milliseconds = (time.monotonic() - start) * 1e3
        self._counts['images'] += 1
        self._counts['detections'] += len(found)
        if self._boxes.get_subscription_count():
            self._boxes.publish(boxes_message(found, work.header))
        if self._image.get_subscription_count() or self._compressed.listened():
            drawn = draw(image, found)
            self._image.publish(messages.fill(image_message(work.header), drawn))
            self._compressed.publish(drawn, work.header, work.settings.output)


def boxes_message(detections: list[Detection], header):
    """The message for `TOPIC`."""
    if vision_msgs is None:
        return String(data=to_json(detections, header))
    array = vision_msgs.Detection2DArray(header=header)
    array.detections = [to_message(d, header) for d in detections]
    return array


def to_json(detections: list[Detection], header) -> str:
    """What a Detection2DArray says, as JSON: stamp (sec, nanosec), frame_id, and for each
    detection class_id, score, and centre and size in pixels of the fused image."""
    return json.dumps(
        {
            'stamp': [header.stamp.sec, header.stamp.nanosec],
            'frame_id': header.frame_id,
            'detections': [
                {
                    'class_id': d.label,
                    'score': round(d.score, 4),
                    'center': [(d.x0 + d.x1) / 2, (d.y0 + d.y1) / 2],
                    'size': [d.x1 - d.x0, d.y1 - d.y0],
                }
                for d in detections
            ],
        }
    )


def from_array(array) -> list[Detection]:
    """What a Detection2DArray says."""
    found = []
    for d in array.detections:
        centre, best = getattr(d.bbox.center, 'position', d.bbox.center), d.results[0].hypothesis
        half = d.bbox.size_x / 2, d.bbox.size_y / 2
        corners = centre.x - half[0], centre.y - half[1], centre.x + half[0], centre.y + half[1]
        found.append(Detection(best.class_id, best.score, *corners))
    return found


def to_message(detection: Detection, header, types=vision_msgs):
    """vision_msgs/Detection2D, its header filled in like that of the array."""
    message = types.Detection2D(header=header)
    box = message.bbox
    # Humble and later have a Pose2D with a Point2D position here; before it was x and y alone.
    centre = getattr(box.center, 'position', box.center)
    centre.x, centre.y = (detection.x0 + detection.x1) / 2, (detection.y0 + detection.y1) / 2
    box.size_x, box.size_y = detection.x1 - detection.x0, detection.y1 - detection.y0
    result = types.ObjectHypothesisWithPose()
    result.hypothesis.class_id = detection.label
    result.hypothesis.score = detection.score
    message.results = [result]
    return message
