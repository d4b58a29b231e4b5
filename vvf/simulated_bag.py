# SPDX-License-Identifier: Apache-2.0
"""Episodes of the simulation as bags, as the recorder would have written them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from vvf.actions import delta_names, split_rows
from vvf.bags.typestore import typestore
from vvf.bags.writer import BagWriter, TopicSpec
from vvf.provenance import provenance
from vvf.task import CameraSpec, StateSource, TaskSpec
from vvf.task_overlay import sides_of, with_robot
from vvf_sim.collect import CollectJob, CollectResult, EpisodeData, collect_job, result_of

# Simulated episodes have no date; each seed gets minutes of its own, so that none overlap.
_EPOCH_NS = 1_600_000_000_000_000_000
_SEED_NS = 300_000_000_000
_POSE_DIM = 9
_KINDS = {'milestone': 'MILESTONE', 'error': 'ERROR'}
_PERSON = {'takeover': 'INTERVENTION_START', 'give_back': 'INTERVENTION_END'}


def simulated_task(task: TaskSpec, arm: str, cameras: tuple[str, ...], size: int) -> TaskSpec:
    """A task as it is simulated: with another arm's joints, with some cameras, of another size.

    Args:
        task: of `config/tasks`.
        arm: name of the arm.
        cameras: those that are drawn.
        size: height and width of images in pixels.
    """
    kept = tuple(
        dataclasses.replace(camera, width=size, height=size)
        for camera in task.cameras
        if camera.name in cameras
    )
    return dataclasses.replace(with_robot(task, arm), cameras=kept)


@dataclasses.dataclass(frozen=True)
class BagJob:
    """An episode to collect as a bag; small enough to send to another process."""

    job: CollectJob
    task: TaskSpec


def collect_to_bag(bag_job: BagJob) -> CollectResult:
    """Collect one episode and write its bag; a module-level function, for a pool of processes."""
    episode = collect_job(bag_job.job)
    write_bag(episode, bag_job.task, bag_job.job.path)
    return result_of(bag_job.job, episode)


def write_bag(episode: EpisodeData, task: TaskSpec, path: Path) -> None:
    """Write an episode's bag; the folder appears only when it is whole.

    Actions are what the expert wanted: the noise on what was executed stands for disturbances.

    Args:
        episode: what was simulated.
        task: as of `simulated_task`.
        path: of the bag.

    Raises:
        UserError: the bag exists.
    """
    partial = path.with_name(path.name + '.part')
    shutil.rmtree(partial, ignore_errors=True)
    topics = [
        TopicSpec(t.topic, t.type, t.qos)
        for t in task.recorded_topics()
        if _is_written(t.topic, task)
    ]
    custom = provenance(
        task, episode_id=path.name, instruction=episode.instruction, robot=episode.arm
    )
    custom['simulation'] = f'seed {episode.seed}, {episode.setting}, {episode.renderer}'
    custom['failure_kind'] = episode.failure_kind
    start = _EPOCH_NS + episode.seed * _SEED_NS
    outcome = 'success' if episode.success else 'failure'
    with BagWriter(partial, topics, custom, file_name=f'{path.name}.mcap') as writer:
        rows = sorted(_messages(episode, task, start, path.name, outcome), key=lambda row: row[1])
        for topic, stamp, message in rows:
            cdr = typestore().serialize_cdr(message, message.__msgtype__)
            writer.write(topic, stamp, bytes(cdr))
        writer.close({'outcome': outcome})
    partial.replace(path)


def _is_written(topic: str, task: TaskSpec) -> bool:
    """Whether a topic has messages here: there is neither a value nor a calibration."""
    states = {source.topic for source in task.state}
    frames = {camera.topic for camera in task.cameras}
    action = {task.action.topic} if task.action else set()
    return topic in states | frames | action | {'/vvf/episode'}


def _messages(
    episode: EpisodeData, task: TaskSpec, start: int, name: str, outcome: str
) -> list[tuple[str, int, Any]]:
    stamps = [start + round(float(stamp) * 1e9) for stamp in episode.stamps]
    rows: list[tuple[str, int, Any]] = []
    for i, now in enumerate(stamps):
        rows += [(camera.topic, now, _image(now, camera, episode, i)) for camera in task.cameras]
        rows += [(source.topic, now, _state(source, episode, i, now)) for source in task.state]
        if task.action is not None:
            # Behind the observation that it answers.
            rows.append((task.action.topic, now + 1, _action(episode, task, i, now)))
    events = zip(episode.event_names, episode.event_kinds, episode.event_indices, strict=True)
    rows.append(_event('START', stamps[0] - 1, name, episode, ''))
    for event, kind, index in events:
        constant = _PERSON.get(str(event)) or _KINDS.get(str(kind))
        if constant:
            at = stamps[min(int(index), len(stamps) - 1)]
            rows.append(_event(constant, at, name, episode, str(event)))
    rows.append(_event('END', stamps[-1] + 1, name, episode, episode.failure_kind, outcome))
    return rows


def _make(kind: str, *args: Any) -> Any:
    return typestore().types[kind](*args)


def _header(stamp_ns: int, frame: str = '') -> Any:
    time = _make('builtin_interfaces/msg/Time', *divmod(stamp_ns, 1_000_000_000))
    return _make('std_msgs/msg/Header', time, frame)


def _image(stamp: int, camera: CameraSpec, episode: EpisodeData, i: int) -> Any:
    pixels = episode.images[camera.name][i]
    height, width = pixels.shape[:2]
    return _make(
        'sensor_msgs/msg/Image',
        _header(stamp, camera.frame_id),
        height,
        width,
        'rgb8',
        0,
        3 * width,
        pixels.reshape(-1),
    )


def _state(source: StateSource, episode: EpisodeData, i: int, stamp: int) -> Any:
    row = episode.state[i].astype(np.float64)
    if source.type == 'joint_state':
        positions, empty = row[: len(source.names)], np.zeros(0)
        return _make(
            'sensor_msgs/msg/JointState',
            _header(stamp),
            list(source.names),
            positions,
            empty,
            empty,
        )
    x, y = row[-6:-3], row[-3:]
    turn = Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=1)).as_quat()
    point = _make('geometry_msgs/msg/Point', *row[-_POSE_DIM:-6])
    quaternion = _make('geometry_msgs/msg/Quaternion', *turn)
    pose = _make('geometry_msgs/msg/Pose', point, quaternion)
    return _make('geometry_msgs/msg/PoseStamped', _header(stamp, 'base_link'), pose)


def _action(episode: EpisodeData, task: TaskSpec, i: int, stamp: int) -> Any:
    action = episode.action[i]
    kind = typestore().types['vvf_msgs/msg/Action']
    source = kind.SOURCE_HUMAN if episode.interventions[i] else kind.SOURCE_POLICY
    sides = sides_of(task)
    data, gripper = split_rows(action[None], len(sides))
    rate = task.action.rate_hz if task.action else task.rate_hz
    return kind(
        _header(stamp),
        source,
        kind.KIND_EE_DELTA,
        1,
        len(data),
        data,
        gripper,
        1.0 / rate,
        delta_names(sides),
        'scripted expert',
    )


def _event(
    constant: str, stamp: int, name: str, episode: EpisodeData, detail: str, outcome: str = ''
) -> tuple[str, int, Any]:
    kind = typestore().types['vvf_msgs/msg/EpisodeEvent']
    message = kind(
        _header(stamp),
        getattr(kind, constant),
        name,
        episode.task,
        episode.instruction,
        outcome,
        detail,
    )
    return '/vvf/episode', stamp, message
