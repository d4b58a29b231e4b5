# SPDX-License-Identifier: Apache-2.0
"""Reads bags of rosbag2, Humble to Jazzy, MCAP or SQLite, whole or damaged, without ROS."""

from __future__ import annotations

import contextlib
import heapq
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zstandard
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from vvf.bags.mcap_file import McapFile
from vvf.bags.metadata import Metadata, parse_metadata, read_metadata
from vvf.bags.sqlite_file import SqliteFile
from vvf.bags.topics import TopicSpec
from vvf.bags.typestore import register_definition, typestore
from vvf.bags.writer import COMPLETE
from vvf.errors import UserError
from vvf.task import TaskSpec

_SUFFIXES = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')


class DecodeError(ValueError):
    """The bytes of a message do not fit its type."""


@dataclass(frozen=True)
class Loss:
    """What of a bag cannot be read.

    ``messages`` and ``seconds`` are exact where the bag's metadata tell what was recorded, and
    otherwise estimated from the bytes that cannot be read.
    """

    truncated: bool = False
    reason: str = ''
    bytes: int = 0
    messages: int = 0
    seconds: float = 0.0
    exact: bool = True

    def __bool__(self) -> bool:
        return self.truncated or self.messages > 0

    def __str__(self) -> str:
        about = '' if self.exact else 'about '
        return (
            f'{self.reason or "messages are missing"}: {about}{self.messages} messages '
            f'({about}{self.seconds:.1f} s) and {self.bytes} bytes are lost'
        )


