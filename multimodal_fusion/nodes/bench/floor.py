"""The floor of `bench node`: what fusion_node costs without any fusion.

Two subscriptions, one publisher, the same QoS; the RGB image is copied once and published.
"""

import sys

from rclpy.node import Node
from sensor_msgs.msg import Image

from ...io import messages
from ..distro import image_message
from .control import INPUT_QOS, OUTPUT_QOS, run


class BenchFloor(Node):
    """Publishes each RGB image again as fused/image_raw."""

    def __init__(self):
        super().__init__('bench_floor')
        self._fused = self.create_publisher(Image, 'fused/image_raw', OUTPUT_QOS)
        self.create_subscription(Image, 'rgb/image_raw', self._on_rgb, INPUT_QOS)
        self.create_subscription(Image, 'thermal/image_raw', lambda _: None, INPUT_QOS)

    def _on_rgb(self, message: Image) -> None:
        fused = messages.fill(image_message(message.header), messages.as_array(message))
        self._fused.publish(fused)


if __name__ == '__main__':
    sys.exit(run(BenchFloor))
