"""camera_info beside images: found as image_transport does, latched or not; passed on."""

from __future__ import annotations

from functools import partial

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo

from ..pipeline.frames import misfit
from ..pipeline.pairing import STREAMS
from .distro import SubscriptionEventCallbacks, latched


def info_topic(node: Node, image_topic: str, info: str) -> str:
    """The camera_info topic of an image topic, both as the node knows them (``rgb/image_raw``).

    What ``info`` was remapped to; else the sibling of what the image topic was remapped to, as
    image_transport derives it.
    """
    resolved = node.resolve_topic_name(info)
    if resolved != node.resolve_topic_name(info, only_expand=True):
        return resolved
    return node.resolve_topic_name(image_topic).rsplit('/', 1)[0] + '/camera_info'


class CameraInfoPorts:
    """Takes camera_info of both streams, and passes that of one on. inputs, outputs: profiles."""

    def __init__(self, node: Node, inputs: QoSProfile, outputs: QoSProfile):
        self._topics = {n: info_topic(node, f'{n}/image_raw', f'{n}/camera_info') for n in STREAMS}
        self._newest: dict[str, CameraInfo] = {}
        # Latched ones came before we did; of a subscription for each kind, one fits.
        quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
        self._inputs = [
            node.create_subscription(
                CameraInfo, topic, partial(self._on_info, name), asked, event_callbacks=quiet
            )
            for name, topic in self._topics.items()
            for asked in (inputs, latched())
        ]
        topic = info_topic(node, 'fused/image_raw', 'fused/camera_info')
        self._output = node.create_publisher(CameraInfo, topic, outputs)

    def listened(self) -> bool:
        return self._output.get_subscription_count() > 0

    def pass_on(self, name: str, header, fused: np.ndarray) -> str:
        """Publish the newest camera_info of a stream for an image; returns why not, if so."""
        info = self._newest.get(name)
        if info is None or not self.listened():
            return ''
        if sentence := misfit(info, fused):
            return sentence
        info.header = header
        self._output.publish(info)
        return ''

    def missing(self, name: str) -> str:
        """A sentence if somebody waits for what nobody publishes; else empty."""
        if name in self._newest or not self.listened():
            return ''
        return (
            f'nothing comes on {self._topics[name]}, so nothing goes out on '
            f'{self._output.topic_name}: publish it, or remap {name}/camera_info (launch argument '
            f'{name}_info_topic)'
        )

    def _on_info(self, name: str, info: CameraInfo) -> None:
        self._newest[name] = info
