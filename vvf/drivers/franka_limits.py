# SPDX-License-Identifier: Apache-2.0
"""What a Franka trips over although each joint is within its limits: speed near a stop, and jerk.

Numbers are the vendor's, from `include/franka/rate_limiting.h` of libfranka: version 0.9.2 for the
FER, 0.21 for the FR3. Since system 5.9 an FR3 tells its own, by the same formula, but not to ROS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf.safety import RobotLimits

Array = NDArray[np.float64]

#: rad/s^3 for each joint; the robot answers more with an `acceleration_discontinuity`.
JERK = {
    'fr3': np.full(7, 5000.0),
    'fer': np.array([7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0]),
}
_BRAKING = 0.9  # of the acceleration: what the speed near a stop leaves for following


@dataclass(frozen=True)
class SpeedCaps:
    """How fast each joint may go towards a stop: `sqrt(factor * distance + offset^2) - offset`.

    The distance (n,) in rad is the one to the place where the speed has to be zero: `lower` or
    `upper`. `factor` is in rad/s^2, `offset` and `top` in rad/s. All (n,).
    """

    lower: Array
    upper: Array
    factor: Array
    offset: Array
    top: Array

    def towards_upper(self, position: Array) -> Array:
        """The highest velocity (n,) at a position, rad/s."""
        return self._cap(self.upper - position)

    def towards_lower(self, position: Array) -> Array:
        """The lowest velocity (n,) at a position, rad/s; not positive."""
        return -self._cap(position - self.lower)

    def _cap(self, distance: Array) -> Array:
        room = np.sqrt(self.factor * np.maximum(distance, 0.0) + self.offset**2)
        return np.clip(room - self.offset, 0.0, self.top)


def speed_caps(limits: RobotLimits, top: Array) -> SpeedCaps:
    """The caps of a robot: the vendor's where it has some, and what can be braked in any case.

    The FR3's controller bounds the speed by the distance to the joint's stop, and ends a motion
    that is faster with `joint_velocity_violation`.

    Args:
        limits: of the robot.
        top: (n,) rad/s, the speed far from both stops.
    """
    braking = 2.0 * _BRAKING * limits.acceleration
    if limits.name != 'fr3':
        none = np.zeros_like(top)
        return SpeedCaps(limits.lower, limits.upper, braking, none, top)
    offset = np.array([0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35])
    factor = np.array([12.0, 5.17, 7.00, 8.00, 34.0, 11.0, 34.0])
    upper = np.array([2.75010, 1.79180, 2.90650, -0.1458, 2.81010, 4.52050, 3.01960])
    lower = -np.array([2.75010, 1.79180, 2.90650, 3.04810, 2.81010, -0.54092, 3.01960])
    # The vendor's curve reaches zero a little before its anchor. Where it brakes harder than the
    # joint can, a flatter one takes its place, which ends in the same point.
    slack = offset**2 / factor
    return SpeedCaps(
        np.maximum(lower + slack, limits.lower),
        np.minimum(upper - slack, limits.upper),
        np.minimum(factor, braking),
        offset,
        top,
    )
