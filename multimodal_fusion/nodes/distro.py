"""What differs between ROS 2 distributions (Humble, Jazzy, Kilted) and middlewares."""

import importlib.util
import os

from ..share import share_file

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = ['PublisherEventCallbacks', 'SubscriptionEventCallbacks', 'policy_name', 'use_profile']

# Kilted and later read the first, Humble and Jazzy only the second.
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_KILTED = importlib.util.find_spec('rclpy.experimental') is not None


def use_profile() -> None:
    """Give Fast DDS shared memory that holds images, unless the user configured it already.

    Its default segment of 512 KB loses every VGA colour image. Call before rclpy.init.
    """
    chosen = (*_PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')
    if not any(os.environ.get(name) for name in chosen):
        variable = _PROFILE_VARIABLES[0 if _KILTED else 1]
        os.environ[variable] = str(share_file('config/fastdds.xml'))


def policy_name(kind) -> str:
    """The QoS policy behind an incompatible-QoS event, such as RELIABILITY."""
    return getattr(kind, 'name', str(kind)).removeprefix('RMW_QOS_POLICY_')
