"""The detection topics of fusion_node: the annotated image, and vision_msgs where installed."""

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from .. import images
from ..detector import Detection, Detector, draw

try:
    from vision_msgs import msg as vision_msgs
except ImportError:  # PyPI has no wheel of it
    vision_msgs = None


class DetectionOutput:
    """Publishes ``fused/detections_image``, and ``fused/detections`` if vision_msgs is there."""

    def __init__(self, node: Node, profile: QoSProfile):
        self._image = node.create_publisher(Image, 'fused/detections_image', profile)
        self._array = None
        if vision_msgs is not None:
            kind = vision_msgs.Detection2DArray
            self._array = node.create_publisher(kind, 'fused/detections', profile)
        self._count = 0

    def listened(self) -> bool:
        """Whether anybody wants detections."""
        publishers = filter(None, (self._image, self._array))
        return any(publisher.get_subscription_count() for publisher in publishers)

    def publish(self, detector: Detector, every: int, fused: np.ndarray, header) -> None:
        """Detect on every n-th image and publish what was found."""
        self._count += 1
        if self._count % every:
            return
        found = detector.detect(fused)
        if self._array is not None and self._array.get_subscription_count():
            array = vision_msgs.Detection2DArray(header=header)
            array.detections = [to_message(d, header) for d in found]
            self._array.publish(array)
        if self._image.get_subscription_count():
            self._image.publish(images.fill(Image(header=header), draw(fused, found)))


def to_message(detection: Detection, header):
    """vision_msgs/Detection2D, its header filled in like that of the array."""
    message = vision_msgs.Detection2D(header=header)
    box = message.bbox
    # Humble renamed the centre's fields: Pose2D with a Point2D position.
    centre = getattr(box.center, 'position', box.center)
    centre.x, centre.y = (detection.x0 + detection.x1) / 2, (detection.y0 + detection.y1) / 2
    box.size_x, box.size_y = detection.x1 - detection.x0, detection.y1 - detection.y0
    result = vision_msgs.ObjectHypothesisWithPose()
    result.hypothesis.class_id = detection.label
    result.hypothesis.score = detection.score
    message.results = [result]
    return message
