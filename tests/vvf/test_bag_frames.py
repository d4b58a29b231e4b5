# SPDX-License-Identifier: Apache-2.0
"""Recorded messages to observations: a frame finds its state wherever it was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vvf.bag_factory import START_NS, cdr, image, joints, pixels, pose, state
from vvf.bags.frames import FrameSource
from vvf.bags.reader import open_bag
from vvf.bags.writer import BagWriter, TopicSpec
from vvf.task import load_task

TASK = load_task('pick_place')
TICK_NS = 80_000_000  # two of them are more than the tolerance


def write_late_states(path: Path, ticks: int) -> Path:
    """An episode of an arm that is slow: the state of each instant is recorded a tick later."""
    topics = [TopicSpec(t.topic, t.type, t.qos) for t in TASK.recorded_topics()]
    writer = BagWriter(path, topics, {'task_file': TASK.to_yaml(), 'episode_id': path.name})
    for i in range(ticks):
        now = START_NS + i * TICK_NS
        for camera in ('wrist', 'shoulder'):
            writer.write(f'/{camera}/image_raw', now + 1, cdr(image(now, pixels(i))))
        before = now - TICK_NS
        message = joints(before, TASK.state[0].names, state(i - 1))
        writer.write('/joint_states', now + 2, cdr(message))
        writer.write('/vvf/ee_pose', now + 2, cdr(pose(before, (0.2, 0.0, 0.1))))
    writer.close({'outcome': 'success'})
    return path


def test_a_frame_has_the_state_of_its_stamp_though_it_was_recorded_later(tmp_path: Path) -> None:
    cameras = {c.name: c.name for c in TASK.cameras}
    with open_bag(write_late_states(tmp_path / 'slow', 8)) as reader:
        source = FrameSource(reader, TASK, cameras, 16, state=True)
        frames = list(source)
    assert source.frames_read == len(frames) == 8
    assert not source.lost
    for i, frame in enumerate(frames[:-1]):  # that of the last one was not recorded any more
        assert frame.state is not None
        assert frame.state[:7] == pytest.approx(state(i))
