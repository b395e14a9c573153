"""What differs between ROS 2 distributions (Humble, Jazzy, Kilted, Lyrical) and middlewares."""

import importlib.metadata
import os
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ..host.share import share_file

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = [
    'PublisherEventCallbacks',
    'SubscriptionEventCallbacks',
    'image_message',
    'policy_name',
    'spin',
    'use_profile',
]

# Fast DDS 3 (Kilted and later) reads the first; Fast DDS 2 (Humble, Jazzy) only the second, which
# Kilted warns about.
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def before_kilted() -> bool:
    """Whether the distribution is Humble, Iron or Jazzy; told by the version of rclpy."""
    release = os.environ.get('ROS_DISTRO')
    if release:
        return release in ('humble', 'iron', 'jazzy')
    try:
        major = int(importlib.metadata.version('rclpy').split('.')[0])
    except (importlib.metadata.PackageNotFoundError, ValueError):
        major = 9
    return major < 8  # Jazzy is 7, Kilted 9, Lyrical later


def profile_variable() -> str:
    """The variable that this distribution's Fast DDS reads."""
    return _PROFILE_VARIABLES[before_kilted()]


def use_profile() -> None:
    """Give Fast DDS shared memory that holds images, unless the user configured it already.

    Its default segment of 512 KB loses every VGA colour image. Call before rclpy.init.
    """
    chosen = (*_PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')
    if not any(os.environ.get(name) for name in chosen):
        os.environ[profile_variable()] = str(share_file('config/fastdds.xml'))


def make_executor():
    """The executor that costs least: that of events, where the distribution has a sound one.

    It must be spun with a timeout, or it hangs, and its callbacks take the message alone. Jazzy has
    it too, but there it crashes when publishers with event callbacks are destroyed.
    """
    if before_kilted():
        return SingleThreadedExecutor()
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def spin(
    node: Node, done: threading.Event, outlive: Callable[[Exception], None] | None = None
) -> None:
    """Serve a node until ``done`` is set or ROS is shut down.

    outlive: is told of what would end the node, such as a message that rclpy cannot take apart.
    """
    executor = make_executor()
    executor.add_node(node)
    try:
        while not done.is_set() and rclpy.ok():
            try:
                executor.spin_once(timeout_sec=0.2)
            except ExternalShutdownException:
                break
            except Exception as error:
                if outlive is None:
                    raise
                outlive(error)
    finally:
        executor.shutdown()


def image_message(header) -> Image:
    """An empty Image that takes over the ``array('B')`` it is given as data.

    Newer messages copy it, unless they check their fields.
    """
    checks = {'check_fields': True} if '_check_fields' in Image.__slots__ else {}
    return Image(header=header, **checks)


def policy_name(kind) -> str:
    """The QoS policy behind an incompatible-QoS event, such as RELIABILITY."""
    return getattr(kind, 'name', str(kind)).removeprefix('RMW_QOS_POLICY_')


def qos(reliability: str, depth: int) -> QoSProfile:
    policy = {
        'best_effort': ReliabilityPolicy.BEST_EFFORT,
        'reliable': ReliabilityPolicy.RELIABLE,
    }
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=policy[reliability])


def latched() -> QoSProfile:
    """The newest message is kept for those who come late."""
    profile = qos('reliable', 1)
    profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return profile
