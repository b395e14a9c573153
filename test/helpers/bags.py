"""Small bags for tests, with faults planted at known places."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.io import messages

SECOND = 10**9
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Planted:
    """What `flight` plants. Seconds of recording since the first image."""

    seconds: float = 120.0
    offset: float = 0.12
    freeze: tuple[float, float] = (40.0, 41.5)
    jump_at: float = 80.0
    jump_back: float = 30.0


def writer(path: Path, plugin='MCAP'):
    from rosbags.rosbag2 import StoragePlugin, Writer

    return Writer(path, version=9, storage_plugin=getattr(StoragePlugin, plugin))


def message(store, kind, pixels, stamp, encoding=None, compressed=False):
    """A rosbags Image or CompressedImage; stamp in nanoseconds."""
    types = store.types
    time = types['builtin_interfaces/msg/Time'](*divmod(stamp, SECOND))
    header = types['std_msgs/msg/Header'](time, kind)
    if compressed:
        data = cv2.imencode('.png', pixels)[1].reshape(-1)
        return types['sensor_msgs/msg/CompressedImage'](header, 'png', data)
    fields = messages.fields(pixels, encoding) | {'data': messages.bytes_of(pixels)}
    return types['sensor_msgs/msg/Image'](header=header, **fields)


def scene(i, height=48, width=64):
    """A textured pair that moves with i: BGR and thermal."""
    base = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    visible = np.ascontiguousarray(np.roll(cv2.blur(base, (5, 5)), i, 1))
    thermal = np.ascontiguousarray(np.roll(cv2.blur(base[::-1, :, 1], (7, 7)), 2 * i, 1))
    return visible, thermal


def flight(
    path: Path,
    planted: Planted | None = None,
    rgb_rate=30.0,
    thermal_rate=9.0,
    compressed=False,
    bits=8,
    plugin='MCAP',
    topics=('/camera/image_raw', '/boson/thermal/image_raw'),
) -> Path:
    """RGB at 30 Hz, thermal at 9 Hz, stamps of thermal behind by ``planted.offset``.

    During the freeze the thermal image repeats; at ``jump_at`` all stamps jump back.
    """
    from rosbags.typesys import Stores, get_typestore

    planted, store = planted or Planted(), get_typestore(Stores.LATEST)
    kind = f'sensor_msgs/msg/{"CompressedImage" if compressed else "Image"}'
    events = [(i / rgb_rate, 0, i) for i in range(int(planted.seconds * rgb_rate))]
    events += [(i / thermal_rate + 0.004, 1, i) for i in range(int(planted.seconds * thermal_rate))]
    with writer(path, plugin) as bag:
        connections = [bag.add_connection(topic, kind, typestore=store) for topic in topics]
        info_topic = topics[0].rsplit('/', 1)[0] + '/camera_info'
        info = bag.add_connection(info_topic, 'sensor_msgs/msg/CameraInfo', typestore=store)
        for time, stream, i in sorted(events):
            taken = time
            if stream == 1 and planted.freeze[0] <= time < planted.freeze[1]:
                i = int(planted.freeze[0] * thermal_rate)
            if time >= planted.jump_at:
                taken -= planted.jump_back
            taken -= planted.offset * stream
            pixels = scene(i)[stream]
            if stream == 1 and bits == 16:
                pixels = pixels.astype(np.uint16) * 16 + 7000
            stamp = START + round(taken * SECOND)
            made = message(store, ('rgb', 'thermal')[stream], pixels, stamp, None, compressed)
            record = START + round(time * SECOND)
            bag.write(connections[stream], record, store.serialize_cdr(made, kind))
            if stream == 0 and i % 30 == 0:
                calibration = camera_info(store, made.header)
                raw = store.serialize_cdr(calibration, 'sensor_msgs/msg/CameraInfo')
                bag.write(info, record, raw)
    return path


def camera_info(store, header):
    t = store.types
    zeros = np.zeros
    return t['sensor_msgs/msg/CameraInfo'](
        header=header, height=48, width=64, distortion_model='plumb_bob', d=zeros(5),
        k=np.arange(9, dtype=float), r=zeros(9), p=zeros(12), binning_x=0, binning_y=0,
        roi=t['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False),
    )  # fmt: skip


def read(path):
    """[(topic, time, raw)] of a bag."""
    from rosbags.rosbag2 import Reader

    with Reader(path) as bag:
        return [(c.topic, time, bytes(raw)) for c, time, raw in bag.messages()]


def rewritten(source: Path, path: Path, change) -> Path:
    """A copy of a bag. change: (topic, number of the message on it, raw) -> raw."""
    from rosbags.rosbag2 import Reader
    from rosbags.typesys import Stores, get_typestore

    store, counts = get_typestore(Stores.LATEST), {}
    with Reader(source) as before, writer(path) as after:
        connections = {
            c.topic: after.add_connection(c.topic, c.msgtype, typestore=store)
            for c in before.connections
        }
        for connection, time, raw in before.messages():
            number = counts.get(connection.topic, 0)
            counts[connection.topic] = number + 1
            after.write(connections[connection.topic], time, change(connection.topic, number, raw))
    return path
