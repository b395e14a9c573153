"""How `bench node` steers its processes: lines of JSON on stdin, answered on stdout."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ...host.machine import keep_memory
from ..distro import qos, spin, use_profile

INPUT_QOS = qos('best_effort', 5)
OUTPUT_QOS = qos('reliable', 5)
"""As the node's own by default."""


def serve(actions: Iterable[Callable[..., object]]) -> None:
    """Answer requests ``{"do": name, ...}`` by the action of that name, until stdin ends."""
    by_name = {action.__name__: action for action in actions}
    for line in sys.stdin:
        request = json.loads(line)
        answer = by_name[request.pop('do')](**request)
        print(json.dumps(answer), flush=True)


def run(make: Callable[[], Node], spins: bool = True) -> int:
    """Set ROS up, make the node, and go on until stdin or a signal ends it; returns 0.

    A node with ``actions`` serves them. spins: whether it takes messages, too.
    """
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    keep_memory()
    use_profile()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)

    def answer(node: Node) -> None:
        serve(getattr(node, 'actions', ()))
        done.set()

    try:
        node = make()
        if spins:
            threading.Thread(target=answer, args=(node,), daemon=True).start()
            spin(node, done)
        else:
            answer(node)
        node.destroy_node()
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()
    return 0
