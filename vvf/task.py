# SPDX-License-Identifier: Apache-2.0
"""The task file: the one contract between live nodes, recorder, relabeller and trainer.

A task says which topics make an observation, which an action, in what order and unit, and at what
rate. It is read from ``config/tasks/<task>.yaml`` and embedded, as text, in every recorded bag.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from vvf.errors import UserError
from vvf.paths import config_path
from vvf.schema import build, to_plain

POSE_DIM = 9
"""Numbers a pose contributes to the state: xyz, then the first two columns of its rotation."""


@dataclass(frozen=True)
class CameraSpec:
    """One camera: where its frames arrive and how they look.

    ``transport`` is ``raw`` (sensor_msgs/Image) or ``compressed`` (sensor_msgs/CompressedImage).
    A width or height of 0 accepts any size.
    """

    name: str
    topic: str
    transport: Literal['raw', 'compressed'] = 'raw'
    width: int = 0
    height: int = 0
    rate_hz: float = 0.0
    frame_id: str = ''
    info_topic: str = ''

    @property
    def type(self) -> str:
        """ROS type of the frames."""
        return f'sensor_msgs/msg/{"Image" if self.transport == "raw" else "CompressedImage"}'


@dataclass(frozen=True)
class StateSource:
    """One part of the state vector.

    ``joint_state`` takes the positions of ``names``, in that order, from a sensor_msgs/JointState.
    ``pose`` takes a geometry_msgs/PoseStamped as xyz and the columns R[:, 0], R[:, 1].
    """

    topic: str
    type: Literal['joint_state', 'pose']
    names: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        """Numbers this source contributes."""
        return len(self.names) if self.type == 'joint_state' else POSE_DIM

    @property
    def ros_type(self) -> str:
        """ROS type of the topic."""
        if self.type == 'joint_state':
            return 'sensor_msgs/msg/JointState'
        return 'geometry_msgs/msg/PoseStamped'


@dataclass(frozen=True)
class ActionSpec:
    """The action of the task, on ``topic`` as vvf_msgs/Action.

    ``dim`` counts the gripper. ``low`` and ``high`` are per step and per dimension, in metres and
    radians for ``ee_delta``, in radians for ``joint_position``; the gripper is last (1 = open).
    """

    topic: str
    kind: Literal['ee_delta', 'joint_position']
    dim: int
    rate_hz: float
    horizon: int = 1
    execute: int = 1
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class RecordTopic:
    """A topic for the recorder, and the quality of service its publisher offers."""

    topic: str
    type: str
    qos: Literal['sensor', 'reliable', 'latched'] = 'reliable'


@dataclass(frozen=True)
class SyncSpec:
    """How old the parts of an observation may be, relative to the reference camera's stamp."""

    image_tolerance_s: float = 0.15
    state_tolerance_s: float = 0.15
    wait_s: float = 0.05


@dataclass(frozen=True)
class EpisodeSpec:
    """Limits of one episode."""

    time_limit_s: float = 60.0


