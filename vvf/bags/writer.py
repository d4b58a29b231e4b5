# SPDX-License-Identifier: Apache-2.0
"""Writes an episode as a rosbag2 directory (MCAP, zstd chunks) that survives being killed.

Each chunk is handed to the operating system when it is complete, at the latest every half a second
of writing, so a process that dies loses that much and no more. The custom data are on disk before
the first message, in ``metadata.yaml`` and in the MCAP file, with the outcome ``unlabelled``.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2.metadata import dump_qos_v9

from vvf.bags.topics import TopicAudit, TopicSpec, described
from vvf.errors import UserError

OUTCOMES = ('success', 'failure', 'aborted', 'unlabelled')
METADATA_VERSION = 9
COMPLETE = 'complete'
"""Key of custom_data: 'true' once a bag is closed, 'false' while it is written."""


class BagWriter:
    """Writes one bag. Usable from several threads; a context manager.

    Args:
        path: Directory to create; must not exist.
        topics: Topics to be written; more can be added with :meth:`add_topic`.
        custom_data: Strings kept with the bag: task file, instruction, episode id and so on.
        chunk_bytes: Uncompressed bytes after which a chunk is closed.
        chunk_seconds: Seconds of writing after which a chunk is closed.
        file_name: Name of the MCAP file; the directory's name where it is empty.
        compression: Of the chunks, 'zstd' or 'lz4'; of JPEG neither makes anything smaller, but lz4
            gives up seven times as quickly.

    Raises:
        UserError: The directory exists or cannot be created, or a type is unknown.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        topics: Iterable[TopicSpec],
        custom_data: Mapping[str, str] | None = None,
        *,
        chunk_bytes: int = 1 << 20,
        chunk_seconds: float = 0.5,
        file_name: str = '',
        compression: str = 'zstd',
    ) -> None:
        self.path = Path(path)
        self.custom_data = {k: str(v) for k, v in (custom_data or {}).items()}
        self.custom_data.setdefault('outcome', 'unlabelled')
        self.custom_data[COMPLETE] = 'false'
        self.audit: dict[str, TopicAudit] = {}
        self.closed = False
        #: Messages that would survive the end of this process.
        self.flushed = 0
        self._lock = threading.Lock()
        self._topics: dict[str, TopicSpec] = {}
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._chunk_seconds = chunk_seconds
        self._chunk_bytes = chunk_bytes
        self._pending = 0
        self._flushed_at = time.monotonic()
        try:
            self.path.mkdir(parents=True)
        except FileExistsError as error:
            raise UserError(f'{self.path} exists already and is never overwritten') from error
        except OSError as error:
            raise UserError(f'bag {self.path} cannot be created: {error.strerror}') from error
        self.file = self.path / (file_name or f'{self.path.name}.mcap')
        try:
            self._stream = self.file.open('xb')
            # The size of a chunk is watched here, so that every chunk reaches the file at once.
            self._writer = Writer(
                self._stream, chunk_size=1 << 62, compression=CompressionType[compression.upper()]
            )
            self._writer.start('ros2', 'vvf')
            self._writer.add_metadata('vvf', dict(self.custom_data))
            for topic in topics:
                self._add_topic(topic)
            self._write_metadata()
            self._writer.flush()
        except OSError as error:
            raise self._failed(error) from error

    def add_topic(self, topic: TopicSpec) -> None:
        """Announce another topic; one that is known already is left as it is.

        Raises:
            UserError: The type is unknown.
        """
        with self._lock:
            self._add_topic(topic)

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Write one serialized message.

        Args:
            topic: A topic announced before.
            stamp_ns: Time of recording, nanoseconds.
            cdr: The message as it came over the wire, with its 4-byte encapsulation header.

        Raises:
            KeyError: The topic was not announced.
            UserError: The disk is full, or the file cannot be written for another reason.
            ValueError: The bag is closed.
        """
        with self._lock:
            if self.closed:
                raise ValueError(f'bag {self.path} is closed')
            channel = self._channels[topic]
            audit = self.audit[topic]
            try:
                self._writer.add_message(channel, stamp_ns, cdr, stamp_ns, audit.count)
                audit.add(stamp_ns)
                self._pending += len(cdr)
                if self._pending >= self._chunk_bytes or self._due():
                    self._flush()
            except OSError as error:
                raise self._failed(error) from error

    def flush_if_due(self) -> None:
        """Close the chunk if it is older than chunk_seconds: for a timer, when topics fall silent.

        Raises:
            UserError: The file cannot be written.
        """
        with self._lock:
            if self.closed or not self._pending or not self._due():
                return
            try:
                self._flush()
            except OSError as error:
                raise self._failed(error) from error

    def close(self, custom_data: Mapping[str, str] | None = None) -> None:
        """Write index and metadata; a second call does nothing.

        Args:
            custom_data: Entries to add or change, such as the outcome.

        Raises:
            UserError: The file cannot be written; what was flushed before stays readable.
            ValueError: The outcome is not one of OUTCOMES.
        """
        updates = {k: str(v) for k, v in (custom_data or {}).items()}
        if updates.get('outcome', 'unlabelled') not in OUTCOMES:
            raise ValueError(f'outcome must be one of {OUTCOMES}, not {updates["outcome"]}')
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self.custom_data.update(updates)
            self.custom_data[COMPLETE] = 'true'
            try:
                self._writer.flush()
                serialized = yaml.safe_dump(self._information(), sort_keys=False)
                self._writer.add_metadata('rosbag2', {'serialized_metadata': serialized})
                self._writer.finish()
                self._stream.flush()
                os.fsync(self._stream.fileno())
                self._stream.close()
                self._write_metadata()
            except OSError as error:
                raise self._failed(error) from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close({'outcome': 'aborted'} if kind is not None else None)

    @property
    def message_count(self) -> int:
        """Messages written so far, over all topics."""
        return sum(a.count for a in self.audit.values())

    def _due(self) -> bool:
        return time.monotonic() - self._flushed_at >= self._chunk_seconds

    def _flush(self) -> None:
        self._writer.flush()
        self._pending, self._flushed_at = 0, time.monotonic()
        self.flushed = self.message_count

    def _failed(self, error: OSError) -> UserError:
        self.closed = True
        with contextlib.suppress(OSError, AttributeError):
            self._stream.close()
        return UserError(
            f'bag {self.path} cannot be written ({error.strerror or error}); '
            'what was recorded before is kept'
        )

    def _add_topic(self, topic: TopicSpec) -> None:
        if topic.topic in self._channels:
            return
        spec = described(topic)
        if spec.type not in self._schemas:
            self._schemas[spec.type] = self._writer.register_schema(
                spec.type, spec.encoding if spec.definition else '', spec.definition.encode()
            )
        profiles = yaml.safe_dump(dump_qos_v9(spec.profiles()), sort_keys=False)
        self._channels[spec.topic] = self._writer.register_channel(
            spec.topic,
            'cdr',
            self._schemas[spec.type],
            {'offered_qos_profiles': profiles, 'topic_type_hash': spec.type_hash},
        )
        self._topics[spec.topic] = spec
        self.audit[spec.topic] = TopicAudit()

    def _information(self) -> dict[str, Any]:
        counted = [a for a in self.audit.values() if a.count]
        start = min((a.first_ns for a in counted), default=0)
        length = max((a.last_ns for a in counted), default=0) - start
        span = {
            'starting_time': {'nanoseconds_since_epoch': start},
            'duration': {'nanoseconds': length},
            'message_count': self.message_count,
        }
        return {
            'version': METADATA_VERSION,
            'storage_identifier': 'mcap',
            **{k: dict(v) if isinstance(v, dict) else v for k, v in span.items()},
            'topics_with_message_count': [
                {
                    'topic_metadata': {
                        'name': spec.topic,
                        'type': spec.type,
                        'serialization_format': 'cdr',
                        'offered_qos_profiles': dump_qos_v9(spec.profiles()),
                        'type_description_hash': spec.type_hash,
                    },
                    'message_count': self.audit[spec.topic].count,
                }
                for spec in self._topics.values()
            ],
            'compression_format': '',
            'compression_mode': '',
            'relative_file_paths': [self.file.name],
            'files': [{'path': self.file.name, **span}],
            'custom_data': dict(self.custom_data),
            'ros_distro': 'jazzy',
        }

    def _write_metadata(self) -> None:
        target = self.path / 'metadata.yaml'
        draft = self.path / 'metadata.yaml.tmp'
        text = yaml.safe_dump(
            {'rosbag2_bagfile_information': self._information()}, sort_keys=False, width=100
        )
        draft.write_text(text, 'utf-8')
        draft.replace(target)


__all__ = ['COMPLETE', 'OUTCOMES', 'BagWriter', 'TopicAudit', 'TopicSpec']
