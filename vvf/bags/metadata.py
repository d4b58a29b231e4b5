# SPDX-License-Identifier: Apache-2.0
"""What the metadata of rosbag2 say about a bag, from Foxy to Jazzy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rosbags.rosbag2.metadata import parse_qos


@dataclass(frozen=True)
class Metadata:
    """The entries that are needed to read a bag; a bag without metadata has none of them.

    Attributes:
        files: Names of the files, in order.
        compression_mode: '', 'message', 'file' or 'storage'.
        compression_format: Such as 'zstd'.
        start_ns: Time of the first message.
        duration_ns: From the first message to the last.
        message_count: Messages of all topics.
        counts: Messages by topic.
        type_hashes: Hashes of the types by topic, as far as they are told.
        custom_data: Strings kept with the bag.
        file_durations_ns: Duration by file, where it is told.
    """

    files: tuple[str, ...] = ()
    compression_mode: str = ''
    compression_format: str = ''
    start_ns: int = 0
    duration_ns: int = 0
    message_count: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    type_hashes: Mapping[str, str] = field(default_factory=dict)
    custom_data: Mapping[str, str] = field(default_factory=dict)
    file_durations_ns: Mapping[str, int] = field(default_factory=dict)

    @property
    def end_ns(self) -> int:
        """Time of the last message."""
        return self.start_ns + self.duration_ns


def read_metadata(file: Path) -> Metadata:
    """Read a metadata.yaml; empty where it is missing or damaged, since bags can do without."""
    try:
        data = yaml.safe_load(file.read_text('utf-8'))
        return parse_metadata(data['rosbag2_bagfile_information'])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return Metadata()


def parse_metadata(info: Any) -> Metadata:
    """Take the entries from ``rosbag2_bagfile_information``; all empty where one is malformed."""
    try:
        topics = [
            (entry['topic_metadata'], int(entry['message_count']))
            for entry in info.get('topics_with_message_count') or []
        ]
        return Metadata(
            # Foxy names the files with their folder, and folders get renamed.
            files=tuple(Path(str(p)).name for p in info.get('relative_file_paths') or []),
            compression_mode=str(info.get('compression_mode') or '').lower(),
            compression_format=str(info.get('compression_format') or '').lower(),
            start_ns=_number(info, 'starting_time', 'nanoseconds_since_epoch'),
            duration_ns=_number(info, 'duration', 'nanoseconds'),
            message_count=int(info.get('message_count') or 0),
            counts={str(about['name']): count for about, count in topics},
            type_hashes={
                str(about['name']): str(about['type_description_hash'])
                for about, _ in topics
                if about.get('type_description_hash')
            },
            custom_data={str(k): str(v) for k, v in (info.get('custom_data') or {}).items()},
            file_durations_ns={
                Path(str(part['path'])).name: _number(part, 'duration', 'nanoseconds')
                for part in info.get('files') or []
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return Metadata()


def profiles(text: Any) -> tuple[Any, ...]:
    """The offered quality of service as a file stores it; none where it is damaged."""
    try:
        return tuple(parse_qos(text or ''))
    except Exception:  # a damaged profile must not keep anybody from the messages
        return ()


def _number(info: Any, *keys: str) -> int:
    for key in keys:
        info = info.get(key) or {}
    return int(info or 0)
