"""Send hostile messages to a live node: does it live, does it fuse, does its memory stay.

    python -m tools.hostile [--messages 100000] [--seed 1] [--model max]

fusion_node runs as it does on a robot, first with compressed inputs, then with raw ones. It is sent
images damaged at random (bytes exchanged, taken out, put in, cut; sizes that lie; fields that
disagree), and every thousand messages a whole pair, which has to come back fused. Prints what was
sent, how the pairs fared, and the node's memory before, at its highest, and after.
"""

import argparse
import itertools
import os
import random
import struct
import sys
import time
from array import array

import cv2
import numpy as np
import psutil
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from multimodal_fusion.host import processes
from multimodal_fusion.io import messages
from multimodal_fusion.nodes.distro import qos, use_profile

_ROUND = 1000  # messages between two whole pairs
_LARGE = 2**31 - 1


class Sender(Node):
    """Publishes to both inputs and hears the fused images."""

    def __init__(self, compressed: dict[str, bool], seed: int):
        super().__init__('hostile')
        self.chance = random.Random(seed)
        self.compressed = compressed
        self.ports = {
            name: self.create_publisher(
                CompressedImage if packed else Image,
                f'{name}/image_raw' + '/compressed' * packed,
                qos('reliable', 50),
            )
            for name, packed in compressed.items()
        }
        self.fused = 0
        self.create_subscription(Image, 'fused/image_raw', self._on_fused, qos('reliable', 5))
        random_pixels = np.random.default_rng(seed)
        self.visible = random_pixels.integers(0, 256, (96, 128, 3), np.uint8)
        self.thermal = self.visible[..., 0].copy()
        self.coded = [
            cv2.imencode(suffix, pixels, options)[1].tobytes()
            for suffix, pixels, options in (
                ('.jpg', self.visible, []),
                ('.jpg', self.visible, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
                ('.png', self.visible, []),
                ('.png', self.thermal, []),
                ('.webp', self.visible, []),
            )
        ]

    def _on_fused(self, _) -> None:
        self.fused += 1

    def whole(self, stamp: int) -> None:
        """A pair that can be fused."""
        for name, pixels in (('rgb', self.visible), ('thermal', self.thermal)):
            if self.compressed[name]:
                message = CompressedImage(format='png')
                message.data = cv2.imencode('.png', pixels)[1].tobytes()
            else:
                message = messages.fill(Image(), pixels)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
            self.ports[name].publish(message)

    def damaged(self, stamp: int) -> None:
        """One message of either input that is wrong in some way."""
        name = self.chance.choice(list(self.ports))
        message = self._packed() if self.compressed[name] else self._raw()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self.ports[name].publish(message)

    def _packed(self) -> CompressedImage:
        chance, content = self.chance, bytearray(self.chance.choice(self.coded))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(min(len(content), chance.choice((64, 1 << 30))) or 1)
            match chance.randrange(5):
                case 0:
                    content[at : at + 1] = chance.randbytes(chance.randint(0, 4))
                case 1:
                    content[at:at] = chance.choice((b'\xff\x00', b'\xff\xc0\0\x0b', b'IHDR'))
                case 2:
                    del content[at : at + chance.randint(1, 64)]
                case 3:
                    content[at : at + 4] = struct.pack('>I', chance.getrandbits(32))
                case 4 if at > 16:
                    del content[at:]
        message = CompressedImage(format=chance.choice(('jpeg', 'png', '', 'compressedDepth')))
        message.data = bytes(content)
        return message

    def _raw(self) -> Image:
        chance = self.chance
        message = messages.fill(Image(), chance.choice((self.visible, self.thermal)))
        for _ in range(chance.randint(1, 3)):
            match chance.randrange(5):
                case 0:
                    message.encoding = chance.choice([*messages.ENCODINGS, '32FC1', '', 'x' * 500])
                case 1:
                    message.height = chance.choice((0, 1, 95, 97, 2**31, _LARGE))
                case 2:
                    message.width = chance.choice((0, 1, 127, 129, 2**31, _LARGE))
                case 3:
                    message.step = chance.choice((0, 1, 127, 2**31, _LARGE))
                case 4:
                    message.data = array('B', message.data[: chance.randrange(len(message.data))])
        return message


def assault(compressed: dict[str, bool], count: int, seed: int, model: str) -> bool:
    """One node and so many messages; prints the outcome and returns whether all is well."""
    parameters = {'model.name': model, 'qos.reliability': 'reliable'}
    parameters |= {f'input.{n}_transport': 'compressed' for n in compressed if compressed[n]}
    environment = processes.local_environment(int(os.environ['ROS_DOMAIN_ID']))
    arguments = processes.parameter_arguments(parameters)
    node = processes.start(
        'multimodal_fusion.nodes.fusion_node', arguments, environment, stdout=-3, stderr=-3
    )
    sender = Sender(compressed, seed)
    stamps, memory = itertools.count(1_700_000_000 * 10**9, 1_000_000), psutil.Process(node.pid)
    sizes, missed = [], 0
    try:
        for sent in range(0, count + 1, _ROUND):
            missed += not comes_back(sender, node, stamps)
            sizes.append(memory.memory_info().rss / 2**20)
            for _ in range(min(_ROUND, count - sent)):
                sender.damaged(next(stamps))
                rclpy.spin_once(sender, timeout_sec=0)
        alive = node.poll() is None
    except psutil.NoSuchProcess:
        alive = False
    finally:
        code = processes.stop(node)
        sender.destroy_node()
    print(
        f'{"compressed" if all(compressed.values()) else "raw"}: {count} messages, node '
        f'{"alive" if alive else "DEAD"} (exit code {code}), {missed} of {len(sizes)} pairs not '
        f'fused; memory {sizes[0]:.0f} MB, {max(sizes):.0f} at most, {sizes[-1]:.0f} at the end'
    )
    return alive and not missed


def comes_back(sender: Sender, node, stamps) -> bool:
    """Whether a whole pair comes back fused within half a minute, sent again now and then."""
    before, end = sender.fused, time.monotonic() + 30
    while sender.fused == before and time.monotonic() < end and node.poll() is None:
        sender.whole(next(itertools.islice(stamps, 99, None)))
        again = time.monotonic() + 0.5
        while sender.fused == before and time.monotonic() < again:
            rclpy.spin_once(sender, timeout_sec=0.05)
    return sender.fused > before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--messages', type=int, default=100_000, help='half of them compressed')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--model', default='max')
    args = parser.parse_args()
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    use_profile()
    rclpy.init(args=[])
    well = [
        assault({'rgb': packed, 'thermal': packed}, args.messages // 2, args.seed, args.model)
        for packed in (True, False)
    ]
    rclpy.shutdown()
    return 0 if all(well) else 1


if __name__ == '__main__':
    sys.exit(main())
