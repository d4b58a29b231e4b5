# SPDX-License-Identifier: Apache-2.0
"""What is written can be read: by vvf, by rosbags, from MCAP and from SQLite."""

import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from tests.shared_data import shared_data
from tests.vvf.bag_factory import START_NS, cdr, event, joints, make, pixels, write_episode
from vvf.bags import BagWriter, TopicSpec, open_bag
from vvf.bags.reader import DecodeError
from vvf.bags.typestore import typestore
from vvf.errors import UserError
from vvf.task import load_task

JOINTS = TopicSpec('/joint_states', 'sensor_msgs/msg/JointState')


def test_round_trip_and_custom_data(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep', frames=12, live=True, takeover=(3, 6))
    with open_bag(path) as bag:
        assert not bag.loss
        assert bag.task == load_task('pick_place')
        assert bag.episode_id == 'ep'
        assert bag.custom_data['outcome'] == 'success'
        counts = bag.counts()
        assert counts['/shoulder/image_raw'] == counts['/vvf/value'] == 12
        assert counts['/vvf/episode'] == 2
        assert dict(counts) == {k: v for k, v in bag.recorded.items() if v}
        stamps = []
        for topic, kind, stamp, raw in bag.messages():
            message = bag.deserialize(raw, kind)
            stamps.append(stamp)
            if topic == '/shoulder/image_raw':
                index = (stamp - START_NS) // 100_000_000
                np.testing.assert_array_equal(message.data.reshape(48, 48, 3), pixels(index))
        assert stamps == sorted(stamps)
        assert len(stamps) == counts.total()


def test_other_readers_agree(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep', live=True)
    store = typestore()
    with open_bag(path) as bag, AnyReader([path], default_typestore=store) as other:
        ours = list(bag.messages())
        theirs = [(c.topic, c.msgtype, stamp, raw) for c, stamp, raw in other.messages()]
        assert ours == theirs
        by_topic = {c.topic: c for c in other.connections}
        assert by_topic['/vvf/value'].digest == store.hash_rihs01('vvf_msgs/msg/ValueEstimate')
        camera, latched = (by_topic[t].ext for t in ('/shoulder/image_raw', '/vvf/episode'))
        assert camera.offered_qos_profiles[0].reliability == QosReliability.BEST_EFFORT
        assert latched.offered_qos_profiles[0].durability == QosDurability.TRANSIENT_LOCAL
    with (path / 'ep.mcap').open('rb') as file:
        reader = make_reader(file, validate_crcs=True)
        assert sum(1 for _ in reader.iter_messages()) == len(ours)
        chunks = reader.get_summary().chunk_indexes
        assert {c.compression for c in chunks} == {'zstd'}


@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_chunks_of_either_compression_are_read_by_all(tmp_path: Path, compression: str) -> None:
    message = cdr(joints(START_NS, ['waist'], np.zeros(1)))
    with BagWriter(tmp_path / 'ep', [JOINTS], compression=compression) as writer:
        for i in range(20):
            writer.write('/joint_states', START_NS + i, message)
    with (tmp_path / 'ep' / 'ep.mcap').open('rb') as stream:
        summary = make_reader(stream).get_summary()
        assert summary is not None
        assert {index.compression for index in summary.chunk_indexes} == {compression}
    with AnyReader([tmp_path / 'ep']) as bag:
        assert [raw for _, _, raw in bag.messages()] == [message] * 20
    with open_bag(tmp_path / 'ep') as bag:
        assert [raw for *_, raw in bag.messages()] == [message] * 20


def test_metadata_are_those_of_rosbag2(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep', frames=5)
    info = yaml.safe_load((path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert info['version'] == 9
    assert info['storage_identifier'] == 'mcap'
    assert info['relative_file_paths'] == ['ep.mcap']
    assert info['message_count'] == sum(
        t['message_count'] for t in info['topics_with_message_count']
    )
    assert info['starting_time']['nanoseconds_since_epoch'] == START_NS - 1
    assert info['duration']['nanoseconds'] == 4 * 100_000_000 + 2
    assert info['custom_data']['complete'] == 'true'
    assert all(isinstance(v, str) for v in info['custom_data'].values())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / 'ep').mkdir()
    with pytest.raises(UserError, match='exists already and is never overwritten'):
        BagWriter(tmp_path / 'ep', [JOINTS])


def test_writer_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'no/msg/Such' is not known"):
        BagWriter(tmp_path / 'a', [TopicSpec('/a', 'no/msg/Such')])
    writer = BagWriter(tmp_path / 'b', [JOINTS])
    with pytest.raises(KeyError):
        writer.write('/other', 0, b'')
    with pytest.raises(ValueError, match='outcome must be one of'):
        writer.close({'outcome': 'great'})
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match='is closed'):
        writer.write('/joint_states', 0, b'')


def test_audit_counts_gaps_and_rates(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / 'ep', [JOINTS])
    for tenth in (0, 1, 2, 7, 8):
        writer.write('/joint_states', START_NS + tenth * 100_000_000, b'\0\1\0\0')
    audit = writer.audit['/joint_states']
    writer.close()
    assert audit.count == 5
    assert audit.longest_gap_s == pytest.approx(0.5)
    assert audit.rate_hz == pytest.approx(5.0)


def test_an_error_in_between_aborts_the_episode(tmp_path: Path) -> None:
    def fail() -> None:
        with BagWriter(tmp_path / 'ep', [JOINTS]) as writer:
            writer.write('/joint_states', START_NS, cdr(joints(0, ('a',), np.zeros(1))))
            raise RuntimeError('unplugged')

    with pytest.raises(RuntimeError, match='unplugged'):
        fail()
    with open_bag(tmp_path / 'ep') as bag:
        assert bag.custom_data['outcome'] == 'aborted'
        assert bag.counts() == {'/joint_states': 1}


def test_a_full_disk_is_one_sentence_and_keeps_what_was_written(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, resource, signal, sys
        from vvf.bags import BagWriter, TopicSpec
        from vvf.errors import UserError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = BagWriter(sys.argv[1], [TopicSpec('/a', 'std_msgs/msg/String')])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            for i in range(100):
                writer.write('/a', i, os.urandom(100_000))
        except UserError as error:
            print(error)
            writer.close({'outcome': 'success'})
            sys.exit(2)
        """
    )
    assert hasattr(resource, 'RLIMIT_FSIZE')
    assert signal.SIGXFSZ
    done = subprocess.run(
        [sys.executable, '-c', script, str(tmp_path / 'ep')],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert 'cannot be written (File too large)' in done.stdout
    assert done.stdout.count('\n') == 1
    with open_bag(tmp_path / 'ep') as bag:
        assert bag.loss.truncated
        assert bag.counts()['/a'] >= 8
        assert bag.custom_data['outcome'] == 'unlabelled'


@pytest.mark.parametrize(
    ('plugin', 'mode'),
    # All pairs but one: SQLite has no compression of its own.
    [
        (plugin, mode)
        for plugin in StoragePlugin
        for mode in CompressionMode
        if (plugin, mode) != (StoragePlugin.SQLITE3, CompressionMode.STORAGE)
    ],
)
def test_bags_of_other_writers(
    tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode
) -> None:
    writer = Writer(tmp_path / 'other', version=8, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    expected = []
    with writer:
        a = writer.add_connection('/a', 'sensor_msgs/msg/JointState', typestore=typestore())
        b = writer.add_connection('/e', 'vvf_msgs/msg/EpisodeEvent', typestore=typestore())
        # Topic after topic, so that only the stamps can put the messages into order.
        for i in range(50):
            raw = cdr(joints(i, ('a',), np.array([float(i)])))
            expected.append(('/a', a.msgtype, START_NS + 10 * i, raw))
            writer.write(a, START_NS + 10 * i, raw)
        for i in range(50):
            raw = cdr(event(i, 5))
            expected.append(('/e', b.msgtype, START_NS + 10 * i + 5, raw))
            writer.write(b, START_NS + 10 * i + 5, raw)
    expected.sort(key=lambda m: m[2])
    with open_bag(tmp_path / 'other') as bag:
        assert list(bag.messages()) == expected
        assert [m[0] for m in bag.messages(['/e'])] == ['/e'] * 50
        assert not bag.loss
        assert bag.task is None
        assert bag.episode_id == 'other'


def test_a_single_file_is_a_bag_too(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep')
    with open_bag(path / 'ep.mcap') as bag:
        assert bag.custom_data['episode_id'] == 'ep'
        assert bag.counts().total() == 48
        assert not bag.loss


def test_types_that_vvf_does_not_know_are_read_by_the_bags_own_definition(tmp_path: Path) -> None:
    topic = TopicSpec('/m', 'odd_msgs/msg/Odd', definition='float64 height\nstring name\n')
    raw = cdr(make('std_msgs/msg/Float64', 2.5)) + b'\x03\0\0\0ab\0'
    with BagWriter(tmp_path / 'ep', [topic]) as writer:
        writer.write('/m', START_NS, raw)
    with open_bag(tmp_path / 'ep') as bag:
        ((_, kind, _, data),) = bag.messages()
        odd = bag.deserialize(data, kind)
        assert (odd.height, odd.name) == (2.5, 'ab')
        with pytest.raises(DecodeError):
            bag.deserialize(data[:10], kind)
        with pytest.raises(DecodeError):
            bag.deserialize(data, 'never/msg/Heard')


def test_the_real_recording(tmp_path: Path) -> None:
    with open_bag(shared_data('wx200_bag')) as bag:
        assert bag.counts() == {
            '/wx200/joint_states': 2001,
            '/camera/color/image_raw/compressed': 601,
        }
        assert not bag.loss
        for _, kind, _, raw in bag.messages():
            assert bag.deserialize(raw, kind).header.stamp.sec > 0