class BagReader:
    """One opened bag; make it with :func:`open_bag` and use it as a context manager.

    Attributes:
        path: The directory or file.
        topics: Topics by name, with type, definition and quality of service.
        custom_data: Strings kept with the bag; empty for bags of other recorders.
        recorded: Messages by topic as the metadata tell it; empty where they do not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[McapFile | SqliteFile] = []
        self._own_types: dict[str, Typestore] = {}
        self._unread: dict[str, str] = {}
        self._unread_bytes = 0
        self._spoilt: set[tuple[str, int]] = set()
        self._loss: tuple[tuple[int, ...], Loss] | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def task(self) -> TaskSpec | None:
        """The task file embedded in the bag; None where there is none.

        Raises:
            UserError: There is one, and it is wrong.
        """
        text = self.custom_data.get('task_file', '')
        return TaskSpec.from_yaml(text, f'embedded in {self.path}') if text else None

    @property
    def episode_id(self) -> str:
        """The id given by the recorder, else the name of the directory or file."""
        return self.custom_data.get('episode_id') or self.path.name.removesuffix('.mcap')

    @property
    def loss(self) -> Loss:
        """What cannot be read; false where everything can.

        A file that was cut off is known from the start; a corrupt chunk in the middle of a file
        that is otherwise whole once the messages have been read.
        """
        if self._loss is None or self._loss[0] != self._damage_so_far():
            loss = self._measure_loss()
            self._loss = (self._damage_so_far(), loss)
        return self._loss[1]

    def lost_on(self, topic: str) -> int:
        """How many messages of a topic are lost: exact or estimated, as ``loss`` is."""
        if not self.loss:
            return 0
        found = self.counts()
        if self.loss.exact:
            return max(0, self.recorded.get(topic, 0) - found[topic])
        return round(self.loss.messages * found[topic] / max(1, found.total()))

    def counts(self) -> Counter[str]:
        """Count the readable messages of each topic."""
        if self._per_message and self._spoilt:
            return Counter(topic for topic, *_ in self.messages())
        return sum((file.counts() for file in self._files), Counter())

    def span_ns(self) -> tuple[int, int]:
        """Times of the first and the last readable message; (0, 0) where there is none.

        It is what the metadata say where they can be trusted, and else all messages are looked at.
        """
        if self._trusted and not self.loss:
            return self._info.start_ns, self._info.end_ns
        stamps = [stamp for _, stamp in self._stamps()]
        return min(stamps, default=0), max(stamps, default=0)

    def messages(
        self, topics: Collection[str] | None = None
    ) -> Iterator[tuple[str, str, int, bytes]]:
        """Yield (topic, type, time of recording in ns, CDR bytes) in order of time.

        Args:
            topics: Only these; all where it is None.
        """
        # Splits follow one another, but a recorder with several threads may overlap them a little.
        streams = [file.messages(topics) for file in self._files]
        for topic, stamp, raw in heapq.merge(*streams, key=lambda message: message[1]):
            if self._per_message:
                try:
                    raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
                except zstandard.ZstdError:
                    self._spoilt.add((topic, stamp))
                    continue
            yield topic, self.topics[topic].type, stamp, raw

    def deserialize(self, cdr: bytes, type_name: str) -> Any:
        """Decode a message.

        Raises:
            DecodeError: The type is unknown, or the bytes do not fit it.
        """
        try:
            return self._store(type_name).deserialize_cdr(cdr, type_name)
        except Exception as error:  # rosbags raises whatever the generated code stumbles over
            raise DecodeError(
                f'{len(cdr)} bytes cannot be decoded as {type_name}: {error}'
            ) from error

    def _store(self, type_name: str) -> Typestore:
        """The types of vvf, or those of the bag where vvf does not know them or knows others."""
        if type_name not in self._own_types:
            shared = typestore()
            specs = [t for t in self.topics.values() if t.type == type_name]
            spec = specs[0] if specs else TopicSpec('', type_name)
            same = type_name in shared.fielddefs and (
                not spec.type_hash or spec.type_hash == shared.hash_rihs01(type_name)
            )
            if same or not spec.definition:
                self._own_types[type_name] = shared
            else:
                store = get_typestore(Stores.EMPTY)
                register_definition(store, type_name, spec.definition)
                self._own_types[type_name] = store
        return self._own_types[type_name]

    def _open(self) -> None:
        if not self.path.exists():
            raise UserError(f'{self.path} does not exist: give a bag directory or an .mcap file')
        info = read_metadata(self.path / 'metadata.yaml') if self.path.is_dir() else Metadata()
        if info.compression_mode in ('message', 'file') and info.compression_format != 'zstd':
            raise UserError(
                f"{self.path} is compressed as '{info.compression_format}', which is not known "
                'here: convert it with ros2 bag convert'
            )
        self._per_message = info.compression_mode == 'message'
        self._open_files(info)
        if info == Metadata():
            stored = (parse_metadata(file.information()) for file in self._files)
            info = next((i for i in stored if i != Metadata()), info)
            if len(self._files) > 1:  # what a split says of itself is not what the bag holds
                info = Metadata(type_hashes=info.type_hashes, custom_data=info.custom_data)
        self.topics: dict[str, TopicSpec] = {}
        for file in self._files:
            self.topics.update(file.topics)
        for topic, type_hash in info.type_hashes.items():
            if topic in self.topics and not self.topics[topic].type_hash:
                self.topics[topic] = replace(self.topics[topic], type_hash=type_hash)
        own = next((f.metadata['vvf'] for f in self._files if 'vvf' in f.metadata), {})
        self.custom_data = dict(info.custom_data or own)
        # What a recorder that was killed had announced is not what it recorded.
        self._trusted = info.message_count > 0 and self.custom_data.get(COMPLETE) != 'false'
        self.recorded = dict(info.counts) if self._trusted else {}
        self._info = info

    def _open_files(self, info: Metadata) -> None:
        """Open what there is; one bad file of several is a loss and no error."""
        paths, missing = _storage_files(self.path, info)
        self._unread = {name: f'the split {name} is missing' for name in missing}
        first: UserError | None = None
        for path in paths:
            try:
                self._files.append(self._open_file(path))
            except UserError as error:
                first = first or error
                self._unread[path.name] = str(error)
                self._unread_bytes += path.stat().st_size
        if not self._files and first is not None:
            raise first

    def _open_file(self, path: Path) -> McapFile | SqliteFile:
        plain = self._decompressed(path) if path.suffix == '.zstd' else path
        try:
            return SqliteFile(plain) if plain.suffix == '.db3' else McapFile(plain)
        except OSError as error:
            raise UserError(f'{path} cannot be read: {error.strerror}') from error
        except UserError as error:  # about the user's file, and not about our copy of it
            raise UserError(str(error).replace(str(plain), str(path))) from error

    def _decompressed(self, path: Path) -> Path:
        self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix='vvf-bag-')
        plain = Path(self._scratch.name) / path.stem
        with path.open('rb') as source, plain.open('wb') as target:
            reader = zstandard.ZstdDecompressor().stream_reader(source)
            # What was decompressed before the damage is read, and the rest counts as lost.
            with contextlib.suppress(zstandard.ZstdError):
                shutil.copyfileobj(reader, target)
        return plain

    def _damage_so_far(self) -> tuple[int, ...]:
        """Changes as reading reveals more."""
        lost = [file.bytes_lost + file.messages_lost for file in self._files]
        return (len(self._spoilt), *lost, *(bool(file.damage) for file in self._files))

    def _measure_loss(self) -> Loss:
        info = self._info
        damage = self._damage()
        if not damage and not self._trusted:
            return Loss()
        # A whole MCAP file counts its messages itself, so that they need not be.
        declared = [-1 if file.declared is None else file.declared for file in self._files]
        if not damage and min(declared) >= 0 and sum(declared) >= info.message_count:
            return Loss()
        found, first, last = 0, 0, 0
        for _, stamp in self._stamps():
            found, first, last = found + 1, first or stamp, max(last, stamp)
        damage = damage or self._damage()
        lost_bytes = self._unread_bytes + sum(f.bytes_lost for f in self._files)
        seconds = sum(f.seconds_lost for f in self._files)
        if self._trusted:
            missing = max(0, info.message_count - found)
            reason = damage or 'there are fewer messages than its metadata say'
            told = [info.file_durations_ns[n] for n in self._unread if n in info.file_durations_ns]
            tail = max(0, info.end_ns - max(last, info.start_ns))
            seconds = max(seconds + sum(told) * 1e-9, tail * 1e-9) if missing else 0.0
            return Loss(
                bool(damage), reason if missing or damage else '', lost_bytes, missing, seconds
            )
        read = max(1, sum(f.path.stat().st_size for f in self._files) - lost_bytes)
        share = lost_bytes / read
        seconds = max(seconds, (last - first) * 1e-9 * share)
        messages = max(round(found * share), sum(f.messages_lost for f in self._files))
        return Loss(True, damage, lost_bytes, messages + len(self._spoilt), seconds, False)

    def _damage(self) -> str:
        """What is known to be wrong, '' if nothing is."""
        if self._spoilt:
            return f'{len(self._spoilt)} messages cannot be decompressed'
        return next((f.damage for f in self._files if f.damage), '') or next(
            iter(self._unread.values()), ''
        )

    def _stamps(self) -> Iterator[tuple[str, int]]:
        """Topic and time of every message; nothing is decompressed where that can be spared."""
        if self._per_message:
            yield from ((topic, stamp) for topic, _, stamp, _ in self.messages())
        else:
            for file in self._files:
                yield from ((topic, stamp) for topic, stamp, _ in file.messages(data=False))


def open_bag(path: str | os.PathLike[str]) -> BagReader:
    """Open a bag: a rosbag2 directory (MCAP or SQLite), or a single .mcap or .db3 file.

    Files that were cut off, and directories whose metadata.yaml is missing or provisional, are read
    as far as they go; ``reader.loss`` says what is missing.

    Raises:
        UserError: It is not a bag, it is empty, or it is of another system.
    """
    return BagReader(Path(path))


def is_bag(path: Path) -> bool:
    """Whether a path looks like one bag (as opposed to, for example, a folder of bags)."""
    if path.is_dir():
        return (path / 'metadata.yaml').exists() or bool(_data_files(path))
    return path.name.endswith(_SUFFIXES)


def _data_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.endswith(_SUFFIXES))


def _storage_files(path: Path, info: Metadata) -> tuple[list[Path], list[str]]:
    """The files of a bag, and the names of those that should be there."""
    if path.is_file():
        if path.suffix == '.bag':
            raise UserError(f'{path} is a ROS 1 bag: convert it with rosbags-convert')
        return [path], []
    found = [name for name in info.files if (path / name).is_file()]
    if found:
        return [path / name for name in found], [n for n in info.files if n not in found]
    files = _data_files(path)
    if not files:
        inside = sum(is_bag(p) for p in path.iterdir() if p.is_dir())
        hint = f'; it holds {inside} bags, give those' if inside else ''
        raise UserError(f'{path} is not a bag: there is no .mcap or .db3 file in it{hint}')
    return files, []
