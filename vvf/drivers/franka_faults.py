# SPDX-License-Identifier: Apache-2.0
"""Modes and errors of a Franka in words that say what to do. Knows no ROS."""

from __future__ import annotations

from collections.abc import Sequence

# franka_msgs/FrankaRobotState
OTHER, IDLE, MOVE, GUIDING, REFLEX, USER_STOPPED, RECOVERING = range(7)

_RECOVER = 'look at the arm, then call /vvf/arm/recover'
_CAUSES = {
    'communication_constraints_violation': 'commands reached the robot too late: check the '
    'real-time kernel and the direct cable',
    'cartesian_reflex': 'the arm hit something',
    'joint_reflex': 'the arm hit something',
    'joint_position_limits_violation': 'a joint is at its end',
}


def mode_fault(mode: int, errors: Sequence[str]) -> str:
    """What is wrong in a mode of the robot; '' where it may move.

    Args:
        mode: `robot_mode` of `franka_msgs/FrankaRobotState`.
        errors: names of the `current_errors` that are set.
    """
    named = f' ({", ".join(errors)})' if errors else ''
    causes = [_CAUSES[name] for name in errors if name in _CAUSES]
    cause = f'; {causes[0]}' if causes else ''
    if mode == REFLEX:
        return f'the Franka stopped itself{named}{cause}: {_RECOVER}'
    if mode == USER_STOPPED:
        return (
            f'the Franka is stopped by its button{named}: release the stop or the enabling switch, '
            'then call /vvf/arm/recover'
        )
    if mode == GUIDING:
        return f'the Franka is being guided by hand{named}: let go of its guiding button'
    if mode == RECOVERING:
        return f'the Franka recovers from an error{named}: wait until it is through'
    if mode not in (IDLE, MOVE):
        return (
            f'the Franka is not ready{named}: unlock its joints and activate FCI in Desk, then '
            'call /vvf/arm/recover'
        )
    if errors:
        return f'the Franka reports an error{named}{cause}: {_RECOVER}'
    return ''
