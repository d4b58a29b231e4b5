# SPDX-License-Identifier: Apache-2.0
"""Reads the SQLite files of rosbag2, the default storage before ROS 2 Iron."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rosbags.rosbag2.metadata import parse_qos

from vvf.bags.topics import TopicSpec
from vvf.errors import UserError

MAGIC = b'SQLite format 3\x00'


class SqliteFile:
    """One SQLite bag file, opened for reading only.

    Args:
        path: The file.

    Raises:
        UserError: The file is empty, not SQLite, not of rosbag2, or not in CDR.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_lost = 0
        self.damage = ''
        self.metadata: dict[str, dict[str, str]] = {}
        with path.open('rb') as file:
            magic = file.read(16)
        if not magic:
            raise UserError(f'{path} is empty: there is nothing to read')
        if magic != MAGIC:
            raise UserError(f'{path} is not a bag: it does not begin like an SQLite file')
        # A write-ahead log beside the file holds the newest messages of a recorder that was killed.
        log = path.with_name(path.name + '-wal')
        mode = 'mode=ro' if log.exists() else 'immutable=1'
        address = f'file:{quote(str(path.absolute()))}?{mode}'
        self._base = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            rows = self._base.execute('SELECT * FROM topics')
            columns = [c[0] for c in rows.description]
            self._topics = [dict(zip(columns, row, strict=True)) for row in rows]
            self._definitions = self._read_definitions()
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise UserError(f'{path} is not a rosbag2 file: {error}') from error
        for topic in self._topics:
            if topic['serialization_format'] != 'cdr':
                self._base.close()
                raise UserError(
                    f'{path} is not a ROS 2 recording: {topic["name"]} is encoded as '
                    f"'{topic['serialization_format']}' and not as cdr"
                )

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    @property
    def topics(self) -> dict[str, TopicSpec]:
        """The topics in the file, by name."""
        result = {}
        for topic in self._topics:
            definition, encoding = self._definitions.get(topic['type'], ('', 'ros2msg'))
            result[topic['name']] = TopicSpec(
                topic['name'],
                topic['type'],
                definition=definition,
                type_hash=topic.get('type_description_hash') or '',
                encoding='ros2idl' if encoding == 'ros2idl' else 'ros2msg',
                qos_profiles=tuple(parse_qos(topic.get('offered_qos_profiles') or '')),
            )
        return result

    def information(self) -> dict[str, Any]:
        """Empty: this storage keeps its information in metadata.yaml alone."""
        return {}

    def messages(
        self, topics: Collection[str] | None = None, *, data: bool = True
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, time of recording in ns, CDR bytes) in order of time."""
        names = {t['id']: t['name'] for t in self._topics if topics is None or t['name'] in topics}
        if not names:
            return
        marks = ','.join('?' * len(names))
        column = 'data' if data else "x''"
        # By row number first, since a damaged table can still be read in that order.
        query = f'SELECT topic_id, timestamp, {column} FROM messages WHERE topic_id IN ({marks})'
        order = ' ORDER BY timestamp, id' if self._ordered(names) else ' ORDER BY id'
        try:
            for key, stamp, raw in self._base.execute(query + order, tuple(names)):
                yield names[key], stamp, raw
        except sqlite3.DatabaseError as error:
            self.damage = self.damage or f'the database is damaged ({error})'

    def counts(self) -> Counter[str]:
        """Count the readable messages of each topic."""
        return Counter(topic for topic, _, _ in self.messages(data=False))

    def _ordered(self, names: Collection[int]) -> bool:
        """Whether the whole table can be sorted, that is, read to its end."""
        try:
            self._base.execute(
                f'SELECT max(timestamp), count(data) FROM messages '
                f'WHERE topic_id IN ({",".join("?" * len(names))})',
                tuple(names),
            ).fetchone()
        except sqlite3.DatabaseError:
            return False
        return True

    def _read_definitions(self) -> dict[str, tuple[str, str]]:
        try:
            rows = self._base.execute(
                'SELECT topic_type, encoded_message_definition, encoding FROM message_definitions'
            )
            return {row[0]: (row[1], row[2]) for row in rows}
        except sqlite3.OperationalError:
            return {}
