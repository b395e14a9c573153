"""rosbag2 files (MCAP or sqlite3) without ROS: what is in them, and messages in and out."""

import itertools
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BadImage, UserError, told
from . import mcap_files
from .bag_topics import IMAGE_TYPES, BagTopics, choose
from .places import BLOCK, missing, reaching, remote, suffix_of
from .whole_files import room_for

INFO_TYPE = 'sensor_msgs/msg/CameraInfo'
_LOOKED_AT = 2000  # image messages at most, to see which encoding each topic has


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
class Topic:
    """What a new bag must know to hold a topic's messages. None: a type that rosbags knows."""

    name: str
    type: str
    definition: str | None = None
    digest: str | None = None
    qos: Any = field(default=(), compare=False)


class Bag:
    """A bag opened for reading. Raises UserError if it is none.

    path: the bag's folder, or its .mcap or .db3 file; of a remote one (see `places`) only what is
    asked for is read, by the index of MCAP; without one it is fetched whole. An MCAP file without
    its end (the recorder was killed, the disk was full) is read as far as it goes; ``warning`` says
    so. start: nanoseconds of recording. indexed: whether a part of it can be read alone.
    """

    indexed = True
    topics: list[Topic]
    start: int
    duration: float
    count: int

    def __init__(self, path: Path):
        rosbags()
        with reaching(path):
            try:
                path.stat()
            except FileNotFoundError as error:
                if missing(error):
                    raise UserError(f'the bag {path} does not exist') from None
                raise
        self.path, self.warning = path, ''
        self._at = path  # where it is read
        self._files: list[Path] = []  # read without rosbags
        self._reader: Any = None
        self._scratch: tempfile.TemporaryDirectory | None = None
        if not (remote(path) and self._index()):
            self._open()
        self.types = {topic.name: topic.type for topic in self.topics}

    def _open(self) -> None:
        rosbag2, _ = rosbags()
        if remote(self.path):
            self._fetch()
        try:
            for file in self._mcap_files():
                mcap_files.check(file)
            reader = rosbag2.Reader(self._at)
            reader.open()
            self.topics = [
                Topic(c.topic, c.msgtype, c.msgdef.data, c.digest, c.ext.offered_qos_profiles)
                for c in reader.connections
            ]
            self.start, self.duration = reader.start_time, reader.duration * 1e-9
            self.count = reader.message_count
            self._reader = reader
        except Exception as error:  # rosbags raises its own and the storage's exceptions
            self._recover(error)

    def _recover(self, error: Exception) -> None:
        """Read MCAP files that rosbags refuses: without a profile, or cut off."""
        self._files, self.indexed = self._mcap_files(), False
        found: dict[str, Topic] = {}
        times: list[int] = []
        for topic, time, _ in self._salvage():
            found.setdefault(topic.name, topic)
            times.append(time)
        if not times:
            raise UserError(
                f'{self.path} is not a rosbag2 that can be read: {told(error)}'
            ) from error
        self.topics, self.count = list(found.values()), len(times)
        self.start, self.duration = min(times), (max(times) - min(times)) * 1e-9
        if not all(map(mcap_files.is_whole, self._files)):
            self.warning = (
                f'{self.path} is cut off or damaged ({told(error)}); the {self.count} messages '
                'that can be read are used'
            )

    def _index(self) -> bool:
        """Know remote MCAP files by their index. False where there is none."""
        found: dict[str, Topic] = {}
        spans, self.count = [], 0
        with reaching(self.path):
            self._files = self._mcap_files()
            try:
                summaries = [mcap_files.check(file) for file in self._files]
            except ValueError as error:
                if isinstance(error, UserError):
                    raise
                return False
        for summary in summaries:
            for channel in summary.channels.values():
                schema = summary.schemas.get(channel.schema_id)
                found.setdefault(channel.topic, _topic(schema, channel))
            if summary.statistics is not None and summary.statistics.message_count:
                self.count += summary.statistics.message_count
                spans += [
                    summary.statistics.message_start_time, summary.statistics.message_end_time
                ]  # fmt: skip
        if not spans:
            return False
        self.topics, self.start = list(found.values()), min(spans)
        self.duration = (max(spans) - min(spans)) * 1e-9
        return True

    def _fetch(self) -> None:
        """Copy a remote bag into a folder that goes with this object."""
        self.indexed = False  # each look at a part of it would fetch it again
        self._scratch = tempfile.TemporaryDirectory(prefix='bag-')
        self._at = Path(self._scratch.name) / f'bag{suffix_of(self.path)}'
        with reaching(self.path):
            if self.path.is_dir():
                copies = {f: self._at / f.name for f in self.path.iterdir() if f.is_file()}
                self._at.mkdir()
            else:
                copies = {self.path: self._at}
            room_for(Path(self._scratch.name), sum(file.stat().st_size for file in copies))
            for file, copy in copies.items():
                with file.open('rb') as source, copy.open('wb') as target:
                    shutil.copyfileobj(source, target, BLOCK)

    def _mcap_files(self) -> list[Path]:
        files = [self._at]
        if suffix_of(self._at) != '.mcap' and self._at.is_dir():
            files = sorted(self._at.glob('*.mcap'))
        return [f for f in files if suffix_of(f) == '.mcap' and (remote(f) or f.is_file())]

    def _salvage(
        self,
        topics: tuple[str, ...] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Topic, int, bytes]]:
        """The messages of MCAP files, as far as they go."""
        for file in self._files:
            for schema, channel, time, raw in mcap_files.messages(file, topics, start, stop):
                yield _topic(schema, channel), time, raw

    def __enter__(self) -> 'Bag':
        return self

    def __exit__(self, *_) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def messages(
        self,
        topics: tuple[str, ...] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time of recording in nanoseconds, serialized message) in order of time.

        topics: all of them by default. start, stop: nanoseconds, stop itself left out. Raises
        UserError at a damaged part.
        """
        if self._reader is None:
            for topic, time, raw in self._salvage(topics, start, stop):
                yield topic.name, time, raw
            return
        chosen = [c for c in self._reader.connections if topics is None or c.topic in topics]
        if not chosen:  # none would mean all of them
            return
        try:
            for connection, time, raw in self._reader.messages(chosen, start, stop):
                yield connection.topic, time, raw
        except (GeneratorExit, UserError):
            raise
        except Exception as error:
            raise UserError(
                f'{self.path} is damaged: {told(error)}; "ros2 bag convert" or "mcap recover" may '
                'save the rest'
            ) from error

    def choose(self, rgb: str | None, thermal: str | None, quiet: bool = False) -> BagTopics:
        """The two image topics: as named, or told by `bag_topics`, and said. Raises UserError."""
        chosen = choose(self.types, self._encodings(), rgb, thermal, self.path)
        if not quiet and (rgb is None or thermal is None):
            print(f'{self.path}: rgb {chosen.rgb}, thermal {chosen.thermal}', file=sys.stderr)
        return chosen

    def _encodings(self) -> dict[str, str]:
        """The encoding, or the format, of the first image of each topic."""
        images = {name for name, kind in self.types.items() if kind in IMAGE_TYPES}
        found: dict[str, str] = {}
        try:
            for topic, _, raw in itertools.islice(self.messages(tuple(images)), _LOOKED_AT):
                if topic not in found:
                    found[topic] = _encoding(raw, self.types[topic])
                if found.keys() == images:
                    break
        except UserError:
            pass  # damaged, which is told when it is played
        return found

    def info_topic(self, image_topic: str) -> str | None:
        """The camera_info topic beside an image topic, by ROS's naming."""
        for base in (image_topic.rsplit('/', 1)[0], image_topic.rsplit('/', 2)[0]):
            if self.types.get(f'{base}/camera_info') == INFO_TYPE:
                return f'{base}/camera_info'
        return None


