# SPDX-License-Identifier: Apache-2.0
"""Arm drivers: what is behind the safety gate."""

from __future__ import annotations

import pkgutil
from collections import Counter
from typing import Any

from vvf.drivers.base import ArmDriver
from vvf.errors import UserError
from vvf.rig import load_rig
from vvf.safety import RobotLimits
from vvf.task import TaskSpec
from vvf.task_overlay import sides_of

#: Looked up when they are needed: each wants messages that only its own users have installed.
DRIVERS = {
    'widowx': 'vvf.drivers.widowx:WidowXDriver',
    'franka': 'vvf.drivers.franka:FrankaDriver',
}


def make_drivers(
    node: Any, task: TaskSpec, limits: RobotLimits, *, rig: str = '', seed: int = 0
) -> dict[str, ArmDriver]:
    """The driver of each arm of a task, by its side: '' for one arm, else 'left' and 'right'.

    Args:
        node: the rclpy node that owns what they publish and call.
        task: as of `load_task` with the same rig.
        limits: of the arms.
        rig: a name or path of a rig file; '' simulates.
        seed: of the first simulated layout.

    Raises:
        UserError: the task cannot be simulated, the rig is wrong, as where two arms are the same
            one, or its driver's messages are not installed.
    """
    if not rig:
        from vvf.drivers.sim import make_sim_drivers

        return dict(make_sim_drivers(node, task, sides_of(task), seed))
    table = load_rig(rig)
    make = pkgutil.resolve_name(DRIVERS[table.driver])
    drivers: dict[str, ArmDriver] = {
        arm.side: make(node, limits, arm.options, arm.side) for arm in table.arms
    }
    # Two gates for one arm would each pull it to a pose of its own.
    topics = Counter(publisher.topic_name for publisher in node.publishers)
    twice = [topic for topic, count in topics.items() if count > 1]
    if twice:
        raise UserError(
            f'rig {rig}: both arms are sent commands on {twice[0]}: give each one a namespace of '
            'its own, as in the launch of its driver.'
        )
    return drivers
