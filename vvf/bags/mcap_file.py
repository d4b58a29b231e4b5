# SPDX-License-Identifier: Apache-2.0
"""Reads MCAP files of rosbag2, whole or damaged, as far as they can be read.

The common readers start from the index at the end, which a recorder that was killed never wrote.
Here the records are walked from the front (https://mcap.dev/spec), so a cut costs what lies behind
it, a chunk whose checksum is wrong costs that chunk, and of a chunk that was cut in two the front
part is still decompressed.
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
import yaml
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Header, Metadata, Schema
from rosbags.rosbag2.metadata import parse_qos

from vvf.bags.topics import TopicSpec
from vvf.errors import UserError

MAGIC = b'\x89MCAP0\r\n'
_MAX_CHUNK = 1 << 31
_CHUNK_HEAD = struct.Struct('<QQQI')
_MESSAGE = struct.Struct('<HIQQ')


@dataclass(frozen=True)
class _Block:
    """A chunk, or a run of messages outside of chunks, and where its content lies."""

    start_ns: int
    offset: int
    length: int
    compression: str = ''
    size: int = 0
    crc: int = 0
    whole: bool = True


class McapFile:
    """One MCAP file, opened for reading.

    Args:
        path: The file.

    Raises:
        UserError: The file is empty, not MCAP, or not of ROS 2.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_lost = 0
        self.damage = ''
        self.metadata: dict[str, dict[str, str]] = {}
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._blocks: list[_Block] = []
        self._complete = False
        self._file = path.open('rb')
        try:
            self._scan(path.stat().st_size)
            # Without the summary at the end, the channels are only told inside of the chunks.
            if not self._complete or not self._channels:
                for block in self._blocks:
                    self._learn(self._content(block))
        except BaseException:
            self._file.close()
            raise
        for channel in self._channels.values():
            if channel.message_encoding != 'cdr':
                self._file.close()
                raise UserError(
                    f'{path} is not a ROS 2 recording: {channel.topic} is encoded as '
                    f"'{channel.message_encoding}' and not as cdr"
                )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def topics(self) -> dict[str, TopicSpec]:
        """The topics in the file, by name."""
        result = {}
        for channel in self._channels.values():
            schema = self._schemas.get(channel.schema_id)
            profiles = channel.metadata.get('offered_qos_profiles', '')
            result[channel.topic] = TopicSpec(
                channel.topic,
                schema.name if schema else '',
                definition=schema.data.decode('utf-8', 'replace') if schema else '',
                type_hash=channel.metadata.get('topic_type_hash', ''),
                encoding='ros2idl' if schema and schema.encoding == 'ros2idl' else 'ros2msg',
                qos_profiles=_profiles(profiles),
            )
        return result

    def information(self) -> dict[str, Any]:
        """The ``rosbag2_bagfile_information`` stored in the file itself; empty where it is not."""
        text = self.metadata.get('rosbag2', {}).get('serialized_metadata', '')
        try:
            data = yaml.safe_load(text) if text else {}
        except yaml.YAMLError:
            return {}
        return data if isinstance(data, dict) else {}

    def messages(
        self, topics: Collection[str] | None = None, *, data: bool = True
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, time of recording in ns, CDR bytes) in order of time.

        Args:
            topics: Only these; all where it is None.
            data: Without it the bytes are empty, which is faster for counting.
        """
        names = {
            key: channel.topic
            for key, channel in self._channels.items()
            if topics is None or channel.topic in topics
        }
        heap: list[tuple[int, int, str, bytes]] = []
        order = 0
        for block in sorted(self._blocks, key=lambda b: b.start_ns):
            # Chunks can overlap: a message is due once no later block can hold an earlier one.
            while heap and heap[0][0] < block.start_ns:
                stamp, _, topic, raw = heapq.heappop(heap)
                yield topic, stamp, raw
            for key, stamp, raw in _messages(self._content(block), names, data):
                heapq.heappush(heap, (stamp, order, names[key], raw))
                order += 1
        while heap:
            stamp, _, topic, raw = heapq.heappop(heap)
            yield topic, stamp, raw

    def counts(self) -> Counter[str]:
        """Count the readable messages of each topic."""
        return Counter(topic for topic, _, _ in self.messages(data=False))

    def _scan(self, size: int) -> None:
        magic = self._file.read(8)
        if not magic:
            raise UserError(f'{self.path} is empty: there is nothing to read')
        if magic != MAGIC:
            if magic.startswith(b'#ROSBAG'):
                raise UserError(f'{self.path} is a ROS 1 bag: convert it with rosbags-convert')
            raise UserError(f'{self.path} is not a bag: it does not begin like an MCAP file')
        position = 8
        while position < size:
            self._file.seek(position)
            head = self._file.read(9)
            length = int.from_bytes(head[1:9], 'little')
            begin, end = position + 9, position + 9 + length
            if len(head) < 9 or end > size or not 1 <= head[0] <= 15:
                lost = size - position
                if len(head) == 9 and head[0] == Opcode.CHUNK and end > size:
                    lost = self._add_part(begin, size, length)
                self._damaged(lost, 'it ends in the middle of a record')
                return
            self._record(head[0], begin, length, position)
            if head[0] == Opcode.FOOTER:
                self._complete = True
                return
            position = end
        self._damaged(0, 'its end was never written')

    def _record(self, opcode: int, begin: int, length: int, position: int) -> None:
        if opcode == Opcode.CHUNK:
            self._add_chunk(begin, begin + length, whole=True)
        elif opcode == Opcode.MESSAGE:
            stamp = _MESSAGE.unpack(self._file.read(_MESSAGE.size))[2]
            self._blocks.append(_Block(stamp, position, length + 9, size=length + 9))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA, Opcode.HEADER):
            stream = ReadDataStream(BytesIO(self._file.read(length)))
            if opcode == Opcode.HEADER:
                profile = Header.read(stream).profile
                if profile not in ('ros2', ''):
                    raise UserError(f"{self.path} is not a ROS 2 recording but '{profile}'")
            elif opcode == Opcode.METADATA:
                record = Metadata.read(stream)
                self.metadata[record.name] = dict(record.metadata)
            else:
                self._learn_record(opcode, stream)

    def _add_chunk(self, begin: int, end: int, *, whole: bool) -> None:
        head = self._file.read(min(end - begin, 256))
        if len(head) < _CHUNK_HEAD.size + 4:
            return
        start, _, size, crc = _CHUNK_HEAD.unpack_from(head)
        name_length = int.from_bytes(head[28:32], 'little')
        if name_length > 16 or len(head) < 40 + name_length or size > _MAX_CHUNK:
            return
        name = head[32 : 32 + name_length].decode('ascii', 'replace')
        offset = begin + 40 + name_length
        self._blocks.append(_Block(start, offset, end - offset, name, size, crc, whole))

    def _add_part(self, begin: int, size: int, length: int) -> int:
        """Add a chunk that was cut off; return how many of its bytes (`length`) yield nothing."""
        known = len(self._blocks)
        self._add_chunk(begin, size, whole=False)
        if len(self._blocks) == known:
            return size - begin
        content = self._content(self._blocks[-1])
        parsed = max((end for _, _, end in _records(content)), default=0)
        return round(length * (1 - parsed / max(self._blocks[-1].size, parsed, 1)))

    def _content(self, block: _Block) -> bytes:
        """Return the decompressed records of a block: all of them, or as many as can be read."""
        self._file.seek(block.offset)
        raw = self._file.read(block.length)
        try:
            if block.whole:
                content = _decompress(raw, block)
                if block.crc and zlib.crc32(content) != block.crc:
                    raise ValueError('checksum')
                return content
            return _decompress_part(raw, block)
        except (ValueError, RuntimeError, EOFError, zstandard.ZstdError) as error:
            if not block.whole:
                return b''
            self._blocks = [b for b in self._blocks if b is not block]
            self._damaged(block.length, f'a chunk is corrupt ({error})')
            return b''

    def _damaged(self, count: int, reason: str) -> None:
        self.bytes_lost += count
        self.damage = self.damage or reason

    def _learn(self, content: bytes) -> None:
        for opcode, begin, end in _records(content):
            if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._learn_record(opcode, ReadDataStream(BytesIO(content[begin:end])))

    def _learn_record(self, opcode: int, stream: ReadDataStream) -> None:
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self._schemas[schema.id] = schema
        else:
            channel = Channel.read(stream)
            self._channels[channel.id] = channel


def _records(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, begin, end) of each whole record in the bytes."""
    position = 0
    while position + 9 <= len(content):
        end = position + 9 + int.from_bytes(content[position + 1 : position + 9], 'little')
        if end > len(content):
            return
        yield content[position], position + 9, end
        position = end


def _messages(
    content: bytes, names: Collection[int], data: bool
) -> Iterator[tuple[int, int, bytes]]:
    for opcode, begin, end in _records(content):
        if opcode == Opcode.MESSAGE and end - begin >= _MESSAGE.size:
            channel, _, stamp, _ = _MESSAGE.unpack_from(content, begin)
            if channel in names:
                yield channel, stamp, content[begin + _MESSAGE.size : end] if data else b''


def _decompress(raw: bytes, block: _Block) -> bytes:
    if block.compression == 'zstd':
        return zstandard.ZstdDecompressor().decompress(raw, max_output_size=block.size)
    if block.compression == 'lz4':
        return bytes(lz4.frame.decompress(raw))
    if block.compression:
        raise ValueError(f'unknown compression {block.compression}')
    return raw


def _decompress_part(raw: bytes, block: _Block) -> bytes:
    if block.compression == 'zstd':
        return zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    if block.compression == 'lz4':
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(raw))
    return raw


def _profiles(text: str) -> tuple[Any, ...]:
    try:
        return tuple(parse_qos(text))
    except Exception:  # a damaged profile must not keep anybody from the messages
        return ()
