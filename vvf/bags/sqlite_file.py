# SPDX-License-Identifier: Apache-2.0
"""Reads the SQLite files of rosbag2, the default storage before ROS 2 Iron."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vvf.bags.metadata import profiles
from vvf.bags.topics import TopicSpec
from vvf.errors import UserError

MAGIC = b'SQLite format 3\x00'
_MAX_ROW = 1 << 62
_TOPIC = {'id': int, 'name': str, 'type': str, 'serialization_format': str}


class SqliteFile:
    """One SQLite bag file, opened for reading only.

    Args:
        path: The file.

    Attributes:
        damage: What is wrong with it, '' while nothing is known to be.
        bytes_lost: What the file is shorter than its header says.
        seconds_lost: Always 0, as only metadata.yaml knows.
        declared: Always None: the database counts nothing.

    Raises:
        UserError: The file is empty, not SQLite, not of rosbag2, or not in CDR.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds_lost = 0.0
        self.declared: int | None = None
        self.damage = ''
        self._unsorted = False
        self.metadata: dict[str, dict[str, str]] = {}
        self._lost: set[int] = set()
        with path.open('rb') as file:
            head = file.read(100)
        magic = head[: len(MAGIC)]
        if not magic:
            raise UserError(f'{path} is empty: there is nothing to read')
        if magic != MAGIC:
            raise UserError(f'{path} is not a bag: it does not begin like an SQLite file')
        # A write-ahead log beside the file holds the newest messages of a recorder that was killed.
        log = path.with_name(path.name + '-wal')
        shared = path.with_name(path.name + '-shm')
        self._created = shared if log.exists() and not shared.exists() else None
        mode = 'mode=ro' if log.exists() else 'immutable=1'
        address = f'file:{quote(str(path.absolute()))}?{mode}'
        self._base = sqlite3.connect(address, uri=True, check_same_thread=False)
        size, pages = int.from_bytes(head[16:18], 'big'), int.from_bytes(head[28:32], 'big')
        claimed = (size if size > 1 else 65536) * pages
        # What is still in the log is not yet in the file.
        self.bytes_lost = 0 if log.exists() else max(0, claimed - path.stat().st_size)
        if self.bytes_lost:
            self.damage = 'the database was cut off'
        try:
            self._read_topics()
        except UserError:
            self.close()
            raise

    def _read_topics(self) -> None:
        try:
            # Without it, SQLite opens no file that was cut off; nothing is ever written.
            self._base.execute('PRAGMA writable_schema = ON')
            rows = self._base.execute('SELECT * FROM topics')
            columns = [c[0] for c in rows.description]
            self._topics = [dict(zip(columns, row, strict=True)) for row in rows]
            self._definitions = self._read_definitions()
        except (sqlite3.DatabaseError, ValueError) as error:
            raise UserError(f'{self.path} is not a rosbag2 file: {error}') from error
        for topic in self._topics:
            if not _TOPIC.items() <= {k: type(v) for k, v in topic.items()}.items():
                raise UserError(
                    f'{self.path} is not a rosbag2 file: its table of topics is another one'
                )
            if topic['serialization_format'] != 'cdr':
                raise UserError(
                    f'{self.path} is not a ROS 2 recording: {topic["name"]} is encoded as '
                    f"'{topic['serialization_format']}' and not as cdr"
                )

    @property
    def messages_lost(self) -> int:
        """Rows found so far that cannot be read."""
        return len(self._lost)

    def close(self) -> None:
        """Close the file."""
        self._base.close()
        if self._created is not None:  # SQLite's own, and no part of the bag
            self._created.unlink(missing_ok=True)

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
                qos_profiles=profiles(topic.get('offered_qos_profiles')),
            )
        return result

    def information(self) -> Any:
        """None: this storage keeps its information in metadata.yaml alone."""
        return None

    def messages(
        self, topics: Collection[str] | None = None, *, data: bool = True
    ) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, time of recording in ns, CDR bytes) in order of time.

        Those of a damaged database come in the order in which they were written, which can still be
        read, and what lies behind a damaged page is looked for by its number.
        """
        names = {t['id']: t['name'] for t in self._topics if topics is None or t['name'] in topics}
        if not names:
            return
        for number, key, stamp in self._rows(tuple(names)):
            raw = self._data(number) if data or self.damage else b''
            # A damaged page can hold rows of any type, and numbers out of order.
            if not (isinstance(stamp, int) and isinstance(raw, bytes)):
                self._lost.add(number)
            else:
                yield names[key], stamp, raw if data else b''

    def counts(self) -> Counter[str]:
        """Count the readable messages of each topic."""
        return Counter(topic for topic, _, _ in self.messages(data=False))

    def _data(self, number: int) -> Any:
        """The bytes of one message; None if they cannot be read."""
        try:
            return self._base.execute(
                'SELECT data FROM messages WHERE id = ?', (number,)
            ).fetchone()[0]
        except (sqlite3.DatabaseError, TypeError) as error:
            self.damage = self.damage or f'the database is damaged ({error})'
            return None

    def _rows(self, keys: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
        """Number, topic and time of the rows of some topics."""
        marks = ','.join('?' * len(keys))
        query = f'SELECT id, topic_id, timestamp FROM messages WHERE topic_id IN ({marks})'
        if not self._unsorted:
            try:
                # The plus keeps SQLite from using an index, which could be damaged where the table
                # is not; so it reads all rows before it gives the first.
                yield from self._base.execute(f'{query} ORDER BY +timestamp, id', keys)
                return
            except sqlite3.DatabaseError as error:
                self._unsorted = True
                self.damage = self.damage or f'the database is damaged ({error})'
        query = f'{query} AND id >= ? ORDER BY id'
        first, step = 0, 1
        while first < _MAX_ROW:  # in steps that grow as long as nothing can be read
            try:
                for row in self._base.execute(query, (*keys, first)):
                    yield row
                    first, step = max(first, row[0]) + 1, 1
                return
            except sqlite3.DatabaseError:
                first, step = first + step, 2 * step

    def _read_definitions(self) -> dict[str, tuple[str, str]]:
        try:
            rows = self._base.execute(
                'SELECT topic_type, encoded_message_definition, encoding FROM message_definitions'
            )
            return {row[0]: (row[1], row[2]) for row in rows}
        except sqlite3.DatabaseError:
            return {}
