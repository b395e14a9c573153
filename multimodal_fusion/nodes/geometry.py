"""What registration.mode calibrated takes besides images and camera_info.

Subscribes  range              sensor_msgs/Range          if registration.distance_from is range
            depth/image_raw    16UC1 (mm) or 32FC1 (m)    if it is depth
            depth/camera_info
            /tf, /tf_static    if registration.file is empty
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, Range

from ..errors import UserError
from ..io.depth import read_depth
from ..registration.camera import Lens
from ..registration.distance import Distance, of_depth, of_range
from ..registration.plane import Pose
from ..registration.warp import Registration

_OLD = 2.0  # seconds after which a distance is told to be old


class GeometryPorts:
    """registers: what registers now. frame_ids: the newest of each stream. Subscriptions are made
    when they are first asked for."""

    def __init__(
        self,
        node: Node,
        inputs: QoSProfile,
        registers: Callable[[], Registration],
        frame_ids: Mapping[str, str],
    ):
        self._node, self._inputs = node, inputs
        self._registers, self._frame_ids = registers, frame_ids
        self._distances = {kind: Distance() for kind in ('range', 'depth')}
        self._topics: dict[str, str] = {}  # subscribed to, by kind
        self._depth_lens: Lens | None = None
        self._trouble = ''  # of the newest depth image or its camera_info
        self._buffer: Any = None

    def poll(self) -> str:
        """Look around once a second; returns what is missing, or nothing."""
        registration = self._registers()
        settings = registration.settings
        if settings.mode != 'calibrated':
            return ''
        kind = settings.distance_from
        told = [self._distance(kind)] if kind != 'parameter' else []
        if not settings.file:
            told.append(self._look_up())
        return '; '.join(filter(None, [registration.missing(), *told]))

    def _distance(self, kind: str) -> str:
        if kind not in self._topics:
            self._subscribe(kind)
        registration, found = self._registers(), self._distances[kind]
        registration.known.distance = found.add(None, 0.0)
        if self._trouble:
            return self._trouble
        if found.last is None:
            return (
                f'registration.distance_from is {kind}, but nothing of use comes on '
                f'{self._topics[kind]}: the plane is taken to be at registration.distance '
                f'({registration.settings.distance:g} m)'
            )
        age = time.monotonic() - found.last
        if age > _OLD:
            return (
                f'the last distance on {self._topics[kind]} came {age:.0f} s ago; it stays at '
                f'{registration.distance():.3g} m'
            )
        return ''

    def _subscribe(self, kind: str) -> None:
        node, inputs = self._node, self._inputs
        if kind == 'range':
            port = node.create_subscription(Range, 'range', self._on_range, inputs)
        else:
            port = node.create_subscription(Image, 'depth/image_raw', self._on_depth, inputs)
            node.create_subscription(CameraInfo, 'depth/camera_info', self._on_info, inputs)
        self._topics[kind] = port.topic_name

    def _on_range(self, message: Range) -> None:
        self._measured('range', of_range(message))

    def _on_depth(self, message: Image) -> None:
        try:
            depth, self._trouble = read_depth(message), ''
        except UserError as error:
            self._trouble = f'{self._topics["depth"]}: {error}'
            return
        thermal = self._registers().known.lenses.get('thermal')
        self._measured('depth', of_depth(depth, self._depth_lens, thermal))

    def _on_info(self, message: CameraInfo) -> None:
        try:
            self._depth_lens = Lens.of(message)
        except UserError:  # without it, the whole depth image counts
            self._depth_lens = None

    def _measured(self, kind: str, metres: float | None) -> None:
        registration = self._registers()
        found = self._distances[kind].add(metres, time.monotonic())
        if registration.settings.distance_from == kind:
            registration.known.distance = found

    def _look_up(self) -> str:
        """Ask tf for the pose of the cameras; returns why it has none."""
        if self._buffer is None:
            try:
                import tf2_ros
            except ImportError:
                return (
                    'registration.file is empty, so tf has to tell how the cameras stand, and '
                    'tf2_ros is not installed: install ros-$ROS_DISTRO-tf2-ros-py from apt, or set '
                    'registration.file'
                )
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
        names = [self._frame_ids.get(name, '') for name in ('rgb', 'thermal')]
        if not all(names):
            return 'the images have no frame_id, so tf cannot tell how the cameras stand'
        try:
            found = self._buffer.lookup_transform(*names, Time()).transform
            q, t = found.rotation, found.translation
            pose = Pose.of_quaternion((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))
        except Exception as error:  # tf2's own types, known only where it is installed
            return f'no transform from {names[1]} to {names[0]}: {error}'
        self._registers().known.pose = pose
        return ''
