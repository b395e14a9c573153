"""MCAP files that rosbags does not take: without a profile, or cut off by a crash."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import UserError, told
from .places import reaching, read_at, remote

_MAGIC = b'\x89MCAP0\r\n'
_LARGE = 64 * 2**20  # bytes of a chunk, from which on it must have been worth compressing
_HEAD = 2**18  # bytes of a chunk, of which its first record can be told
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


def check(path: Path) -> Any:
    """The index of a file: channels, schemas, statistics. Raises ValueError where it has no end, or
    an index that leads to no chunks of messages.

    rosbags would search such a chunk byte by byte, whatever it unpacks to. Of remote files the
    chunks themselves are not looked at.
    """
    with read_at(path) as file:
        file.seek(max(0, path.stat().st_size - len(_MAGIC)))
        if file.read() != _MAGIC:
            raise ValueError('it has no end')
        file.seek(0)
        try:
            summary = _reader(path, file).get_summary()
            if summary is None:
                raise ValueError('it has no index')
            for chunk in summary.chunk_indexes:
                if not remote(path):
                    file.seek(chunk.chunk_start_offset + 9 + 40 + len(chunk.compression))
                _check_size(chunk.uncompressed_size, chunk.compressed_size)
                if chunk.compression == 'zstd' and not remote(path):
                    _check_zstd(file.read(min(chunk.compressed_size, _HEAD)), chunk.compressed_size)
            return summary
        except UserError:
            raise
        except Exception as error:  # mcap and struct raise whatever the damage leads them into
            if remote(path) and isinstance(error, OSError):
                raise
            raise ValueError(f'its index is damaged: {told(error)}') from error


def _check_zstd(head: bytes, packed: int) -> None:
    """head: the beginning of a compressed chunk, which has ``packed`` bytes."""
    zstandard = _mcap().stream_reader.zstandard
    size = zstandard.frame_content_size(head)
    _check_size(size, packed)
    if size > _WORTH * packed:
        _check_content(zstandard.ZstdDecompressor().stream_reader(head).read(1))


def _check_size(size: int, packed: int) -> None:
    if size > _LARGE and size > _WORTH * packed:
        raise ValueError(f'a chunk of {packed} bytes says that it holds {size}')


def _check_content(content: bytes) -> None:
    if not content or content[0] == 0:  # no record has this number; each would cost a look
        raise ValueError('a chunk of no records')


def _reader(path: Path, file: IO[bytes]):
    """mcap's reader; no record is larger than its file."""
    return _mcap().reader.SeekingReader(file, record_size_limit=path.stat().st_size)


def is_whole(path: Path) -> bool:
    """Whether `check` finds nothing."""
    try:
        check(path)
        return True
    except ValueError:
        return False


def messages(
    path: Path,
    topics: Collection[str] | None = None,
    start: int | None = None,
    stop: int | None = None,
) -> Iterator[tuple[Any, Any, int, bytes]]:
    """(schema or None, channel, time of recording, serialized message): in order of time from a
    whole file, of which only what is asked for is read, else in that of the file, until it breaks
    off. topics: all by default. start, stop: nanoseconds, stop itself left out.

    Raises UserError for a file that holds something else than ROS 2 messages.
    """
    with reaching(path):
        found = _whole(path, topics, start, stop) if is_whole(path) else _beginning(path)
        for schema, channel, message in found:
            if channel.message_encoding not in ('cdr', ''):
                raise UserError(
                    f'{path} holds {channel.message_encoding} messages on {channel.topic}, '
                    f'expected those of ROS 2 (cdr){_CONVERT.get(channel.message_encoding, "")}'
                )
            if topics is not None and channel.topic not in topics:
                continue
            time = message.log_time
            if (start is None or time >= start) and (stop is None or time < stop):
                yield schema, channel, time, message.data


_CONVERT = {'ros1': ': convert it with "rosbags-convert" or "mcap convert"'}


def _whole(
    path: Path, topics: Collection[str] | None, start: int | None, stop: int | None
) -> Iterator[tuple[Any, Any, Any]]:
    with read_at(path) as file:
        try:
            yield from _reader(path, file).iter_messages(
                topics=None if topics is None else list(topics),
                start_time=start,
                end_time=stop,
                log_time_order=True,
            )
        except Exception:  # as above; what came before is used
            if remote(path):
                raise


def _beginning(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    stream_reader = _mcap().stream_reader
    schemas: dict[int, Any] = {}
    channels: dict[int, Any] = {}
    with read_at(path) as file:
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
    _check_size(size, packed)
    if chunk.compression == 'lz4':  # its decoder looks at the data, not at the size that is told
        data = stream_reader.lz4.LZ4FrameDecompressor().decompress(chunk.data, max_length=size)
        chunk = type(chunk)(**{**vars(chunk), 'compression': '', 'data': data})
    stream, _ = stream_reader.get_chunk_data_stream(chunk)
    content = stream.read(size)
    _check_content(content)
    plain = type(chunk)(**{**vars(chunk), 'compression': '', 'data': content})
    return stream_reader.breakup_chunk(plain)
