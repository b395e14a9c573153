"""The cameras of `bench node`: publishes prepared pairs at a rate, when it is told to."""

import argparse
import sys
import time

import numpy as np
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from ...io import messages
from ...scene import Scene
from .control import INPUT_QOS, run

_PICTURES = 8  # prepared pairs, used in turn: a repeated image would count as a frozen camera
_SECOND = 1_000_000_000


class BenchPublisher(Node):
    """rgb and thermal of each namespace. sizes: {'rgb': (width, height), 'thermal': ...}."""

    def __init__(self, namespaces: list[str], sizes: dict[str, tuple[int, int]], bits: int):
        super().__init__('bench_publisher')
        self._outputs = {
            (namespace, name): self.create_publisher(
                Image, f'{namespace}/{name}/image_raw', INPUT_QOS
            )
            for namespace in namespaces
            for name in sizes
        }
        self._messages = prepare(sizes, bits)
        self.actions = [self.play]

    def play(self, namespace: str, rate: float, seconds: float) -> dict:
        """Publish pairs, thermal first; returns [stamp, monotonic time of the RGB image] of each.

        The larger image comes last, so that all of its way counts. After a pause of the machine
        pairs follow at twice the rate at most, not all at once: no camera does that.
        """
        thermal, rgb = (self._outputs[namespace, name] for name in ('thermal', 'rgb'))
        sent, lag = [], 0
        start = soonest = time.monotonic_ns()
        for i in range(round(rate * seconds)):
            due = start + round(i * _SECOND / rate)
            wait = max(due, soonest) - time.monotonic_ns()
            if wait > 0:
                time.sleep(wait * 1e-9)
            lag = max(lag, time.monotonic_ns() - due)
            soonest = time.monotonic_ns() + round(_SECOND / rate / 2)
            pair = self._messages[i % len(self._messages)]
            set_stamp(pair[0])
            thermal.publish(pair[0])
            sent.append((set_stamp(pair[1]), time.monotonic_ns()))
            rgb.publish(pair[1])
        return {'sent': sent, 'lag': lag}


def set_stamp(message: Image) -> int:
    """Stamp a message with this moment; returns nanoseconds."""
    now = time.time_ns()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, _SECOND)
    return now


def prepare(sizes: dict[str, tuple[int, int]], bits: int) -> list[tuple[Image, Image]]:
    """(thermal, RGB) messages of the night road. bits: of thermal, 8 or 14."""
    scenes = {
        name: Scene(*size, thermal_bits=bits if name == 'thermal' else 8)
        for name, size in sizes.items()
    }
    prepared = []
    for i in range(_PICTURES):
        pictures = scenes['thermal'].thermal(i / 10), scenes['rgb'].visible(i / 10)
        prepared.append(
            tuple(messages.fill(Image(), np.ascontiguousarray(pixels)) for pixels in pictures)
        )
    return prepared


def main() -> int:
    parser = argparse.ArgumentParser(prog='bench_publisher', description=__doc__)
    parser.add_argument('namespaces', nargs='+')
    parser.add_argument('--rgb', type=int, nargs=2, default=(640, 480))
    parser.add_argument('--thermal', type=int, nargs=2, default=(640, 480))
    parser.add_argument('--bits', type=int, default=8)
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    sizes = {'rgb': tuple(args.rgb), 'thermal': tuple(args.thermal)}
    return run(lambda: BenchPublisher(args.namespaces, sizes, args.bits), spins=False)


if __name__ == '__main__':
    sys.exit(main())
