# SPDX-License-Identifier: Apache-2.0
"""Interbotix's joint states in our order and units, and what of them cannot be true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vvf.drivers.base import JointReading
from vvf.safety import RobotLimits

#: How far beyond its limit a joint can be measured, rad: play, and a sleep pose at the stop.
_MARGIN = 0.2


class JointTranslator:
    """Messages of `joint_states`, whose joints may come in any order, to readings.

    Args:
        limits: names the joints and the finger that a reading has.
    """

    def __init__(self, limits: RobotLimits) -> None:
        self._limits = limits
        self._names: tuple[str, ...] = ()
        self._order: list[int] = []

    def translate(
        self,
        names: Sequence[str],
        position: Sequence[float],
        velocity: Sequence[float],
        stamp: float,
    ) -> JointReading | str:
        """A reading, or why there is none.

        Interbotix's node does not tell when its motors do not answer: it publishes the zeros of an
        empty buffer, which are -pi on every joint, with a stamp of now.

        Args:
            names: of all joints in the message.
            position: rad, and m for the fingers.
            velocity: rad/s; empty where the sender has none, such as the vendor's simulator.
            stamp: s.
        """
        if tuple(names) != self._names:
            wanted = (*self._limits.joint_names, self._limits.gripper_name)
            missing = [name for name in wanted if name not in names]
            if missing:
                return (
                    f'its joint states have {", ".join(names) or "no names"}, but no '
                    f"{', '.join(missing)}: launch the vendor's node with "
                    f'robot_model:={self._limits.name}'
                )
            self._names = tuple(names)
            self._order = [self._names.index(name) for name in wanted]
        if len(position) < len(names):
            return f'its joint states have {len(names)} names and {len(position)} positions'
        numbers = np.asarray(position, np.float64)[self._order]
        joints = numbers[:-1]
        low, high = self._limits.lower - _MARGIN, self._limits.upper + _MARGIN
        if not np.isfinite(numbers).all() or ((joints < low) | (joints > high)).any():
            return (
                'its motors do not answer (joints are measured where none can be): check the cable '
                "and the power supply, then start the vendor's node again"
            )
        if len(velocity) < len(names):
            speeds = np.zeros_like(joints)
        else:
            speeds = np.asarray(velocity, np.float64)[self._order[:-1]]
        return JointReading(joints, speeds, float(numbers[-1]), stamp)


def check_robot(
    limits: RobotLimits, names: Sequence[str], lower: Sequence[float], upper: Sequence[float]
) -> str:
    """What of the vendor's `get_robot_info` contradicts the robot file; '' where nothing does.

    Args:
        limits: those of the robot file.
        names: joints of the vendor's group, in the order in which it takes commands.
        lower: its limits, rad; empty where the vendor's node was started without a URDF.
        upper: the same.
    """
    launch = f"start the vendor's node with robot_model:={limits.name}"
    if tuple(names) != limits.joint_names:
        return (
            f'it drives {len(names)} joints ({", ".join(names)}), and the robot file of '
            f'{limits.name} names {len(limits.joint_names)} ({", ".join(limits.joint_names)}): '
            f'{launch}, or choose another robot'
        )
    for ours, theirs, sign in ((limits.lower, lower, 1.0), (limits.upper, upper, -1.0)):
        if len(theirs) != len(ours):
            continue
        beyond = (np.asarray(theirs) - ours) * sign
        if (beyond > 0.01).any():
            joint = int(np.argmax(beyond))
            return (
                f'its {names[joint]} ends at {theirs[joint]:.3f} rad, and the robot file of '
                f'{limits.name} allows {ours[joint]:.3f}: {launch}'
            )
    return ''
