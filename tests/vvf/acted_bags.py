# SPDX-License-Identifier: Apache-2.0
"""Bags of a policy at work, as exports want them."""

from pathlib import Path

import numpy as np

from tests.vvf.bag_factory import FRAME_NS, START_NS, cdr, header, image, joints, make, pose, state
from vvf.bags import BagWriter, TopicSpec
from vvf.task import load_task


def picture(index: int, shift: int = 0) -> np.ndarray:
    """A smooth picture that changes, as codecs are made for."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([4 * x % 256, 5 * y, (8 * index + shift + 0 * x) % 256], 2).astype(np.uint8)


def acted(
    path: Path, frames: int = 24, outcome: str = 'success', skip: frozenset[int] = frozenset()
) -> Path:
    """An episode of a policy at 5 Hz with cameras at 10 Hz, and a milestone in frame 8."""
    task = load_task('pick_place')
    topics = [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]
    custom = {
        'task_file': task.to_yaml(),
        'episode_id': path.name,
        'instruction': f'do {path.name}',
    }
    writer = BagWriter(path, topics, custom)
    for i in range(frames):
        now = START_NS + i * FRAME_NS
        writer.write('/joint_states', now - 1, cdr(joints(now, task.state[0].names, state(i))))
        writer.write('/vvf/ee_pose', now - 1, cdr(pose(now, (0.2, 0.01 * i, 0.1))))
        if i in skip:
            continue
        writer.write('/shoulder/image_raw', now, cdr(image(now, picture(i))))
        writer.write('/wrist/image_raw', now + 1, cdr(image(now, picture(i, 100))))
        if i % 2 == 0:
            step = np.array([0.01 * i, 0, 0, 0, 0, 0], np.float32)
            message = make('vvf_msgs/msg/Action', header(now), int(i >= 16), 0, 1, 6, step,
                           np.array([1.0], np.float32), 0.2, [], '')  # fmt: skip
            writer.write('/vvf/action', now + 2, cdr(message))
        if i == 8:
            event = make('vvf_msgs/msg/EpisodeEvent', header(now), 5, 'e', 'pick_place', '', '',
                         'grasped')  # fmt: skip
            writer.write('/vvf/episode', now + 3, cdr(event))
    writer.close({'outcome': outcome})
    return path
