# SPDX-License-Identifier: Apache-2.0
"""Small episodes, as bags, for the tests of bags, relabelling and reports."""

from pathlib import Path
from typing import Any

import numpy as np

from vvf.bags.typestore import typestore
from vvf.bags.writer import BagWriter, TopicSpec
from vvf.task import TaskSpec, load_task

START_NS = 1_700_000_000_000_000_000
FRAME_NS = 100_000_000


def make(type_name: str, *args: Any, **kwargs: Any) -> Any:
    return typestore().types[type_name](*args, **kwargs)


def header(stamp_ns: int) -> Any:
    time = make('builtin_interfaces/msg/Time', *divmod(stamp_ns, 1_000_000_000))
    return make('std_msgs/msg/Header', time, '')


def cdr(message: Any) -> bytes:
    return bytes(typestore().serialize_cdr(message, message.__msgtype__))


def image(stamp_ns: int, pixels: np.ndarray) -> Any:
    height, width = pixels.shape[:2]
    return make('sensor_msgs/msg/Image', header(stamp_ns), height, width, 'rgb8', 0, 3 * width,
                pixels.reshape(-1))  # fmt: skip


def joints(stamp_ns: int, names: tuple[str, ...], positions: np.ndarray) -> Any:
    empty = np.zeros(0)
    return make('sensor_msgs/msg/JointState', header(stamp_ns), list(names), positions, empty,
                empty)  # fmt: skip


def pose(stamp_ns: int, xyz: tuple[float, float, float]) -> Any:
    point = make('geometry_msgs/msg/Point', *xyz)
    turn = make('geometry_msgs/msg/Quaternion', 0.0, 0.0, 0.0, 1.0)
    return make('geometry_msgs/msg/PoseStamped', header(stamp_ns),
                make('geometry_msgs/msg/Pose', point, turn))  # fmt: skip


def estimate(stamp_ns: int, progress: float) -> Any:
    return make('vvf_msgs/msg/ValueEstimate', header(stamp_ns), 'live', 'pick_place', 'e',
                progress - 1.0, progress, 0.1, 0.0, False, 5.0)  # fmt: skip


def event(stamp_ns: int, kind: int) -> Any:
    return make('vvf_msgs/msg/EpisodeEvent', header(stamp_ns), kind, 'e', 'pick_place', '', '', '')


def pixels(index: int, seed: int = 0) -> np.ndarray:
    """Frame `index` of an episode: noise with a square that moves."""
    frame = np.random.default_rng((seed, index)).integers(0, 60, (48, 48, 3), np.uint8)
    frame[10:20, index % 38 : index % 38 + 10] = (240, 120, 20)
    return frame


def state(index: int) -> np.ndarray:
    return np.linspace(0.0, 0.02, 7) + 0.01 * index


def write_episode(
    path: Path,
    frames: int = 12,
    *,
    outcome: str = 'success',
    seed: int = 0,
    task: TaskSpec | None = None,
    live: bool = False,
    takeover: tuple[int, int] | None = None,
    **more: str,
) -> Path:
    """Write an episode of pick_place; every topic has a message per frame."""
    task = task or load_task('pick_place')
    topics = [TopicSpec(t.topic, t.type, t.qos) for t in task.recorded_topics()]
    custom = {'task_file': task.to_yaml(), 'episode_id': path.name, 'instruction': 'put it there'}
    custom |= more
    writer = BagWriter(path, topics, custom)
    names = task.state[0].names
    for i in range(frames):
        now = START_NS + i * FRAME_NS
        if takeover and i in takeover:
            writer.write('/vvf/episode', now - 2, cdr(event(now, 3 + takeover.index(i))))
        writer.write('/joint_states', now - 1, cdr(joints(now, names, state(i))))
        writer.write('/vvf/ee_pose', now - 1, cdr(pose(now, (0.2, 0.01 * i, 0.1))))
        writer.write('/shoulder/image_raw', now, cdr(image(now, pixels(i, seed))))
        writer.write('/wrist/image_raw', now + 1, cdr(image(now, pixels(i, seed + 1))))
        if live:
            writer.write('/vvf/value', now + 2, cdr(estimate(now, i / frames)))
    writer.close({'outcome': outcome})
    return path
