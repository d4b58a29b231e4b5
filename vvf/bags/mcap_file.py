# SPDX-License-Identifier: Apache-2.0
"""Reads MCAP files of rosbag2, whole or damaged, as far as they can be read.

The common readers start from the index at the end, which a recorder that was killed never wrote.
Here the records are walked from the front (https://mcap.dev/spec), so a cut costs what lies behind
it, a chunk whose checksum is wrong costs that chunk, and of a chunk that was cut in two the front
part is still decompressed. Where the walk stumbles before an end that is whole, the index there
leads to the chunks behind the damage.
"""

from __future__ import annotations

import contextlib
import heapq
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
import yaml
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Footer, Header, Metadata, Schema, Statistics

from vvf.bags.metadata import profiles
from vvf.bags.topics import TopicSpec
from vvf.errors import UserError

MAGIC = b'\x89MCAP0\r\n'
_MAX_CHUNK = 1 << 31
_CHUNK_HEAD = struct.Struct('<QQQI')
_MESSAGE = struct.Struct('<HIQQ')
_PRIVATE = 0x80  # records of other programs, to be skipped
_FOOTER_SIZE = 9 + 20
_KEPT = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA, Opcode.HEADER, Opcode.STATISTICS)
# What the parsers of the mcap library stumble over in damaged bytes.
_PARSE_ERRORS = (ValueError, KeyError, EOFError, OverflowError, struct.error, EndOfFile)


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
    end_ns: int = 0