@dataclass(frozen=True)
class SimSpec:
    """The simulated world in which the task can be tried.

    `config` holds further entries of the world's configuration; `target`, `container` and
    `n_distractors` are pick-and-place's.
    """

    world: str
    target: str = ''
    container: str = ''
    n_distractors: int | None = None
    setting: Literal['train', 'held_out'] = 'held_out'
    success: str = ''
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelsSpec:
    """Checkpoints used unless others are asked for; an empty camera list means all cameras.

    Those of a simulation (`simulated`) are not taken on a real table, where nobody has tried them.
    """

    value: str = ''
    policy: str = ''
    value_cameras: tuple[str, ...] = ()
    policy_cameras: tuple[str, ...] = ()
    simulated: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """A whole task file. The first camera is the reference: its stamps are the frames' stamps."""

    name: str
    instruction: str
    robot: str
    rate_hz: float
    cameras: tuple[CameraSpec, ...]
    state: tuple[StateSource, ...] = ()
    action: ActionSpec | None = None
    record: tuple[RecordTopic, ...] = ()
    sync: SyncSpec = field(default_factory=SyncSpec)
    goal_images: Mapping[str, str] = field(default_factory=dict)
    episode: EpisodeSpec = field(default_factory=EpisodeSpec)
    sim: SimSpec | None = None
    models: ModelsSpec = field(default_factory=ModelsSpec)

    @property
    def reference_camera(self) -> CameraSpec:
        """The camera whose frames are the frames of the episode."""
        return self.cameras[0]

    @property
    def state_dim(self) -> int:
        """Length of the state vector; 0 where the task has none."""
        return sum(source.dim for source in self.state)

    def camera(self, name: str) -> CameraSpec:
        """Return one camera.

        Raises:
            UserError: The task has no camera of that name.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        known = ', '.join(c.name for c in self.cameras)
        raise UserError(f"task {self.name}: there is no camera '{name}'; known: {known}")

    def match_cameras(self, wanted: Sequence[str], listed: Sequence[str] = ()) -> dict[str, str]:
        """Say which camera of this task feeds each camera of a model.

        Args:
            wanted: The model's cameras.
            listed: This task's cameras for that model (``models.value_cameras`` or
                ``models.policy_cameras``), paired by position where the names differ.

        Returns:
            The task's camera by the model's camera.

        Raises:
            UserError: The task has no camera for one of the model's.
        """
        if len(listed) == len(wanted) and not set(wanted) <= set(listed):
            return dict(zip(wanted, listed, strict=True))
        known = [c.name for c in self.cameras]
        for name in wanted:
            if name not in known:
                raise UserError(
                    f"task {self.name}: the model looks through camera '{name}', which is not "
                    f'listed under cameras; known: {", ".join(known)}'
                )
        return {name: name for name in wanted}

    def recorded_topics(self) -> tuple[RecordTopic, ...]:
        """All topics of a recording: cameras, state, action, then the task's own list."""
        topics = [RecordTopic(c.topic, c.type, 'sensor') for c in self.cameras]
        topics += [
            RecordTopic(c.info_topic, 'sensor_msgs/msg/CameraInfo', 'sensor')
            for c in self.cameras
            if c.info_topic
        ]
        topics += [RecordTopic(s.topic, s.ros_type, 'reliable') for s in self.state]
        if self.action is not None:
            topics.append(RecordTopic(self.action.topic, 'vvf_msgs/msg/Action'))
        topics += self.record
        unique = {t.topic: t for t in reversed(topics)}
        return tuple(unique[t] for t in dict.fromkeys(t.topic for t in topics))

    def to_yaml(self) -> str:
        """Return the task as YAML that :meth:`from_yaml` reads back to an equal task."""
        return yaml.safe_dump(to_plain(self), sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    def from_yaml(cls, text: str, source: str = 'task') -> TaskSpec:
        """Read and check a task.

        Args:
            text: YAML.
            source: What error messages call it, usually the file's path.

        Raises:
            UserError: Not YAML, a key is missing, unknown or of the wrong type, or the entries
                contradict each other.
        """
        where = f'task file {source}'
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            line = getattr(getattr(error, 'problem_mark', None), 'line', None)
            at = f' at line {line + 1}' if line is not None else ''
            raise UserError(f'{where}: this is not valid YAML{at}; correct it there') from error
        if not isinstance(data, dict):
            raise UserError(f'{where}: expected a mapping with name, cameras and so on')
        task: TaskSpec = build(cls, data, where, '')
        _check(task, where)
        return task


def load_task(
    name_or_path: str | os.PathLike[str], robot: str = '', rig: str | os.PathLike[str] = ''
) -> TaskSpec:
    """Load a task by path, or by name from the folder ``config/tasks``.

    Args:
        name_or_path: A ``.yaml`` file, or a name such as ``pick_place``.
        robot: Kind of arm; empty: the one of the task file, or of the rig.
        rig: A ``.yaml`` file, or a name of ``config/rigs``: the real table that the task is run
            on; empty: as the task file says.

    Raises:
        UserError: There is no such task, robot or rig, a file is wrong, or they do not fit.
    """
    task = _read_task(name_or_path)
    if not (robot or rig):
        return task
    from vvf.rig import load_rig
    from vvf.task_overlay import with_rig, with_robot

    if not rig:
        return with_robot(task, robot)
    table = load_rig(rig)
    if robot not in ('', table.robot):
        raise UserError(f'rig {rig} has a {table.robot}, not a {robot}: leave robot out.')
    return with_rig(task, table)


def _read_task(name_or_path: str | os.PathLike[str]) -> TaskSpec:
    given = os.fspath(name_or_path)
    path = Path(given)
    if path.suffix in ('.yaml', '.yml') or os.sep in given:
        if not path.is_file():
            raise UserError(f'task file {given} does not exist')
    else:
        folder = config_path('tasks')
        path = folder / f'{given}.yaml'
        if not path.is_file():
            known = ', '.join(sorted(p.stem for p in folder.glob('*.yaml')))
            raise UserError(f"no task is called '{given}'; known: {known or 'none'}")
    try:
        text = path.read_text('utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'task file {path} cannot be read: {error}') from error
    return TaskSpec.from_yaml(text, str(path))


def task_folders() -> list[Path]:
    """Return the folders in which tasks are looked up by name."""
    return [config_path('tasks')]


def _check(task: TaskSpec, where: str) -> None:
    """Raise UserError where the entries of a task contradict each other."""
    known = [c.name for c in task.cameras]
    if not known:
        raise UserError(f'{where}: at least one camera is needed under cameras')
    for label, values in (
        ('camera name', known),
        ('camera topic', [c.topic for c in task.cameras]),
        ('state topic', [s.topic for s in task.state]),
    ):
        for value in values:
            if values.count(value) > 1:
                raise UserError(f"{where}: the {label} '{value}' is listed twice")
    users = [('goal_images', tuple(task.goal_images))]
    users += [('models.value_cameras', task.models.value_cameras)]
    users += [('models.policy_cameras', task.models.policy_cameras)]
    for user, names in users:
        for name in names:
            if name not in known:
                raise UserError(
                    f"{where}: camera '{name}' is used in {user} but not listed under cameras; "
                    f'known: {", ".join(known)}'
                )
    for source in task.state:
        if source.type == 'joint_state' and not source.names:
            raise UserError(f'{where}: state {source.topic} needs the joint names under names')
    topics = [t.topic for t in task.recorded_topics()]
    for topic in topics:
        if not topic.startswith('/'):
            raise UserError(f"{where}: topic '{topic}' must start with a slash")
    if task.rate_hz <= 0:
        raise UserError(f'{where}: rate_hz must be above 0, it is {task.rate_hz}')
    action = task.action
    if action is None:
        return
    if action.dim < 1 or action.rate_hz <= 0:
        raise UserError(f'{where}: action.dim and action.rate_hz must be above 0')
    if not 1 <= action.execute <= action.horizon:
        raise UserError(
            f'{where}: action.execute must lie between 1 and the horizon {action.horizon}, '
            f'it is {action.execute}'
        )
    for label in ('low', 'high'):
        limits = getattr(action, label)
        if limits and len(limits) != action.dim:
            raise UserError(
                f'{where}: action.{label} has {len(limits)} numbers but action.dim is {action.dim}'
            )
        if not all(math.isfinite(limit) for limit in limits):
            raise UserError(f'{where}: action.{label} holds a number that is not finite')
    if bool(action.low) != bool(action.high):
        raise UserError(f'{where}: give both action.low and action.high, or neither')
    if any(low >= high for low, high in zip(action.low, action.high, strict=False)):
        raise UserError(f'{where}: every number of action.low must be below that of action.high')
