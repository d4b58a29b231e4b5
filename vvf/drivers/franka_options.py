# SPDX-License-Identifier: Apache-2.0
"""The `options` of a Franka in the rig file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vvf.errors import UserError
from vvf.safety import RobotLimits
from vvf.schema import build


@dataclass(frozen=True)
class FrankaOptions:
    """Names are relative to `namespace`, and those of franka_ros2's launch files.

    Attributes:
        namespace: of the vendor's nodes; '' is the root.
        joint_prefix: what stands before `joint1` and `finger_joint1`; '': the robot's name, as in
            `fr3_`.
        controller: a joint trajectory controller; '': `<joint_prefix>arm_controller`.
        gripper: the hand's node; '' is an arm without one.
        gripper_action: `franka` grasps whatever is between the fingers, `command` is the action of
            ros2_control, that other grippers have, too.
        open_width_m: m between the open fingers; less than the hand's own maximum, which it refuses
            to go beyond.
        grip_force_n: N, with which the hand closes.
        grip_speed_m_s: m/s between the fingers.
        state_topic: the joints, at the robot's rate.
        robot_state_topic: mode and errors.
        recovery_action: clears an error.
        controller_manager: puts hardware and controllers on again after an error.
        hardware: what the controller manager calls the arm.
        lead_s: how much later than commanded a pose is due, s.
        horizon_s: within this time the arm stands when no further command comes, s; bounds the
            speed.
        state_timeout_s: without joint states for this long, the arm is faulty.
    """

    namespace: str = ''
    joint_prefix: str = ''
    controller: str = ''
    gripper: str = 'franka_gripper'
    gripper_action: Literal['franka', 'command'] = 'franka'
    open_width_m: float = 0.078
    grip_force_n: float = 20.0
    grip_speed_m_s: float = 0.1
    state_topic: str = 'franka/joint_states'
    robot_state_topic: str = 'franka_robot_state_broadcaster/robot_state'
    recovery_action: str = 'action_server/error_recovery'
    controller_manager: str = 'controller_manager'
    hardware: str = 'FrankaHardwareInterface'
    lead_s: float = 0.04
    horizon_s: float = 0.65
    state_timeout_s: float = 0.5

    def name(self, relative: str) -> str:
        """The full name of a topic, service or action."""
        if relative.startswith('/'):
            return relative
        namespace = self.namespace.strip('/')
        return f'/{namespace}/{relative}' if namespace else f'/{relative}'

    def joint_names(self, limits: RobotLimits) -> tuple[str, ...]:
        """What the vendor calls the joints, in URDF order."""
        prefix = self.joint_prefix or f'{limits.name}_'
        return tuple(f'{prefix}joint{i + 1}' for i in range(len(limits.joint_names)))

    def controller_name(self, limits: RobotLimits) -> str:
        """The trajectory controller."""
        return self.controller or f'{self.joint_prefix or limits.name + "_"}arm_controller'


def franka_options(options: Mapping[str, Any], side: str = '') -> FrankaOptions:
    """Check the options of a rig file.

    Raises:
        UserError: an option is unknown, of another type, or a time makes no sense.
    """
    where = f'rig file, options of the {side} arm' if side else 'rig file, options of the arm'
    made: FrankaOptions = build(FrankaOptions, dict(options), where, '')
    if not 0.02 <= made.lead_s <= 0.2:
        raise UserError(f'{where}: lead_s must be from 0.02 to 0.2 s, it is {made.lead_s:g}.')
    if not made.lead_s + 0.15 <= made.horizon_s <= 2.0:
        raise UserError(
            f'{where}: horizon_s must be from {made.lead_s + 0.15:g} (lead_s and 0.15 s) to 2 s, '
            f'it is {made.horizon_s:g}.'
        )
    return made
