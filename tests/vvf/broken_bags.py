# SPDX-License-Identifier: Apache-2.0
"""Bags in other storages and splits, and the thirteen ways in which tests break them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from tests.vvf.bag_factory import FRAME_NS, START_NS, cdr, header, image, make, write_episode
from vvf.bags import BagWriter, TopicSpec, open_bag
from vvf.bags.typestore import typestore

FRAMES = 40
CAMERA = '/shoulder/image_raw'


@dataclass(frozen=True)
class Broken:
    """A way to break a bag.

    ``said`` is what the sentence holds. ``saved`` is a range of frames that are still scored; None
    where the bag is refused.
    """

    make: Callable[[Path], Path]
    said: str
    saved: tuple[int, int] | None = None


def rewritten(bag: Path, change: Callable[[str, int, bytes], bytes]) -> Path:
    """Writes a bag anew, each message changed by `change(topic, frame, bytes)`."""
    old = bag.rename(bag.with_name(f'{bag.name}_old'))
    with open_bag(old) as reader:
        custom = {**reader.custom_data, 'episode_id': bag.name}
        with BagWriter(bag, reader.topics.values(), custom) as writer:
            for topic, _, stamp, raw in reader.messages():
                writer.write(topic, stamp, change(topic, (stamp - START_NS + 5) // FRAME_NS, raw))
    shutil.rmtree(old)
    return bag


def by_rosbags(
    bag: Path, plugin: StoragePlugin, mode: CompressionMode = CompressionMode.NONE
) -> Path:
    """Writes a bag anew with the writer of rosbags."""
    old = bag.rename(bag.with_name(f'{bag.name}_old'))
    writer = Writer(bag, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with open_bag(old) as reader, writer:
        for key, text in reader.custom_data.items():
            writer.set_custom_data(key, text)
        connections = {
            name: writer.add_connection(name, spec.type, typestore=typestore())
            for name, spec in reader.topics.items()
        }
        for topic, _, stamp, raw in reader.messages():
            writer.write(connections[topic], stamp, raw)
    shutil.rmtree(old)
    return bag


def split(bag: Path, parts: int = 3) -> Path:
    """Cuts a bag's file into several, as a recorder with a greatest file size does."""
    old = bag.rename(bag.with_name(f'{bag.name}_old'))
    info = metadata(old)
    with open_bag(old) as reader:
        everything = list(reader.messages())
        topics, custom = list(reader.topics.values()), dict(reader.custom_data)
    bag.mkdir()
    info['relative_file_paths'], info['files'] = [], []
    for number, rows in enumerate(np.array_split(np.arange(len(everything)), parts)):
        name = f'{bag.name}_{number}.mcap'
        with BagWriter(bag.with_name('part'), topics, custom, file_name=name) as writer:
            for row in rows:
                topic, _, stamp, raw = everything[row]
                writer.write(topic, stamp, raw)
        (part,) = metadata(bag.with_name('part'))['files']
        shutil.move(bag.with_name('part') / name, bag / name)
        shutil.rmtree(bag.with_name('part'))
        info['relative_file_paths'].append(name)
        info['files'].append(part)
    write_metadata(bag, info)
    shutil.rmtree(old)
    return bag


def metadata(bag: Path) -> dict[str, Any]:
    text = (bag / 'metadata.yaml').read_text()
    return dict(yaml.safe_load(text)['rosbag2_bagfile_information'])


def write_metadata(bag: Path, info: dict[str, Any]) -> None:
    (bag / 'metadata.yaml').write_text(yaml.safe_dump({'rosbag2_bagfile_information': info}))


def data_file(bag: Path) -> Path:
    return next(p for p in sorted(bag.iterdir()) if p.name != 'metadata.yaml')


def whole(path: Path) -> Path:
    return write_episode(path, FRAMES)


def _bytes(bag: Path, change: Callable[[bytes], bytes]) -> Path:
    file = data_file(bag)
    file.write_bytes(change(file.read_bytes()))
    return bag


def _cut(share: float) -> Callable[[Path], Path]:
    return lambda path: _bytes(whole(path), lambda data: data[: int(len(data) * share)])


def _footer_lost(path: Path) -> Path:
    return _bytes(whole(path), lambda data: data[:-37])  # the footer record and the magic


def _zeroed(path: Path) -> Path:
    """Zeroes over the head of a chunk in the middle: a page that the disk lost."""
    small = write_episode(path, FRAMES)
    old = small.rename(path.with_name(f'{path.name}_old'))
    with open_bag(old) as reader:
        custom = dict(reader.custom_data)
        with BagWriter(path, reader.topics.values(), custom, chunk_bytes=60_000) as writer:
            for topic, _, stamp, raw in reader.messages():
                writer.write(topic, stamp, raw)
    shutil.rmtree(old)

    def zero(data: bytes) -> bytes:
        begin = len(data) // 2
        return data[:begin] + bytes(60_000) + data[begin + 60_000 :]

    return _bytes(path, zero)


