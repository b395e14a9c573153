"""Play a source over DDS: rgb/image_raw and thermal/image_raw, as cameras would publish them."""

import argparse
import csv
import sys
import threading
import time
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..errors import UserError
from ..io import messages
from ..io.sources import Item, open_source
from ..io.whole_files import whole_file
from . import process
from .distro import qos

_FRAME_IDS = {'rgb': 'rgb_optical_frame', 'thermal': 'thermal_optical_frame'}


class Player(Node):
    """Publishes the items of a source at their times, and logs when each went out."""

    def __init__(self, source, speed: float = 1.0):
        super().__init__('player')
        self.source, self.speed = source, speed
        # Stream, stamp, time of publication (monotonic), time in the source; nanoseconds.
        self.log: list[tuple[str, int, int, int]] = []
        self._outputs = {}
        profile = qos('best_effort', 5)
        for name, compressed in source.compressed.items():
            kind, topic = Image, f'{name}/image_raw'
            if compressed:
                kind, topic = CompressedImage, f'{topic}/compressed'
            self._outputs[name] = self.create_publisher(kind, topic, profile)
        self._info = self.create_publisher(CameraInfo, 'rgb/camera_info', profile)
        self._fused_subscribers = 0  # as the node itself counts them
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def wait_for_listeners(self, timeout: float, fused: bool) -> bool:
        """Until both streams have a subscriber, or the time is up.

        fused: wait as well until the node reports a subscriber of its fused images. That others see
        both does not mean that the two have found each other.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            rclpy.spin_once(self, timeout_sec=0.1)
            heard = all(p.get_subscription_count() for p in self._outputs.values())
            if heard and (not fused or self._fused_subscribers):
                # The ends discover each other independently: leave the other one a moment.
                rclpy.spin_once(self, timeout_sec=1.0)
                return True
        return False

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for value in status.values:
                if value.key == 'fused subscribers':
                    self._fused_subscribers = int(value.value)

    def play(self, done: threading.Event) -> None:
        """Publish everything, or until ``done`` is set."""
        start, epoch = time.monotonic_ns(), time.time_ns()
        for item in self.source:
            try:
                message = item.raw
                if message is None:
                    message = self._message(item, epoch + item.time)
            except UserError as error:
                self.get_logger().warning(f'left out: {error}')
                continue
            due = start + item.time / self.speed
            if done.wait(max(0.0, (due - time.monotonic_ns()) * 1e-9)):
                return
            stamp = epoch + item.time if item.stamp is None else item.stamp
            self.log.append((item.stream, stamp, time.monotonic_ns(), item.time))
            self._outputs[item.stream].publish(message)
            if item.stream == 'rgb' and item.raw is None:
                info = CameraInfo(header=message.header, height=message.height, width=message.width)
                self._info.publish(info)

    def drain(self) -> None:
        """Leave the last messages the time to get out."""
        rclpy.spin_once(self, timeout_sec=0.5)

    def _message(self, item: Item, stamp: int) -> Image:
        message = messages.fill(Image(), item.load())
        message.header.frame_id = _FRAME_IDS[item.stream]
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
        return message


def main() -> int:
    parser = argparse.ArgumentParser(prog='player', description=__doc__)
    parser.add_argument('--data', type=Path)
    parser.add_argument('--bag', type=Path)
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--rgb-topic')
    parser.add_argument('--thermal-topic')
    parser.add_argument('--log', type=Path, help='CSV of stream, stamp, time of publication')
    parser.add_argument('--speed', type=float, default=1.0, help='faster than life: over 1')
    parser.add_argument(
        '--wait-for-fused', action='store_true', help='until somebody listens to the fused images'
    )
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    try:
        source = open_source(args.data, args.bag, args.seconds, args.rgb_topic, args.thermal_topic)
    except UserError as error:
        print(f'player: {error}', file=sys.stderr)
        return 2
    done = process.start()
    player = Player(source, args.speed)
    heard = player.wait_for_listeners(30.0, args.wait_for_fused)
    if heard:
        player.play(done)
        if args.log:
            with whole_file(args.log) as temporary, temporary.open('w', newline='') as file:
                csv.writer(file).writerows(player.log)
    else:
        print(
            'player: nobody subscribed to rgb/image_raw and thermal/image_raw'
            + ', or nobody to the fused images' * args.wait_for_fused,
            file=sys.stderr,
        )
    player.drain()
    player.destroy_node()
    rclpy.shutdown()
    return 0 if heard else 1


if __name__ == '__main__':
    sys.exit(main())
