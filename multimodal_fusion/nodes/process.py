"""A node as a process: signals, memory, transport, ROS up; the same for all of them."""

import signal
import threading
from collections.abc import Sequence

import rclpy
from rclpy.signals import SignalHandlerOptions

from ..host.machine import keep_memory
from .distro import use_profile


def own_words(argv: Sequence[str]) -> list[str]:
    """The arguments outside ``--ros-args ... --``, where rcl would take a:=b as a remapping."""
    words, ros = [], False
    for word in argv:
        if word == '--ros-args':
            ros = True
        elif ros and word == '--':
            ros = False
        elif not ros:
            words.append(word)
    return words


def start(args: list[str] | None = None) -> threading.Event:
    """Set ROS up; returns what SIGINT and SIGTERM set.

    The handler is our own: SIGINT reaches a node twice under launch (from the terminal's process
    group, and passed on), and the second must not cut the shutdown short. Raises whatever rcl
    raises of bad ROS arguments.
    """
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    keep_memory()
    use_profile()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    return done