def _bad_magic(path: Path) -> Path:
    return _bytes(whole(path), lambda data: b'\x89PNG0\r\n\n' + data[8:])


def _empty(path: Path) -> Path:
    return _bytes(whole(path), lambda data: b'')


def _wrong_counts(path: Path) -> Path:
    info = metadata(whole(path))
    info['message_count'] += 40
    for topic in info['topics_with_message_count']:
        if topic['topic_metadata']['name'] == CAMERA:
            topic['message_count'] += 40
    write_metadata(path, info)
    return path


def _missing_split(path: Path) -> Path:
    split(whole(path))
    (path / f'{path.name}_1.mcap').unlink()
    return path


def _missing_metadata(path: Path) -> Path:
    (by_rosbags(whole(path), StoragePlugin.SQLITE3) / 'metadata.yaml').unlink()
    return path


def _half_a_database(path: Path) -> Path:
    bag = by_rosbags(whole(path), StoragePlugin.SQLITE3)
    return _bytes(bag, lambda data: data[: len(data) // 2])


def _junk_jpeg(path: Path) -> Path:
    junk = make('sensor_msgs/msg/CompressedImage', header(0), 'jpeg',
                np.frombuffer(b'\xff\xd8\xff' + bytes(range(200)), np.uint8))  # fmt: skip

    def change(topic: str, frame: int, raw: bytes) -> bytes:
        if topic != CAMERA or frame not in (3, 4, 5):
            return raw
        return raw[:12] + cdr(junk)[12:]  # with the stamp of the frame

    bag = write_episode(path, FRAMES)
    old = rewritten(bag, _as_jpeg).rename(path.with_name(f'{path.name}_jpeg'))
    with open_bag(old) as reader:
        topics = [
            TopicSpec(t.topic, 'sensor_msgs/msg/CompressedImage' if t.topic == CAMERA else t.type)
            for t in reader.topics.values()
        ]
        with BagWriter(path, topics, dict(reader.custom_data)) as writer:
            for topic, _, stamp, raw in reader.messages():
                writer.write(topic, stamp, change(topic, (stamp - START_NS) // FRAME_NS, raw))
    shutil.rmtree(old)
    return path


def _as_jpeg(topic: str, frame: int, raw: bytes) -> bytes:
    if topic != CAMERA:
        return raw
    from vvf.images import encode_jpeg

    picture = np.full((48, 48, 3), frame, np.uint8)
    message = make('sensor_msgs/msg/CompressedImage', header(START_NS + frame * FRAME_NS), 'jpeg',
                   np.frombuffer(encode_jpeg(picture), np.uint8))  # fmt: skip
    return cdr(message)


def _short_images(path: Path) -> Path:
    def change(topic: str, frame: int, raw: bytes) -> bytes:
        if topic != CAMERA or frame not in (3, 4, 5):
            return raw
        message = image(START_NS + frame * FRAME_NS, np.zeros((48, 48, 3), np.uint8))
        message.data = message.data[: 48 * 48]  # a third of what the header claims
        return cdr(message)

    return rewritten(whole(path), change)


def _foreign(path: Path) -> Path:
    import sqlite3

    bag = by_rosbags(whole(path), StoragePlugin.SQLITE3)
    with sqlite3.connect(data_file(bag)) as base:
        base.execute("UPDATE topics SET serialization_format = 'protobuf'")
    base.close()
    return bag


BROKEN = {
    'cut at 50 %': Broken(_cut(0.5), 'ends in the middle of a record', (10, 30)),
    'cut at 70 %': Broken(_cut(0.7), 'ends in the middle of a record', (20, 36)),
    'footer lost': Broken(_footer_lost, '', (FRAMES, FRAMES)),
    'zeroed bytes': Broken(_zeroed, 'a part of it is unreadable', (25, FRAMES - 1)),
    'bad magic': Broken(_bad_magic, 'does not begin like an MCAP file'),
    'empty': Broken(_empty, 'is empty'),
    'wrong counts': Broken(_wrong_counts, 'fewer messages than its metadata say', (FRAMES, FRAMES)),
    'missing split': Broken(_missing_split, '_1.mcap is missing', (20, 30)),
    'missing metadata': Broken(_missing_metadata, '', (FRAMES, FRAMES)),
    'half a database': Broken(_half_a_database, 'was cut off', (10, 30)),
    'junk JPEG': Broken(_junk_jpeg, '3 frames lost: undecodable', (FRAMES - 3, FRAMES - 3)),
    'short image': Broken(_short_images, '3 frames lost: undecodable', (FRAMES - 3, FRAMES - 3)),
    'foreign serialisation': Broken(_foreign, "'protobuf' and not as cdr"),
}
