"""MCAP files that rosbags does not take: without a profile, or cut off by a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import UserError

_MAGIC = b'\x89MCAP0\r\n'
_LARGE = 64 * 2**20  # bytes of a chunk, from which on it must have been worth compressing
_WORTH = 200  # times that a large chunk of messages gets smaller, at most


def _mcap():
    try:
        import mcap.reader
        import mcap.stream_reader
    except ImportError:
        raise UserError(
            'this MCAP file has no index or no profile; reading it needs the package mcap: pip '
            'install mcap'
        ) from None
    return mcap


def is_whole(path: Path) -> bool:
    """Whether the file has its end and an index that can be read."""
    with path.open('rb') as file:
        file.seek(max(0, path.stat().st_size - len(_MAGIC)))
        if file.read() != _MAGIC:
            return False
        file.seek(0)
        try:
            return _reader(path, file).get_summary() is not None
        except Exception:  # mcap and struct raise whatever the damage leads them into
            return False


def _reader(path: Path, file: IO[bytes]):
    """mcap's reader; no record is larger than its file."""
    return _mcap().reader.SeekingReader(file, record_size_limit=path.stat().st_size)


def messages(path: Path) -> Iterator[tuple[Any, Any, int, bytes]]:
    """(schema or None, channel, time of recording, serialized message): in order of time from a
    whole file, else in that of the file, until it breaks off.

    Raises UserError for a file that holds something else than ROS 2 messages.
    """
    for schema, channel, message in _whole(path) if is_whole(path) else _beginning(path):
        if channel.message_encoding not in ('cdr', ''):
            raise UserError(
                f'{path} holds {channel.message_encoding} messages on {channel.topic}, expected '
                f'those of ROS 2 (cdr){_CONVERT.get(channel.message_encoding, "")}'
            )
        yield schema, channel, message.log_time, message.data


_CONVERT = {'ros1': ': convert it with "rosbags-convert" or "mcap convert"'}


def _whole(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    with path.open('rb') as file:
        try:
            yield from _reader(path, file).iter_messages(log_time_order=True)
        except Exception:  # as above; what came before is used
            return


def _beginning(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    stream_reader = _mcap().stream_reader
    schemas: dict[int, Any] = {}
    channels: dict[int, Any] = {}
    with path.open('rb') as file:
        try:
            reader = stream_reader.StreamReader(
                file, emit_chunks=True, record_size_limit=path.stat().st_size
            )
            for record in reader.records:
                inner = [record]
                if type(record).__name__ == 'Chunk':
                    inner = _records(stream_reader, record)
                for part in inner:
                    kind = type(part).__name__
                    if kind == 'Schema':
                        schemas[part.id] = part
                    elif kind == 'Channel':
                        channels[part.id] = part
                    elif kind == 'Message':
                        channel = channels[part.channel_id]
                        yield schemas.get(channel.schema_id), channel, part
        except Exception:  # mcap and struct raise whatever the cut leads them into
            return


def _records(stream_reader, chunk) -> list:
    """The records of a chunk. Raises ValueError for one that is no chunk of messages."""
    size, packed = chunk.uncompressed_size, len(chunk.data)
    if size > _LARGE and size > _WORTH * packed:
        raise ValueError(f'a chunk of {packed} bytes says that it holds {size}')
    if chunk.compression == 'lz4':  # its decoder looks at the data, not at the size that is told
        data = stream_reader.lz4.LZ4FrameDecompressor().decompress(chunk.data, max_length=size)
        chunk = type(chunk)(**{**vars(chunk), 'compression': '', 'data': data})
    stream, _ = stream_reader.get_chunk_data_stream(chunk)
    content = stream.read(size)
    if not content or content[0] == 0:  # no record has this number; each would cost a look
        raise ValueError('a chunk of no records')
    plain = type(chunk)(**{**vars(chunk), 'compression': '', 'data': content})
    return stream_reader.breakup_chunk(plain)
