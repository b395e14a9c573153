"""What a node says of itself: /diagnostics, throttled warnings, QoS that does not fit."""

import math
import re
import time
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from ..pipeline.health import Health, Report
from .distro import PublisherEventCallbacks, SubscriptionEventCallbacks, policy_name


class Teller:
    """Warns, at most once in so many seconds for each key.

    rclpy's own throttle is one for all that pass a line, and fixed once it has been used.
    """

    def __init__(self, node: Node):
        self._logger = node.get_logger()
        self._told: dict[str, float] = {}

    def tell(self, key: str, message: str, every: float) -> None:
        """every: seconds."""
        now = time.monotonic()
        if now - self._told.get(key, -math.inf) >= every:
            self._told[key] = now
            self._logger.warning(message)


def gist(message: str) -> str:
    """A key for `Teller.tell`: another for another trouble, not for other figures."""
    return re.sub(r'[\d.+-]+', '', message)


class Diagnostics:
    """Publishes reports of a node's health."""

    def __init__(self, node: Node):
        self._node = node
        self._port = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def publish(self, report: Report, more: Mapping[str, str]) -> None:
        """A report, with more figures behind its own."""
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        array.status = [
            DiagnosticStatus(
                level=bytes([report.level]),
                name=f'{self._node.get_fully_qualified_name()}: fusion',
                message=report.message,
                hardware_id='',
                values=[KeyValue(key=k, value=v) for k, v in (report.values | more).items()],
            )
        ]
        self._port.publish(array)


class QosWatch:
    """Tells of publishers and subscribers whose QoS does not fit."""

    def __init__(self, node: Node, health: Health):
        self._node, self._health = node, health

    def subscription(self, name: str, topic: str) -> SubscriptionEventCallbacks:
        """The callbacks of the subscription to a stream's topic."""
        return SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._on_conflict(
                topic, 'publisher', 'qos.reliability', 'best_effort', event
            ),
            message_lost=lambda event: self._health.dropped(name, event.total_count_change),
        )

    def publisher(self, topic: str) -> PublisherEventCallbacks:
        """The callbacks of a publisher on a topic."""
        return PublisherEventCallbacks(
            incompatible_qos=lambda event: self._on_conflict(
                topic, 'subscriber', 'qos.output_reliability', 'reliable', event
            )
        )

    def _on_conflict(self, topic: str, peer: str, parameter: str, fitting: str, event) -> None:
        resolved = self._node.resolve_topic_name(topic)
        policy = policy_name(event.last_policy_kind)
        advice = f'set {parameter} to {fitting}, or change the {peer}'
        if policy == 'DURABILITY':
            advice = f'images are not kept for those who come late: let the {peer} be volatile'
        elif policy != 'RELIABILITY':
            advice = f'change the {peer}: images come without {policy.lower()}'
        sentence = f'a {peer} of {resolved} uses QoS that does not fit ({policy}): {advice}'
        self._health.conflict(resolved, sentence)
        self._node.get_logger().warning(sentence)