class McapFile:
    """One MCAP file, opened for reading.

    Args:
        path: The file.

    Attributes:
        damage: What is wrong with it, '' while nothing is known to be.
        bytes_lost: Bytes that yield no messages.
        messages_lost: Always 0: what a lost chunk held is not known.
        seconds_lost: Length of the chunks that are lost, as far as their headers or the index tell.
        declared: Messages as the file's own statistics tell; None where it has none.

    Raises:
        UserError: The file is empty, not MCAP, or not of ROS 2.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_lost = 0
        self.messages_lost = 0
        self.seconds_lost = 0.0
        self.declared: int | None = None
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
            result[channel.topic] = TopicSpec(
                channel.topic,
                schema.name if schema else '',
                definition=schema.data.decode('utf-8', 'replace') if schema else '',
                type_hash=channel.metadata.get('topic_type_hash', ''),
                encoding='ros2idl' if schema and schema.encoding == 'ros2idl' else 'ros2msg',
                qos_profiles=profiles(channel.metadata.get('offered_qos_profiles')),
            )
        return result

    def information(self) -> Any:
        """The ``rosbag2_bagfile_information`` stored in the file itself; None where it is not."""
        text = self.metadata.get('rosbag2', {}).get('serialized_metadata', '')
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return None

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
            known = len(head) == 9 and (1 <= head[0] <= 15 or head[0] >= _PRIVATE)
            if not known or end > size:
                lost = size - position
                if self._resume(position, size):
                    return
                if len(head) == 9 and head[0] == Opcode.CHUNK and end > size:
                    lost = self._add_part(begin, size, length)
                self._damaged(lost, 'it ends in the middle of a record')
                return
            try:
                self._record(head[0], begin, length, position)
            except _PARSE_ERRORS:
                self._damaged(length, 'a record is corrupt')
            if head[0] == Opcode.FOOTER:
                self._complete = True
                return
            position = end
        self._damaged(0, 'its end was never written')

    def _resume(self, position: int, size: int) -> bool:
        """Go on behind damage at `position` by the index at the end; False where that is gone."""
        self._file.seek(max(0, size - _FOOTER_SIZE - len(MAGIC)))
        tail = self._file.read()
        if tail[-len(MAGIC) :] != MAGIC or tail[0] != Opcode.FOOTER:
            return False
        summary = Footer.read(ReadDataStream(BytesIO(tail[9:]))).summary_start
        if not position < summary < size:
            return False
        self._file.seek(summary)
        content = self._file.read(size - summary)
        found: list[ChunkIndex] = []
        try:
            for opcode, begin, end in _records(content):
                stream = ReadDataStream(BytesIO(content[begin:end]))
                if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                    self._learn_record(opcode, stream)
                elif opcode == Opcode.STATISTICS:
                    self.declared = Statistics.read(stream).message_count
                elif opcode == Opcode.CHUNK_INDEX:
                    found.append(ChunkIndex.read(stream))
        except _PARSE_ERRORS:
            return False
        lost = summary - position
        for index in found:
            begin, end = index.chunk_start_offset, index.chunk_start_offset + index.chunk_length
            if begin < position or end > summary:
                continue
            self._file.seek(begin)
            if self._file.read(9)[0] == Opcode.CHUNK and self._add_chunk(
                begin + 9, end, whole=True
            ):
                lost -= end - begin
            else:
                self.seconds_lost += (index.message_end_time - index.message_start_time) * 1e-9
        self._complete = True
        self._damaged(max(0, lost), 'a part of it is unreadable')
        return True

    def _record(self, opcode: int, begin: int, length: int, position: int) -> None:
        if opcode == Opcode.CHUNK:
            if not self._add_chunk(begin, begin + length, whole=True):
                self._damaged(length, 'a chunk is corrupt')
        elif opcode == Opcode.MESSAGE:
            stamp = _MESSAGE.unpack(self._file.read(_MESSAGE.size))[2]
            self._blocks.append(_Block(stamp, position, length + 9, size=length + 9))
        elif opcode in _KEPT:
            stream = ReadDataStream(BytesIO(self._file.read(length)))
            if opcode == Opcode.HEADER:
                profile = Header.read(stream).profile
                if profile not in ('ros2', ''):
                    raise UserError(f"{self.path} is not a ROS 2 recording but '{profile}'")
            elif opcode == Opcode.METADATA:
                record = Metadata.read(stream)
                self.metadata[record.name] = dict(record.metadata)
            elif opcode == Opcode.STATISTICS:
                self.declared = Statistics.read(stream).message_count
            else:
                self._learn_record(opcode, stream)

    def _add_chunk(self, begin: int, end: int, *, whole: bool) -> bool:
        """Add the chunk whose record lies there; False if its head is wrong."""
        self._file.seek(begin)
        head = self._file.read(min(end - begin, 256))
        if len(head) < _CHUNK_HEAD.size + 4:
            return False
        start, last, size, crc = _CHUNK_HEAD.unpack_from(head)
        name_length = int.from_bytes(head[28:32], 'little')
        if name_length > 16 or len(head) < 40 + name_length or size > _MAX_CHUNK:
            return False
        name = head[32 : 32 + name_length].decode('ascii', 'replace')
        offset = begin + 40 + name_length
        self._blocks.append(_Block(start, offset, end - offset, name, size, crc, whole, last))
        return True

    def _add_part(self, begin: int, size: int, length: int) -> int:
        """Add a chunk that was cut off; return how many of its bytes (`length`) yield nothing."""
        if not self._add_chunk(begin, size, whole=False):
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
                if not block.crc:
                    self._check_records(block, content)
                return content
            return _decompress_part(raw, block)
        except (ValueError, RuntimeError, EOFError, MemoryError, zstandard.ZstdError) as error:
            if not block.whole:
                return b''
            if not any(b is block for b in self._blocks):
                return b''  # told already, by another pass over the file
            self._blocks = [b for b in self._blocks if b is not block]
            self.seconds_lost += max(0, block.end_ns - block.start_ns) * 1e-9
            self._damaged(block.length, f'a chunk is corrupt ({error})')
            return b''

    def _check_records(self, block: _Block, content: bytes) -> None:
        """Notice damage in a chunk that has no checksum; its front part is still read."""
        last = max((end for _, _, end in _records(content)), default=0)
        if last < len(content):
            self._blocks = [replace(b, whole=False) if b is block else b for b in self._blocks]
            self._damaged(
                block.length * (len(content) - last) // len(content), 'a chunk is corrupt'
            )

    def _damaged(self, count: int, reason: str) -> None:
        self.bytes_lost += count
        self.damage = self.damage or reason

    def _learn(self, content: bytes) -> None:
        for opcode, begin, end in _records(content):
            if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                with contextlib.suppress(*_PARSE_ERRORS):
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
        if end > len(content) or not content[position]:
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
