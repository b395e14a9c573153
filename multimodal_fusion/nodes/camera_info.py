"""camera_info beside images: found as image_transport does, latched or not; passed on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo

from ..errors import UserError
from ..pipeline.frames import misfit
from ..pipeline.pairing import STREAMS
from ..registration.warp import Registration
from .distro import latched


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
    """Takes camera_info of both streams, and passes that of one on. inputs, outputs: profiles.
    registers: what registers now, which wants to know the lenses."""

    def __init__(
        self,
        node: Node,
        inputs: QoSProfile,
        outputs: QoSProfile,
        registers: Callable[[], Registration],
    ):
        self._registers = registers
        self._trouble: dict[str, str] = {}  # lenses that can't be used
        self._topics = {n: info_topic(node, f'{n}/image_raw', f'{n}/camera_info') for n in STREAMS}
        self._node = node
        self._newest: dict[str, CameraInfo] = {}
        for name in STREAMS:
            self._subscribe(name, inputs)
        self._latched: set[str] = set()
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
        if self._registers().settings.straightens:
            info = copy.copy(info)
            info.d = [0.0] * len(info.d)
        info.header = header
        self._output.publish(info)
        return ''

    def _lenses(self) -> str:
        """A sentence if images are to be straightened, and by what is not known; else empty."""
        registration = self._registers()
        if not registration.settings.straightens:
            return ''
        for name, info in self._newest.items():
            self._look(name, info)  # it may have been switched on after they came
        found = [
            self._trouble.get(name) or f'nothing comes on {self._topics[name]}'
            for name in STREAMS
            if name not in registration.known.lenses or name in self._trouble
        ]
        if not found:
            return ''
        instead = 'images are used as they are'
        if registration.settings.mode == 'calibrated':
            instead = 'nothing can be registered'
        return f'images are to be straightened, but {"; ".join(found)}: {instead}'

    def _look(self, name: str, info: CameraInfo) -> None:
        try:
            self._registers().look(name, info)
            self._trouble.pop(name, None)
        except UserError as error:
            self._trouble[name] = f'{self._topics[name]}: {error}'

    def missing(self, name: str) -> str:
        """A sentence if somebody waits for what nobody publishes; else empty."""
        known = name in self._newest or self._node.count_publishers(self._topics[name])
        if known or not self.listened():
            return ''
        return (
            f'nothing comes on {self._topics[name]}, so nothing goes out on '
            f'{self._output.topic_name}: publish it, or remap {name}/camera_info (launch argument '
            f'{name}_info_topic)'
        )

    def poll(self) -> str:
        """Look around once a second; returns what is wrong with the lenses, or nothing."""
        self._look_for_latched()
        return self._lenses()

    def _look_for_latched(self) -> None:
        """Ask for what was published once, before we came. Asked of others, it would warn there."""
        for name in STREAMS:
            if name in self._newest or name in self._latched:
                continue
            publishers = self._node.get_publishers_info_by_topic(self._topics[name])
            if any(p.qos_profile.durability == latched().durability for p in publishers):
                self._latched.add(name)
                self._subscribe(name, latched())

    def _subscribe(self, name: str, profile: QoSProfile) -> None:
        self._node.create_subscription(
            CameraInfo, self._topics[name], partial(self._on_info, name), profile
        )

    def _on_info(self, name: str, info: CameraInfo) -> None:
        self._newest[name] = info
        self._look(name, info)
