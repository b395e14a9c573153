"""Record the fused stream and the diagnostics to an MCAP bag until SIGINT or SIGTERM."""

import argparse
import csv
import sys
import time
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rclpy.utilities import remove_ros_args

from ..errors import UserError
from ..io.bag import BagWriter, Topic, header_stamp
from ..io.whole_files import whole_file
from . import process
from .distro import qos


class Recorder(Node):
    """Writes serialized messages as they come, and logs when each fused image came."""

    def __init__(self, bag: Path, detections: bool = False):
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import CameraInfo, Image
        from std_msgs.msg import String

        from .detections import JSON, TOPIC, from_array, to_json

        super().__init__('recorder')
        self.log: list[tuple[int, int]] = []  # stamp, monotonic nanoseconds
        self.failure: UserError | None = None
        self._bag = BagWriter(bag)
        for kind, topic in (
            (Image, 'fused/image_raw'),
            (CameraInfo, 'fused/camera_info'),
            (DiagnosticArray, '/diagnostics'),
            *(((String, JSON),) if detections else ()),
        ):
            name = self.resolve_topic_name(topic)
            self._bag.add(Topic(name, f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'))
            self.create_subscription(
                kind,
                topic,
                lambda raw, name=name: self._on_message(name, raw),
                qos('reliable', 30),
                raw=True,
            )
        if detections and TOPIC[0] is not String:
            # The bag's type store has no vision_msgs: recorded as what is sent in its absence.
            name = self.resolve_topic_name(JSON)

            def as_json(array) -> None:
                text = to_json(from_array(array), array.header)
                self._on_message(name, serialize_message(String(data=text)))

            self.create_subscription(*TOPIC, as_json, qos('reliable', 30))

    def _on_message(self, topic: str, raw: bytes) -> None:
        arrival = time.monotonic_ns()
        if topic.endswith('image_raw'):
            self.log.append((header_stamp(raw), arrival))
        if self.failure is None:
            try:
                self._bag.write(topic, time.time_ns(), raw)
            except UserError as error:
                self.failure = error

    def close(self) -> None:
        try:
            self._bag.close()
        except UserError as error:
            self.failure = self.failure or error
        self.destroy_node()


def main() -> int:
    parser = argparse.ArgumentParser(prog='recorder', description=__doc__)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--log', type=Path, help='CSV of stamp, time of reception')
    parser.add_argument('--detections', action='store_true', help='record them, as JSON')
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    done = process.start()
    try:
        recorder = Recorder(args.bag, args.detections)
    except UserError as error:
        print(f'recorder: {error}', file=sys.stderr)
        return 2
    while not done.is_set() and recorder.failure is None:
        rclpy.spin_once(recorder, timeout_sec=0.2)
    recorder.close()
    if args.log:
        with whole_file(args.log) as temporary, temporary.open('w', newline='') as file:
            csv.writer(file).writerows(recorder.log)
    rclpy.shutdown()
    if recorder.failure is not None:
        print(f'recorder: {recorder.failure}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