def _topic(schema: Any, channel: Any) -> Topic:
    """Of MCAP's own records."""
    return Topic(
        channel.topic,
        schema.name if schema else 'unknown',
        schema.data.decode(errors='replace') if schema else None,
        channel.metadata.get('topic_type_hash', ''),
    )


class BagWriter:
    """A new MCAP bag of serialized messages; the folder must not exist yet."""

    def __init__(self, path: Path):
        rosbag2, _ = rosbags()
        self._path, self._store = path, type_store()
        try:
            self._writer = rosbag2.Writer(
                path, version=8, storage_plugin=rosbag2.StoragePlugin.MCAP
            )
            self._writer.open()
        except (rosbag2.WriterError, OSError) as error:
            raise UserError(f'the bag {path} cannot be written: {error}') from error
        self._connections: dict[str, object] = {}

    def add(self, topic: Topic) -> None:
        """Declare a topic. Raises UserError for a type that nothing describes."""
        described = topic.definition and topic.digest  # bags of Humble hold no digest
        if not described and topic.type not in self._store.fielddefs:
            if not topic.definition:
                raise UserError(
                    f'{topic.name} holds {topic.type}, which is no standard type and is not '
                    'described in the bag; record it again with MCAP storage, or filter it out'
                )
            _, typesys = rosbags()
            self._store.register(typesys.get_types_from_msg(topic.definition, topic.type))
        self._connections[topic.name] = self._writer.add_connection(
            topic.name,
            topic.type,
            typestore=None if described else self._store,
            msgdef=topic.definition if described else None,
            rihs01=topic.digest if described else None,
            offered_qos_profiles=topic.qos,
        )

    def write(self, topic: str, time: int, raw: bytes) -> None:
        """Append a serialized message. time: nanoseconds. Raises UserError for a full disk."""
        with self._writing():
            self._writer.write(self._connections[topic], time, raw)

    def close(self) -> None:
        """Raises UserError as `write`."""
        with self._writing():
            self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f'the bag {self._path} cannot be written any more ({error.strerror}): make room, '
                'or record elsewhere'
            ) from error


def decode(store, raw: bytes, kind: str, topic: str):
    """A deserialized message. Raises BadImage that names the topic."""
    try:
        return store.deserialize_cdr(raw, kind)
    except Exception as error:  # rosbags raises whatever the bytes lead it into
        raise BadImage(
            'message', f'a message on {topic} is no valid {kind} ({error!r}); it was cut off'
        ) from error


def header_stamp(raw: bytes) -> int:
    """Nanoseconds of the std_msgs/Header that a CDR message begins with."""
    seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return seconds * 1_000_000_000 + nanoseconds


def _encoding(raw: bytes, kind: str) -> str:
    """The encoding of a serialized Image, or the format of a CompressedImage; empty if cut off."""
    order = '<' if raw[1:2] == b'\x01' else '>'
    try:
        at = 12  # the encapsulation and the stamp
        (length,) = struct.unpack_from(f'{order}I', raw, at)  # frame_id
        at += 4 + length
        at += -at % 4
        at += 8 if kind == IMAGE_TYPES[0] else 0  # height and width
        (length,) = struct.unpack_from(f'{order}I', raw, at)
        return bytes(raw[at + 4 : at + 3 + min(length, 100)]).decode(errors='replace')
    except struct.error:
        return ''


def open_bag(path: Path) -> Bag:
    """A bag, with its warning, if any, printed."""
    bag = Bag(path)
    if bag.warning:
        print(f'warning: {bag.warning}', file=sys.stderr)
    return bag
