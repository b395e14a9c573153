"""Temperatures, on demand, on the thermal camera's own grid and with its header.

Publishes  thermal/temperature  32FC1, degrees Celsius
           thermal/hottest      geometry_msgs/PointStamped: x and y in its pixels, z in degrees
"""

from __future__ import annotations

from collections.abc import Callable

from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from ..io import messages
from ..pipeline.frames import Frame
from ..pipeline.temperature import UNKNOWN, celsius, hottest
from ..pipeline.thermal import ThermalSettings
from .distro import image_message


class TemperaturePorts:
    """settings: those in force. tell(key, sentence, every): logs, at most so often."""

    def __init__(
        self,
        node: Node,
        outputs: QoSProfile,
        settings: Callable[[], ThermalSettings],
        tell: Callable[..., None],
    ):
        self._settings, self._tell = settings, tell
        self._image = node.create_publisher(Image, 'thermal/temperature', outputs)
        self._point = node.create_publisher(PointStamped, 'thermal/hottest', outputs)

    def listened(self) -> bool:
        return any(port.get_subscription_count() for port in (self._image, self._point))

    def seen(self, frame: Frame) -> None:
        """A thermal frame came in."""
        if frame.thermal is None or not self.listened():
            return
        degrees = celsius(frame.thermal.counts, self._settings())
        if degrees is None:
            self._tell('temperature', UNKNOWN, every=60.0)
            return
        if self._image.get_subscription_count():
            message = messages.fill(image_message(frame.header), degrees, '32FC1')
            self._image.publish(message)
        if self._point.get_subscription_count():
            found, point = hottest(degrees), PointStamped(header=frame.header)
            point.point.x, point.point.y = float(found.x), float(found.y)
            point.point.z = found.celsius
            self._point.publish(point)
