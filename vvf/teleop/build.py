# SPDX-License-Identifier: Apache-2.0
"""A task, a robot and parameters to an `Operator`, and the names of what is in its actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vvf.actions import delta_names
from vvf.errors import UserError
from vvf.safety import RobotLimits
from vvf.task import TaskSpec
from vvf.task_overlay import sides_of
from vvf.teleop.commands import AXES
from vvf.teleop.gamepad import Gamepad, load_mapping
from vvf.teleop.leader import Leader
from vvf.teleop.mapping import Side, SpeedLimits
from vvf.teleop.operator import Operator
from vvf_sim.robots.arm import arm_model

SOURCES = ('keyboard', 'gamepad', 'leader')


def build_operator(
    task: TaskSpec, limits: RobotLimits, leader_limits: RobotLimits, p: Mapping[str, Any]
) -> Operator:
    """The operator of a task.

    Args:
        task: as it is run, that is, with its robot.
        limits: of the robot.
        leader_limits: of the leader's kind of arm.
        p: parameters of the `teleop` node.

    Raises:
        UserError: the task has no action, or one for other arms; the source is not known.
    """
    if p['source'] not in SOURCES:
        raise UserError(f'source: choose {", ".join(SOURCES)}, not {p["source"]!r}.')
    if task.action is None:
        raise UserError(f'task {task.name} has no action for a human to give.')
    names, action = sides_of(task), task.action
    width = (len(AXES) if action.kind == 'ee_delta' else len(limits.joint_names)) + 1
    if action.dim != width * len(names):
        raise UserError(
            f'task {task.name}: an action of {len(names)} {limits.name} has {width * len(names)} '
            f'numbers with the gripper, not {action.dim}.'
        )
    speed = SpeedLimits(
        np.array(
            [p[f'max_{axis}_{"m_s" if axis in "xyz" else "rad_s"}'] for axis in AXES], np.float64
        ),
        p['max_joint_rad_s'],
    )
    sides = {}
    for number, name in enumerate(names):
        part = slice(number * width, (number + 1) * width - 1)
        low, high = (
            np.array(b[part], np.float64) if b else None for b in (action.low, action.high)
        )
        leader = None
        if p['source'] == 'leader':
            leader = Leader(
                leader_limits,
                arm_model(leader_limits.name).kinematics(),
                prefix=p['leader_prefix'],
                timeout_s=p['leader_timeout_s'],
                jump_rad_s=p['leader_jump_rad_s'],
            )
        same = leader_limits.name == limits.name
        sides[name] = Side(limits, action.kind, speed, low, high, leader, same_kind=same)
    pad = None
    if p['source'] == 'gamepad':
        pad = Gamepad(load_mapping(p['gamepad']), p['gamepad_timeout_s'])
    return Operator(
        sides,
        pad,
        ramp_s=p['ramp_s'],
        speed=p['speed'],
        terminal_timeout_s=p['terminal_timeout_s'],
    )


def action_names(task: TaskSpec, limits: RobotLimits) -> list[str]:
    """Names of an action's numbers, without the grippers."""
    sides = sides_of(task)
    if task.action is not None and task.action.kind == 'ee_delta':
        return delta_names(sides)
    prefixes = [f'{side}_' if side else '' for side in sides]
    return [prefix + name for prefix in prefixes for name in limits.joint_names]
