# SPDX-License-Identifier: Apache-2.0
"""Arm drivers: what is behind the safety gate."""

from __future__ import annotations

import pkgutil
from typing import Any

from vvf.drivers.base import ArmDriver
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
        UserError: the task cannot be simulated, the rig is wrong, or its driver's messages are
            not installed.
    """
    if not rig:
        from vvf.drivers.sim import make_sim_drivers

        return dict(make_sim_drivers(node, task, sides_of(task), seed))
    table = load_rig(rig)
    make = pkgutil.resolve_name(DRIVERS[table.driver])
    return {arm.side: make(node, limits, arm.options, arm.side) for arm in table.arms}
