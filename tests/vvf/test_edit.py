# SPDX-License-Identifier: Apache-2.0
"""Editing: new bags with every topic as it was, originals untouched, and where they come from."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.vvf.bag_factory import FRAME_NS, START_NS, cdr, joints, write_episode
from vvf.bags import BagWriter, TopicSpec, open_bag
from vvf.cli.main import main
from vvf.data import open_data

FRAMES = 20


def edit(*words: object) -> int:
    return main(['edit', *map(str, words)])


def rows(bag: Path) -> list[tuple[str, str, int, bytes]]:
    with open_bag(bag) as reader:
        assert not reader.loss
        return list(reader.messages())


def custom(bag: Path) -> dict[str, str]:
    with open_bag(bag) as reader:
        return reader.custom_data


def digests(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob('*')) if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def second(stamp: int) -> float:
    return (stamp - (START_NS - 1)) * 1e-9  # the first message comes a nanosecond early


def test_trimmed_to_a_stretch(tmp_path: Path) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', FRAMES)
    before, everything = digests(bag), rows(bag)
    out = tmp_path / 'out'
    assert edit('trim', bag, '--from', 0.45, '--to', 1.21, '--out', out) == 0
    assert rows(out / 'ep') == [m for m in everything if 0.45 <= second(m[2]) <= 1.21]
    found = custom(out / 'ep')
    assert (found['outcome'], found['episode_id'], found['complete']) == ('success', 'ep', 'true')
    ((done),) = json.loads(found['edits'])
    assert done['edit'] == 'trim: 0.450 to 1.210 s'
    (source,) = done['from']
    assert (source['bag'], source['episode_id']) == ('ep', 'ep')
    # A bag of 20 frames at 10 Hz gives 10 steps; of these eight frames, four.
    assert len(open_data(out / 'ep')[0]) == 4
    assert digests(bag) == before
    with open_bag(bag) as old, open_bag(out / 'ep') as new:
        assert new.topics == old.topics


def test_split_into_pieces(tmp_path: Path) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', FRAMES)
    out = tmp_path / 'out'
    assert edit('split', bag, '--at', 1.25, 0.55, '--out', out) == 0
    pieces = [out / f'ep_{n}' for n in range(3)]
    assert [m for piece in pieces for m in rows(piece)] == rows(bag)
    assert [len(rows(piece)) for piece in pieces] == [24, 28, 28]
    outcomes = [custom(piece)['outcome'] for piece in pieces]
    assert outcomes == ['unlabelled', 'unlabelled', 'success']
    assert [custom(piece)['episode_id'] for piece in pieces] == ['ep_0', 'ep_1', 'ep_2']
    # And back again, in any order.
    assert edit('merge', *reversed(pieces), '--out', out, '--name', 'again') == 0
    assert rows(out / 'again') == rows(bag)
    found = custom(out / 'again')
    assert (found['outcome'], found['episode_id']) == ('success', 'again')
    done = json.loads(found['edits'])
    assert [entry['edit'].split(':')[0] for entry in done] == ['split', 'merge']
    assert [source['bag'] for source in done[1]['from']] == ['ep_2', 'ep_1', 'ep_0']


def test_what_still_held_is_carried_behind_the_cut(tmp_path: Path) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', FRAMES, takeover=(4, 16))
    latched = TopicSpec('/robot_description', 'std_msgs/msg/String', 'latched')
    with_robot = tmp_path / 'bags' / 'described'
    with open_bag(bag) as reader:
        topics = [*reader.topics.values(), latched]
        with BagWriter(with_robot, topics, dict(reader.custom_data)) as writer:
            writer.write('/robot_description', START_NS - 5, b'\0\1\0\0\1\0\0\0\0')
            for topic, _, stamp, raw in reader.messages():
                writer.write(topic, stamp, raw)
    out = tmp_path / 'out'
    assert edit('trim', with_robot, '--from', 0.85, '--out', out) == 0
    first = rows(out / 'described')[:2]
    assert [m[0] for m in first] == ['/robot_description', '/vvf/episode']
    episode = open_data(out / 'described')[0]
    # Frames 9 to 15 were a human's, of which every other is a step.
    assert np.flatnonzero(episode.interventions).tolist() == [0, 1, 2, 3]


def test_outcome_and_instruction(tmp_path: Path) -> None:
    bags = tmp_path / 'bags'
    for name in ('a', 'b'):
        write_episode(bags / name, 4)
    before = digests(bags)
    assert edit('outcome', bags, '--set', 'failure', '--out', tmp_path / 'one') == 0
    assert edit('instruct', tmp_path / 'one', '--set', 'fold it', '--out', tmp_path / 'two') == 0
    for name in ('a', 'b'):
        assert rows(tmp_path / 'two' / name) == rows(bags / name)
        found = custom(tmp_path / 'two' / name)
        assert (found['outcome'], found['instruction']) == ('failure', 'fold it')
        assert [entry['edit'] for entry in json.loads(found['edits'])] == [
            'outcome: success -> failure',
            'instruction: put it there -> fold it',
        ]
    episode = open_data(tmp_path / 'two' / 'a')[0]
    assert (episode.success, episode.instruction) == (False, 'fold it')
    assert digests(bags) == before


def test_topics_of_two_recorders_become_one_bag(tmp_path: Path) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', 6)
    other = tmp_path / 'bags' / 'gripper'
    with open_bag(bag) as reader:
        data = dict(reader.custom_data)
    with BagWriter(other, [TopicSpec('/gripper', 'sensor_msgs/msg/JointState')], data) as writer:
        for i in range(6):
            stamp = START_NS + i * FRAME_NS + 7
            writer.write('/gripper', stamp, cdr(joints(stamp, ('finger',), np.zeros(1))))
    assert edit('merge', bag, other, '--out', tmp_path / 'out') == 0
    found = rows(tmp_path / 'out' / 'ep_merged')
    assert [m for m in found if m[0] != '/gripper'] == rows(bag)
    assert [m for m in found if m[0] == '/gripper'] == rows(other)
    assert [m[2] for m in found] == sorted(m[2] for m in found)


def test_a_damaged_bag_is_edited_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', 40)
    file = bag / 'ep.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert edit('outcome', bag, '--set', 'failure', '--out', tmp_path / 'out') == 0
    assert 'are lost' in capsys.readouterr().err
    (done,) = json.loads(custom(tmp_path / 'out' / 'ep')['edits'])
    assert 'ends in the middle of a record' in done['from'][0]['loss']


def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_episode(tmp_path / 'bags' / 'ep', 10)
    same = write_episode(tmp_path / 'bags' / 'same', 10)
    other = write_episode(tmp_path / 'bags' / 'other', 4)
    asked = tmp_path / 'asked'
    edit('instruct', other, '--set', 'fold it', '--out', asked)
    out = tmp_path / 'out'
    capsys.readouterr()
    for words, said in [
        (
            ('trim', bag, '--from', 5, '--out', out),
            'holds nothing from 5 s to the end: it is 0.900',
        ),
        (
            ('trim', bag, '--from', 0.5, '--to', 0.2, '--out', out),
            'holds nothing from 0.5 s to 0.2',
        ),
        (('split', bag, '--at', 7, '--out', out), 'cannot be cut at 7 s: it is 0.900 s long'),
        (('split', bag, '--at', 0, '--out', out), 'cannot be cut at 0 s'),
        (
            ('trim', bag, '--to', 0.5, '--out', bag.parent),
            'exists already and is never overwritten',
        ),
        (('trim', bag, '--to', 0.5, '--out', bag), 'lies inside of the original'),
        (('trim', bag.parent, '--to', 0.5, '--out', out), 'holds 3 bags: give one of them'),
        (('merge', bag, '--out', out), 'two bags or more'),
        (('merge', bag, same, '--out', out), 'at the same time: trim one'),
        (('merge', bag, asked / 'other', '--out', out), 'equal with vvf edit instruct'),
        (('merge', bag, same, '--name', 'a/b', '--out', out), "'a/b' is no name for a bag"),
        (('instruct', bag, '--set', ' ', '--out', out), 'an instruction cannot be empty'),
        (('trim', tmp_path / 'none', '--out', out), 'does not exist'),
        (('outcome', bag.parent, '--set', 'failure', '--out', asked), 'other exists already'),
    ]:
        assert edit(*words) == 2, words
        error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('vvf: ')]
        assert len(error) == 1
        assert said in error[0]
    assert not out.exists()
    assert [p.name for p in asked.iterdir()] == ['other']  # none is copied where one cannot be
