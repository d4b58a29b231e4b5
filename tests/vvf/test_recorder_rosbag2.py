# SPDX-License-Identifier: Apache-2.0
"""`ros2 bag record` as the recorder: where it is missing, its command line, and its bag's end."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from vvf.bags.audit import AUDIT
from vvf.bags.reader import open_bag
from vvf.bags.recorder import recorded_specs
from vvf.bags.rosbag2 import Rosbag2Recorder, finish_bag, qos_overrides, record_command
from vvf.bags.store import EpisodeStore
from vvf.bags.writer import BagWriter
from vvf.errors import UserError
from vvf.task import load_task

TASK = load_task('pick_place')
SECOND = 1_000_000_000


def test_where_it_is_not_installed_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UserError, match='not on the PATH: source a ROS 2') as error:
        EpisodeStore(tmp_path, TASK, recorder='rosbag2')
    assert 'recorder:=vvf' in str(error.value)
    with pytest.raises(UserError, match='not on the PATH'):
        Rosbag2Recorder(tmp_path / 'bag', TASK, {})


def test_the_command_records_the_topics_of_the_task_as_mcap() -> None:
    command = record_command('/opt/ros/jazzy/bin/ros2', Path('/b/e'), TASK, Path('/t/qos.yaml'))
    text = shlex.join(command)
    assert text.startswith('/opt/ros/jazzy/bin/ros2 bag record --storage mcap ')
    assert '--output /b/e ' in text
    assert '--qos-profile-overrides-path /t/qos.yaml ' in text
    topics = command[command.index('--topics') + 1 :]
    assert topics == [t.topic for t in TASK.recorded_topics()]


def test_it_subscribes_as_our_own_recorder_does() -> None:
    overrides = yaml.safe_load(yaml.safe_dump(qos_overrides(TASK)))
    kinds = {t: (q['reliability'], q['durability']) for t, q in overrides.items()}
    assert kinds['/shoulder/image_raw'] == ('best_effort', 'volatile')
    assert kinds['/joint_states'] == ('reliable', 'volatile')
    assert kinds['/vvf/episode'] == ('reliable', 'transient_local')
    lossless = qos_overrides(TASK, reliable=True)
    assert lossless['/shoulder/image_raw']['reliability'] == 'reliable'


def test_its_bag_gets_provenance_outcome_and_audit(tmp_path: Path) -> None:
    path = tmp_path / 'bag'
    with BagWriter(path, recorded_specs(TASK)) as writer:
        for k in range(5):
            writer.write('/joint_states', k * SECOND // 10, b'\0' * 8)
    audit = finish_bag(path, TASK, {'episode_id': 'e', 'instruction': 'look'}, 'success', 'neat')
    assert audit.topics['/joint_states'].count == 5
    assert audit.complaints[:1] == ('nothing was recorded of /shoulder/image_raw',)
    with open_bag(path) as bag:
        data = bag.custom_data
        assert (data['episode_id'], data['instruction']) == ('e', 'look')
        assert (data['outcome'], data['note']) == ('success', 'neat')
        assert json.loads(data[AUDIT])['topics']['/joint_states']['rate_hz'] == 10.0


def test_a_program_that_ends_at_once_is_an_error_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / 'ros2'
    program.write_text('#!/bin/sh\necho "unknown command: bag"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    recorder = Rosbag2Recorder(tmp_path / 'bags' / 'bag', TASK, {})
    recorder._process.wait(20)
    assert str(recorder.error) == '`ros2 bag record` has ended: unknown command: bag'
    audit = recorder.close('aborted')
    assert audit.complaints[0] == str(
        UserError('`ros2 bag record` has ended: unknown command: bag')
    )
    assert len(audit.complaints) == 2
