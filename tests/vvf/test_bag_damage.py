# SPDX-License-Identifier: Apache-2.0
"""Bags that were cut off, corrupted, or are none."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.shared_data import shared_data
from tests.vvf.bag_factory import write_episode
from vvf.bags import open_bag
from vvf.errors import UserError

ROOT = Path(__file__).parents[2]


def test_a_recorder_that_is_killed_leaves_all_chunks_but_the_last(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, sys
        from vvf.bags import BagWriter, TopicSpec
        writer = BagWriter(sys.argv[1], [TopicSpec('/a', 'std_msgs/msg/String')],
                           {'episode_id': 'e7', 'task_file': ''}, chunk_bytes=10_000,
                           chunk_seconds=float('inf'))  # or a slow machine moves the chunks
        i = 0
        while True:
            writer.write('/a', 10**18 + i, i.to_bytes(4, 'little') + os.urandom(996))
            i += 1
            if i % 10 == 0:
                print(i, flush=True)
        """
    )
    path = tmp_path / 'ep'
    with subprocess.Popen(
        [sys.executable, '-c', script, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        told = 0
        while told < 500:
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    told = int(rest[-1]) if rest else told
    with open_bag(path) as bag:
        assert bag.custom_data['episode_id'] == 'e7'
        assert bag.custom_data['outcome'] == 'unlabelled'
        assert bag.custom_data['complete'] == 'false'
        assert bag.loss.truncated
        found = [int.from_bytes(raw[:4], 'little') for *_, raw in bag.messages()]
    assert found == list(range(len(found)))
    # Ten messages fill a chunk, so what was announced had been handed to the system.
    assert len(found) >= told


def cut(source: Path, target: Path, size: int, *, metadata: bool) -> Path:
    target.mkdir()
    if metadata:
        shutil.copy(source / 'metadata.yaml', target)
    data = (source / f'{source.name}.mcap').read_bytes()
    (target / f'{source.name}.mcap').write_bytes(data[:size])
    return target


@pytest.mark.parametrize('metadata', [True, False])
def test_truncated_at_any_offset(tmp_path: Path, metadata: bool) -> None:
    whole = write_episode(tmp_path / 'ep', frames=60)
    size = (whole / 'ep.mcap').stat().st_size
    with open_bag(whole) as bag:
        everything = list(bag.messages())
    shares = (0.02, 0.3, 0.5, 0.77, 0.93)
    sizes = [9, 30, *(round(size * s) for s in shares), size - 200, size - 20]
    before = 0
    for i, length in enumerate(sizes):
        with open_bag(cut(whole, tmp_path / f'cut{i}', length, metadata=metadata)) as bag:
            found = list(bag.messages())
            assert bag.loss.truncated
            assert found == everything[: len(found)]
            assert len(found) >= before
            before = len(found)
            if metadata:
                assert bag.loss.exact
                assert bag.loss.messages == len(everything) - len(found)
                assert bag.custom_data['outcome'] == 'success'
            assert '\n' not in str(bag.loss)
    # All messages lie before the index, so cutting into that costs none.
    assert before == len(everything)


def test_a_chunk_that_was_cut_in_two_still_gives_its_front(tmp_path: Path) -> None:
    source = shared_data('wx200_bag') / 'mcap.mcap'
    half = tmp_path / 'half.mcap'
    half.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with open_bag(half) as bag:
        counts = bag.counts()
        assert counts['/camera/color/image_raw/compressed'] > 280
        assert bag.loss.truncated
        assert 0 < bag.loss.seconds < 3
        for _, kind, _, raw in bag.messages():
            bag.deserialize(raw, kind)


def test_a_flipped_bit_costs_one_chunk(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep', frames=200)
    file = path / 'ep.mcap'
    with open_bag(path) as bag:
        everything = list(bag.messages())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with open_bag(path) as bag:
        found = list(bag.messages())
        assert 0 < len(found) < len(everything)
        assert found == [m for m in everything if m in set(found)]
        assert bag.loss
        assert bag.loss.messages == len(everything) - len(found)
        assert 'corrupt' in str(bag.loss)


def test_zeroes_after_a_power_cut_are_not_messages(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep', frames=200)
    file = path / 'ep.mcap'
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    with open_bag(path) as bag:
        assert bag.loss.truncated
        assert 0 < bag.counts().total() < 800


def test_metadata_that_are_damaged_are_done_without(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep')
    (path / 'metadata.yaml').write_text('rosbag2_bagfile_information: [')
    with open_bag(path) as bag:
        assert bag.counts().total() == 48
        assert bag.custom_data['episode_id'] == 'ep'
        assert bag.custom_data['outcome'] == 'success'


def test_a_renamed_folder_is_the_same_bag(tmp_path: Path) -> None:
    path = write_episode(tmp_path / 'ep').rename(tmp_path / 'renamed')
    with open_bag(path) as bag:
        assert bag.counts().total() == 48
        assert bag.episode_id == 'ep'


@pytest.mark.parametrize(
    ('name', 'content', 'said'),
    [
        ('a.mcap', b'', 'is empty'),
        ('a.mcap', b'hello, I am a text', 'is not a bag'),
        ('a.mcap', os.urandom(4000), 'is not a bag'),
        ('a.db3', b'SQLite format 4', 'is not a bag'),
        ('a.db3', b'SQLite format 3\0' + bytes(200), 'is not a rosbag2 file'),
        ('a.bag', b'#ROSBAG V2.0\n', 'ROS 1 bag: convert it'),
        ('a.mcap', b'#ROSBAG V2.0\n', 'ROS 1 bag: convert it'),
        ('notes.txt', b'nothing', 'is not a bag'),
    ],
)
def test_files_that_are_no_bags(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_bag(tmp_path / name)
    assert said in str(caught.value)
    assert '\n' not in str(caught.value)


def test_folders_that_are_no_bags(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='does not exist'):
        open_bag(tmp_path / 'none')
    with pytest.raises(UserError, match=r'no \.mcap or \.db3 file in it'):
        open_bag(tmp_path)
    write_episode(tmp_path / 'one')
    write_episode(tmp_path / 'two')
    with pytest.raises(UserError, match='it holds 2 bags, give those'):
        open_bag(tmp_path)


def test_an_mcap_of_another_system_is_refused(tmp_path: Path) -> None:
    from mcap.writer import Writer

    for profile, encoding, said in (
        ('ros1', 'ros1', "not a ROS 2 recording but 'ros1'"),
        ('', 'json', "encoded as 'json'"),
    ):
        path = tmp_path / f'{encoding}.mcap'
        with path.open('wb') as file:
            writer = Writer(file)
            writer.start(profile)
            channel = writer.register_channel('/a', encoding, 0)
            writer.add_message(channel, 0, b'{}', 0)
            writer.finish()
        with pytest.raises(UserError, match=said):
            open_bag(path)
