"""The subscriber of `bench node`: notes when each fused image came, and tells."""

import argparse
import sys
import time
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from ...io.bag import header_stamp
from .control import OUTPUT_QOS, run


class BenchListener(Node):
    """Listens to fused/image_raw of each namespace; messages stay serialized, as in a recorder."""

    def __init__(self, namespaces: list[str]):
        super().__init__('bench_listener')
        self.actions = [self.collect, self.diagnostics]
        # [stamp, monotonic time of reception]
        self._received = {namespace: [] for namespace in namespaces}
        self._diagnostics = dict.fromkeys(namespaces, (0.0, {}))
        for namespace in namespaces:
            self.create_subscription(
                Image,
                f'{namespace}/fused/image_raw',
                partial(self._on_image, self._received[namespace]),
                OUTPUT_QOS,
                raw=True,
            )
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def collect(self, namespace: str, last: int, timeout: float) -> dict:
        """What came since the last call, after waiting for the image stamped ``last``."""
        received = self._received[namespace]
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and (not received or received[-1][0] < last):
            time.sleep(0.01)
        taken = received[:]
        del received[: len(taken)]
        return {'received': taken}

    def diagnostics(self, namespace: str, timeout: float) -> dict:
        """The figures that the node of a namespace reports next."""
        asked = time.monotonic()
        while time.monotonic() < asked + timeout and self._diagnostics[namespace][0] < asked:
            time.sleep(0.01)
        return self._diagnostics[namespace][1]

    def _on_image(self, received: list, raw: bytes) -> None:
        received.append((header_stamp(raw), time.monotonic_ns()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for namespace in self._diagnostics:
                if status.name.startswith(f'{namespace}/'):
                    figures = {value.key: value.value for value in status.values}
                    self._diagnostics[namespace] = time.monotonic(), figures


def main() -> int:
    parser = argparse.ArgumentParser(prog='bench_listener', description=__doc__)
    parser.add_argument('namespaces', nargs='+')
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    return run(lambda: BenchListener(args.namespaces))


if __name__ == '__main__':
    sys.exit(main())
