# SPDX-License-Identifier: Apache-2.0
"""Thirteen kinds of broken bags: saved with the loss counted, or refused in one sentence."""

import hashlib
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from tests.vvf.bag_factory import START_NS, cdr, make, write_episode
from tests.vvf.broken_bags import (
    BROKEN,
    CAMERA,
    FRAMES,
    by_rosbags,
    data_file,
    metadata,
    split,
    write_metadata,
)
from vvf.bags import BagWriter, open_bag
from vvf.cli.main import main
from vvf.errors import UserError
from vvf.task import load_task
from vvf_models.checkpoints import save_checkpoint
from vvf_models.values.icvf import Icvf, IcvfConfig


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained value model of one camera."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('checkpoints') / 'tiny'
    config = IcvfConfig(cameras=('shoulder',), state_dim=0, image_size=32, latent_dim=32)
    goals = {'shoulder': torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)}
    save_checkpoint(folder, 'icvf', config, Icvf(config).state_dict(), 'untrained', goals)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [p for p in sorted(folder.rglob('*')) if p.is_file()]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize('kind', BROKEN)
def test_broken_bags_are_saved_or_refused(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    broken = BROKEN[kind]
    bag = broken.make(tmp_path / 'bags' / 'ep')
    before = digests(bag)
    numbers = tmp_path / 'numbers.json'
    words = ['relabel', bag, '--value', checkpoint, '--out', tmp_path / 'out', '--json', numbers]
    # A bag without metadata says nothing of its task.
    words += ['--task', 'pick_place'] if kind == 'missing metadata' else []
    code = main([str(word) for word in words])
    said = capsys.readouterr().err
    assert broken.said in said
    if broken.saved is None:
        assert code == 2
        assert said.startswith('vvf: ')
        assert said.count('\n') == 1
    else:
        assert code == 0, said
        found = json.loads(numbers.read_text())
        low, high = broken.saved
        assert low <= found['frames_scored'] <= high
        if high < FRAMES:
            # What a database has lost is an estimate.
            lost = FRAMES - found['frames_scored']
            assert found['frames_lost'] == pytest.approx(lost, abs=3)
            assert 'lost' in said
    assert digests(bag) == before


@pytest.mark.parametrize('plugin', StoragePlugin)
@pytest.mark.parametrize('mode', [CompressionMode.MESSAGE, CompressionMode.FILE])
def test_the_damage_of_compressed_bags_is_counted(
    tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode
) -> None:
    bag = by_rosbags(write_episode(tmp_path / 'ep', FRAMES), plugin, mode)
    file = data_file(bag)
    data = file.read_bytes()
    begin = len(data) // 2
    file.write_bytes(data[:begin] + bytes(2000) + data[begin + 2000 :])
    with open_bag(bag) as reader:
        found = sum(1 for _ in reader.messages())
        assert 0 < found < 4 * FRAMES
        assert reader.loss.messages == 4 * FRAMES - found
        assert reader.lost_on(CAMERA) == FRAMES - reader.counts()[CAMERA]
        assert 'vvf-bag' not in str(reader.loss)  # the folder of the decompressed copy


def test_splits_are_one_bag(tmp_path: Path) -> None:
    with open_bag(write_episode(tmp_path / 'whole', FRAMES)) as reader:
        everything = list(reader.messages())
    bag = split(write_episode(tmp_path / 'ep', FRAMES))
    with open_bag(bag) as reader:
        assert list(reader.messages()) == everything
        assert not reader.loss
    # Without the metadata they are found by their names, and put into order by their stamps.
    (bag / 'metadata.yaml').unlink()
    with open_bag(bag) as reader:
        assert list(reader.messages()) == everything
        assert not reader.loss


def test_what_is_wrong_with_one_split_is_a_loss(tmp_path: Path) -> None:
    bag = split(write_episode(tmp_path / 'ep', FRAMES))
    info = metadata(bag)
    lost = info['files'][2]
    (bag / lost['path']).write_bytes(b'')
    with open_bag(bag) as reader:
        assert 'ep_2.mcap is empty' in str(reader.loss)
        assert reader.loss.messages == lost['message_count']
        assert reader.loss.seconds == pytest.approx(lost['duration']['nanoseconds'] * 1e-9, abs=0.1)
    (bag / info['files'][1]['path']).unlink()
    with open_bag(bag) as reader:
        assert reader.counts().total() == info['files'][0]['message_count']
    (bag / info['files'][0]['path']).unlink()
    with pytest.raises(UserError, match=r'ep_2\.mcap is empty'):
        open_bag(bag)


def test_what_lies_behind_the_damage_is_found_by_the_index(tmp_path: Path) -> None:
    bag = BROKEN['zeroed bytes'].make(tmp_path / 'ep')
    with open_bag(bag) as reader:
        frames = [(stamp, raw) for _, _, stamp, raw in reader.messages([CAMERA])]
        assert reader.loss.messages == 4 * FRAMES - reader.counts().total()
        assert reader.loss.seconds > 0.1
    stamps = [stamp for stamp, _ in frames]
    with open_bag(write_episode(tmp_path / 'whole', FRAMES)) as reader:
        expected = {stamp: raw for _, _, stamp, raw in reader.messages([CAMERA])}
    assert {stamps[0], stamps[-1]} == {min(expected), max(expected)}
    assert all(expected[stamp] == raw for stamp, raw in frames)


def test_what_a_killed_recorder_left_in_the_log_is_read(tmp_path: Path) -> None:
    """SQLite's write-ahead log holds the newest messages, and is not put into the database."""
    bag = by_rosbags(write_episode(tmp_path / 'ep', FRAMES), StoragePlugin.SQLITE3)
    killed = tmp_path / 'killed'
    base = sqlite3.connect(data_file(bag))
    base.execute('PRAGMA journal_mode = WAL')
    base.execute('PRAGMA wal_autocheckpoint = 0')
    base.execute('INSERT INTO messages (topic_id, timestamp, data) SELECT topic_id, timestamp + 1, '
                 'data FROM messages')  # fmt: skip
    base.commit()
    killed.mkdir()
    for suffix in ('', '-wal'):
        shutil.copy(f'{data_file(bag)}{suffix}', killed)
    base.close()
    before = digests(killed)
    with open_bag(killed) as reader:
        assert reader.counts()[CAMERA] == 2 * FRAMES
        assert not reader.loss
    assert digests(killed) == before


@pytest.mark.parametrize('version', [4, 5, 6, 8])
def test_metadata_of_older_versions(tmp_path: Path, version: int) -> None:
    """Foxy, Humble, Iron and Jazzy, as their sources write it."""
    bag = by_rosbags(write_episode(tmp_path / 'ep', 5), StoragePlugin.SQLITE3)
    info = metadata(bag)
    info['version'] = version
    if version < 6:
        for key in ('custom_data', 'ros_distro'):
            info.pop(key, None)
        for topic in info['topics_with_message_count']:
            del topic['topic_metadata']['type_description_hash']
    if version < 9:
        for topic in info['topics_with_message_count']:
            about = topic['topic_metadata']
            about['offered_qos_profiles'] = yaml.safe_dump(about['offered_qos_profiles'])
    if version < 5:
        del info['files']
        info['relative_file_paths'] = [f'{bag.name}/{data_file(bag).name}']
    write_metadata(bag, info)
    with open_bag(bag) as reader:
        assert reader.counts().total() == 20
        assert not reader.loss
        assert reader.task == (load_task('pick_place') if version >= 6 else None)


@pytest.mark.parametrize(
    'change',
    [
        {'message_count': 'many'},
        {'topics_with_message_count': 5},
        {'relative_file_paths': {'a': 1}},
        {'starting_time': [1, 2], 'custom_data': 'none'},
        {'topics_with_message_count': [{'message_count': 3}]},
    ],
)
def test_metadata_that_make_no_sense_are_done_without(
    tmp_path: Path, change: dict[str, object]
) -> None:
    bag = write_episode(tmp_path / 'ep', 5)
    write_metadata(bag, {**metadata(bag), **change})
    with open_bag(bag) as reader:
        assert reader.counts().total() == 20
        assert not reader.loss
        assert reader.task == load_task('pick_place')


@pytest.mark.parametrize(
    ('topic', 'needed'),
    [
        (CAMERA, 'sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage'),
        ('/joint_states', 'sensor_msgs/msg/JointState'),
        ('/vvf/action', 'vvf_msgs/msg/Action'),
    ],
)
def test_a_topic_of_another_type_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], topic: str, needed: str
) -> None:
    text = cdr(make('std_msgs/msg/String', 'hello'))
    with open_bag(write_episode(tmp_path / 'whole', 5)) as reader:
        topics = [
            replace(spec, type='std_msgs/msg/String', definition='', type_hash='')
            if spec.topic == topic
            else spec
            for spec in reader.topics.values()
        ]
        with BagWriter(tmp_path / 'ep', topics, dict(reader.custom_data)) as writer:
            writer.write(topic, START_NS, text)
            for name, _, stamp, raw in reader.messages():
                if name != topic:
                    writer.write(name, stamp, raw)
    assert main(['export', 'lerobot', str(tmp_path / 'ep'), '--out', str(tmp_path / 'out')]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f'{topic} is std_msgs/msg/String' in said
    assert needed in said
    assert main(['episodes', str(tmp_path / 'ep')]) == 0


def test_a_compression_that_nobody_knows_is_named(tmp_path: Path) -> None:
    bag = write_episode(tmp_path / 'ep', 5)
    write_metadata(
        bag, {**metadata(bag), 'compression_mode': 'MESSAGE', 'compression_format': 'snappy'}
    )
    with pytest.raises(UserError, match="compressed as 'snappy', which is not known here: convert"):
        open_bag(bag)
