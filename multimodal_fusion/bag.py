"""rosbag2 files (MCAP or sqlite3) without ROS: what is in them, and messages in and out."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError

THERMAL_NAMES = ('thermal', 'ir', 'infrared', 'lwir', 'tir')
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')


def rosbags():
    """The rosbags modules (rosbag2, typesys). Raises UserError where it is not installed."""
    try:
        from rosbags import rosbag2, typesys
    except ImportError:
        raise UserError('bags need the package rosbags: pip install rosbags') from None
    return rosbag2, typesys


def type_store():
    """Message types of the newest distribution that rosbags knows; images are the same in all."""
    _, typesys = rosbags()
    return typesys.get_typestore(typesys.Stores.LATEST)


@dataclass(frozen=True)
class BagTopics:
    """The topics of a bag that are to be fused, and whether each holds compressed images."""

    rgb: str
    thermal: str
    compressed: dict[str, bool]


class Bag:
    """A bag opened for reading. Raises UserError if it is none.

    path: the bag's folder, or its .mcap or .db3 file.
    """

    def __init__(self, path: Path):
        rosbag2, _ = rosbags()
        if not path.exists():
            raise UserError(f'the bag {path} does not exist')
        folder = path if path.is_dir() else path.parent
        try:
            self._reader = rosbag2.Reader(folder)
            self._reader.open()
        except Exception as error:  # rosbags raises its own and the storage's exceptions
            raise UserError(f'{path} is not a rosbag2 that can be read: {error}') from error
        self.path = path
        self.types = {c.topic: c.msgtype for c in self._reader.connections}
        self.duration = self._reader.duration * 1e-9
        self.count = self._reader.message_count

    def __enter__(self) -> 'Bag':
        return self

    def __exit__(self, *_) -> None:
        self._reader.close()

    def messages(self, topics: tuple[str, ...]) -> Iterator[tuple[str, int, bytes]]:
        """(topic, receive time in nanoseconds, serialized message) in order of time."""
        chosen = [c for c in self._reader.connections if c.topic in topics]
        for connection, time, raw in self._reader.messages(connections=chosen):
            yield connection.topic, time, raw

    def choose(self, rgb: str | None, thermal: str | None) -> BagTopics:
        """The two image topics: as named, or told apart by their names. Raises UserError."""
        known = [topic for topic, kind in self.types.items() if kind in IMAGE_TYPES]
        for topic in filter(None, (rgb, thermal)):
            if topic not in self.types:
                raise UserError(
                    f'{self.path} has no topic {topic}; its image topics are '
                    f'{", ".join(known) or "none"}.{nearest_names(topic, list(self.types))}'
                )
            if topic not in known:
                raise UserError(
                    f'{topic} in {self.path} holds {self.types[topic]}, expected '
                    f'{" or ".join(IMAGE_TYPES)}'
                )
        warm = [t for t in known if any(name in t.lower().split('/') for name in THERMAL_NAMES)]
        warm = warm or [t for t in known if any(name in t.lower() for name in ('thermal', 'infra'))]
        thermal = thermal or next(iter(warm), None)
        rgb = rgb or next((t for t in known if t != thermal and t not in warm), None)
        if rgb is None or thermal is None:
            raise UserError(
                f'{self.path} has the image topics {", ".join(known) or "none"}; name the two with '
                '--rgb-topic and --thermal-topic'
            )
        compressed = {topic: self.types[topic] == IMAGE_TYPES[1] for topic in (rgb, thermal)}
        return BagTopics(rgb, thermal, compressed)


class BagWriter:
    """A new MCAP bag of serialized messages; the folder must not exist yet."""

    def __init__(self, path: Path):
        rosbag2, _ = rosbags()
        self._store = type_store()
        try:
            self._writer = rosbag2.Writer(
                path, version=9, storage_plugin=rosbag2.StoragePlugin.MCAP
            )
            self._writer.open()
        except rosbag2.WriterError as error:
            raise UserError(f'the bag {path} cannot be written: {error}') from error
        self._connections: dict[str, object] = {}

    def add(self, topic: str, kind: str) -> None:
        """Declare a topic. kind: such as ``sensor_msgs/msg/Image``."""
        self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._store)

    def write(self, topic: str, time: int, raw: bytes) -> None:
        """Append a serialized message. time: nanoseconds."""
        self._writer.write(self._connections[topic], time, raw)

    def close(self) -> None:
        self._writer.close()


def header_stamp(raw: bytes) -> int:
    """Nanoseconds of the std_msgs/Header that a little-endian CDR message begins with."""
    seconds = int.from_bytes(raw[4:8], 'little', signed=True)
    return seconds * 1_000_000_000 + int.from_bytes(raw[8:12], 'little')


def nearest_names(name: str, known: list[str]) -> str:
    """A hint for a name that was not found: ' Did you mean a or b?', or nothing."""
    near = difflib.get_close_matches(name, known, 2, 0.4)
    return f' Did you mean {" or ".join(near)}?' if near else ''
