# SPDX-License-Identifier: Apache-2.0
"""A task as it is run on another robot, or on the cameras and arms of a real table."""

from __future__ import annotations

import dataclasses

import yaml

from vvf.actions import DELTA_DIM
from vvf.errors import UserError
from vvf.paths import config_path
from vvf.rig import SIDES, RigCamera, RigSpec
from vvf.task import CameraSpec, ModelsSpec, StateSource, TaskSpec

_JOINT_TOPIC = '/joint_states'


def robot_joints(robot: str) -> tuple[str, ...]:
    """Names of an arm's joints and, last, of its finger, from `config/robots/<robot>.yaml`.

    Raises:
        UserError: there is no such robot.
    """
    file = config_path('robots', f'{robot}.yaml')
    if not file.is_file():
        known = ', '.join(sorted(p.stem for p in file.parent.glob('*.yaml')))
        raise UserError(f'there is no robot {robot!r}; known: {known}.')
    data = yaml.safe_load(file.read_text('utf-8'))
    return (*data['joint_names'], data['gripper_name'])


def sides_of(task: TaskSpec) -> tuple[str, ...]:
    """The arms of a task: `('',)` for one, `('left', 'right')` for two."""
    names = [n for source in task.state if source.type == 'joint_state' for n in source.names]
    pairs = sum(n.startswith('right_') and f'left_{n[6:]}' in names for n in names)
    action = task.action
    moves_two = action is not None and action.kind == 'ee_delta' and action.dim == 2 * DELTA_DIM
    # One pair alone may be the two fingers of one gripper.
    return SIDES if moves_two or pairs > 1 else ('',)


def with_robot(task: TaskSpec, robot: str) -> TaskSpec:
    """The task with another kind of arm: its joints in the state, and it in the simulation.

    Models belong to one kind of arm, so those that the task names are not taken over.

    Raises:
        UserError: there is no such robot, or the task uses some of its own robot's joints only,
            so that nobody knows which of the other's are meant.
    """
    if robot == task.robot:
        return task
    old, new = robot_joints(task.robot), robot_joints(robot)
    prefixes = [f'{side}_' if side else '' for side in sides_of(task)]
    state = []
    for source in task.state:
        if source.type == 'joint_state':
            whole = tuple(prefix + name for prefix in prefixes for name in old)
            if source.names != whole:
                raise UserError(
                    f'task {task.name} lists other joints than the whole arm of {task.robot}: '
                    f'write a task file for {robot}.'
                )
            names = tuple(prefix + name for prefix in prefixes for name in new)
            source = dataclasses.replace(source, names=names)
        state.append(source)
    sim = task.sim
    if sim is not None:
        sim = dataclasses.replace(sim, config={**sim.config, 'arm': robot})
    return dataclasses.replace(task, robot=robot, state=tuple(state), sim=sim, models=ModelsSpec())


def with_rig(task: TaskSpec, rig: RigSpec) -> TaskSpec:
    """The task on a real table: the rig's robot, camera topics and joint states; no simulation.

    Models that were trained in simulation are not taken over.

    Raises:
        UserError: the rig lacks a camera of the task, or has not as many arms.
    """
    task = with_robot(task, rig.robot)
    sides = tuple(arm.side for arm in rig.arms)
    if task.action is not None and sides != sides_of(task):
        raise UserError(
            f'task {task.name} needs {_arms(sides_of(task))}, and the rig has {_arms(sides)}.'
        )
    absent = [camera.name for camera in task.cameras if camera.name not in rig.cameras]
    if absent:
        raise UserError(
            f'task {task.name} looks through camera {absent[0]!r}, which the rig has not: '
            f'list it under cameras; it has {", ".join(rig.cameras) or "none"}.'
        )
    return dataclasses.replace(
        task,
        models=ModelsSpec() if task.models.simulated else task.models,
        cameras=tuple(_camera(camera, rig.cameras[camera.name]) for camera in task.cameras),
        state=tuple(_source(source, rig) for source in task.state),
        sim=None,
    )


def _camera(camera: CameraSpec, real: RigCamera) -> CameraSpec:
    """A camera of the task, with what the rig says of it; sizes of the simulation do not hold."""
    changes: dict[str, object] = {'width': real.width, 'height': real.height}
    changes |= {'rate_hz': real.rate_hz or camera.rate_hz}
    if real.source == 'topic':
        changes |= {'topic': real.topic, 'transport': real.transport, 'info_topic': real.info_topic}
    if real.frame_id:
        changes['frame_id'] = real.frame_id
    return dataclasses.replace(camera, **changes)  # type: ignore[arg-type]


def _source(source: StateSource, rig: RigSpec) -> StateSource:
    if source.topic != _JOINT_TOPIC:
        return source
    return dataclasses.replace(source, topic=rig.joint_state_topic)


def _arms(sides: tuple[str, ...]) -> str:
    return 'one arm' if len(sides) == 1 else 'a left and a right arm'
