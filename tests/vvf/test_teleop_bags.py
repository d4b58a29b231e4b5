# SPDX-License-Identifier: Apache-2.0
"""What a policy went on saying while a human had the arm is no action of the episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.vvf.bag_factory import FRAME_NS, START_NS, cdr, header, make
from vvf.bags.episodes import read_notes
from vvf.bags.reader import open_bag
from vvf.bags.writer import BagWriter, TopicSpec
from vvf.task import load_task

TAKEN, GIVEN = 3, 4


def bag(path: Path, sources: tuple[int, ...]) -> Path:
    """Five frames with an action of each source for each; taken over after the first, given back
    before the last."""
    task = load_task('pick_place')
    topics = [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]
    writer = BagWriter(path, topics, {'task_file': task.to_yaml(), 'episode_id': path.name})
    for i in range(5):
        now = START_NS + i * FRAME_NS
        for source in sources:
            data = np.array([0.0, 0.0, 0.01 * source, 0, 0, 0], np.float32)
            grip = np.array([1.0 - source] if source == 0 or i == 2 else [], np.float32)
            fields = (header(now), source, 0, 1, 6, data, grip, 0.2, [], '')
            writer.write('/vvf/action', now + source, cdr(make('vvf_msgs/msg/Action', *fields)))
        if i in (0, 3):
            kind, stamp = (TAKEN, now + 1) if i == 0 else (GIVEN, now + FRAME_NS // 2)
            fields = (header(stamp), kind, path.name, 'pick_place', '', '', '')
            event = make('vvf_msgs/msg/EpisodeEvent', *fields)
            # The recorder may hear of it late.
            writer.write('/vvf/episode', now + FRAME_NS + 9, cdr(event))
    writer.close({'outcome': 'success'})
    return path


def actions(path: Path) -> list[tuple[int, float, float]]:
    """Frame, z and gripper of each action that counts."""
    task = load_task('pick_place')
    with open_bag(path) as reader:
        notes = read_notes(reader, task, task.reference_camera.topic)
    return [
        ((a.stamp_ns - START_NS) // FRAME_NS, round(float(a.steps[0, 2]), 3), float(a.steps[0, -1]))
        for a in notes.actions
    ]


def test_while_a_human_has_the_arm_only_their_actions_count(tmp_path: Path) -> None:
    assert actions(bag(tmp_path / 'both', (0, 1))) == [
        (0, 0.0, 1.0),
        (0, 0.01, 1.0),
        (1, 0.01, 1.0),
        (2, 0.01, 0.0),
        (3, 0.01, 0.0),
        (4, 0.0, 1.0),
        (4, 0.01, 1.0),
    ], 'and what they leave to the gripper is what counted before'


def test_where_nobody_says_whose_the_actions_are_all_count(tmp_path: Path) -> None:
    assert [frame for frame, *_ in actions(bag(tmp_path / 'one', (0,)))] == [0, 1, 2, 3, 4]
