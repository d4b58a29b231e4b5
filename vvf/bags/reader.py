# SPDX-License-Identifier: Apache-2.0
"""Reads bags of rosbag2, Humble to Jazzy, MCAP or SQLite, whole or damaged, without ROS."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
import zstandard
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from vvf.bags.mcap_file import McapFile
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
        known = tuple(f.bytes_lost for f in self._files)
        if self._loss is None or self._loss[0] != known:
            loss = self._measure_loss(self._info)
            self._loss = (tuple(f.bytes_lost for f in self._files), loss)
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
        total: Counter[str] = Counter()
        for file in self._files:
            total += file.counts()
        return total

    def messages(
        self, topics: Collection[str] | None = None
    ) -> Iterator[tuple[str, str, int, bytes]]:
        """Yield (topic, type, time of recording in ns, CDR bytes) in order of time.

        Args:
            topics: Only these; all where it is None.
        """
        for file in self._files:
            for topic, stamp, raw in file.messages(topics):
                if self._per_message:
                    try:
                        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
                    except zstandard.ZstdError:
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
        info = _read_metadata(self.path / 'metadata.yaml') if self.path.is_dir() else {}
        mode = str(info.get('compression_mode') or '').lower()
        self._per_message = mode == 'message'
        self._files = [self._open_file(p) for p in _storage_files(self.path, info)]
        info = info or next((i for f in self._files if (i := f.information())), {})
        self.topics: dict[str, TopicSpec] = {}
        for file in self._files:
            self.topics.update(file.topics)
        self._add_hashes(info)
        stored = next((f.metadata['vvf'] for f in self._files if 'vvf' in f.metadata), {})
        custom = info.get('custom_data') or stored
        self.custom_data = {str(k): str(v) for k, v in custom.items()}
        self.recorded = {
            str(t['topic_metadata']['name']): int(t['message_count'])
            for t in info.get('topics_with_message_count') or []
            if self.custom_data.get(COMPLETE, 'true') == 'true'
        }
        self._info = info

    def _open_file(self, path: Path) -> McapFile | SqliteFile:
        if path.suffix == '.zstd':
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix='vvf-bag-')
            plain = Path(self._scratch.name) / path.stem
            with path.open('rb') as source, plain.open('wb') as target:
                reader = zstandard.ZstdDecompressor().stream_reader(source)
                # What was decompressed before the damage is read, and the rest counts as lost.
                with contextlib.suppress(zstandard.ZstdError):
                    shutil.copyfileobj(reader, target)
            path = plain
        try:
            return SqliteFile(path) if path.suffix == '.db3' else McapFile(path)
        except OSError as error:
            raise UserError(f'{path} cannot be read: {error.strerror}') from error

    def _add_hashes(self, info: dict[str, Any]) -> None:
        for entry in info.get('topics_with_message_count') or []:
            about = entry.get('topic_metadata', {})
            spec = self.topics.get(about.get('name', ''))
            if spec is not None and not spec.type_hash:
                self.topics[spec.topic] = TopicSpec(
                    spec.topic, spec.type, spec.qos, spec.definition,
                    about.get('type_description_hash') or '', spec.encoding, spec.qos_profiles,
                )  # fmt: skip

    def _measure_loss(self, info: dict[str, Any]) -> Loss:
        damage = next((f.damage for f in self._files if f.damage), '')
        expected = int(info.get('message_count') or 0)
        trusted = bool(expected) and self.custom_data.get(COMPLETE, 'true') == 'true'
        if not damage and not trusted:
            return Loss()
        # A whole file says so at its end, and only then is it not worth counting.
        if not damage and all(isinstance(f, McapFile) for f in self._files):
            return Loss()
        found, first, last = 0, 0, 0
        for file in self._files:
            for _, stamp, _ in file.messages(data=False):
                found, first, last = found + 1, first or stamp, max(last, stamp)
        damage = damage or next((f.damage for f in self._files if f.damage), '')
        lost_bytes = sum(f.bytes_lost for f in self._files)
        if trusted:
            start = int((info.get('starting_time') or {}).get('nanoseconds_since_epoch') or 0)
            end = start + int((info.get('duration') or {}).get('nanoseconds') or 0)
            missing = max(0, expected - found)
            seconds = max(0.0, (end - max(last, start)) * 1e-9) if missing else 0.0
            return Loss(bool(damage), damage, lost_bytes, missing, seconds)
        read = max(1, sum(f.path.stat().st_size for f in self._files) - lost_bytes)
        share = lost_bytes / read
        return Loss(
            True, damage, lost_bytes, round(found * share), (last - first) * 1e-9 * share, False
        )


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


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read metadata.yaml; empty where it is missing or damaged, since bags can do without."""
    try:
        data = yaml.safe_load(path.read_text('utf-8'))
        info = data['rosbag2_bagfile_information']
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return info if isinstance(info, dict) else {}


def _storage_files(path: Path, info: dict[str, Any]) -> list[Path]:
    if path.is_file():
        if path.suffix == '.bag':
            raise UserError(f'{path} is a ROS 1 bag: convert it with rosbags-convert')
        return [path]
    # Metadata of ROS 2 Foxy name the files with their folder, and folders get renamed.
    named = [path / Path(str(p)).name for p in info.get('relative_file_paths') or []]
    files = [p for p in named if p.is_file()] or _data_files(path)
    if not files:
        inside = sum(is_bag(p) for p in path.iterdir() if p.is_dir())
        hint = f'; it holds {inside} bags, give those' if inside else ''
        raise UserError(f'{path} is not a bag: there is no .mcap or .db3 file in it{hint}')
    return files
