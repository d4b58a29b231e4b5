# SPDX-License-Identifier: Apache-2.0
"""What a `joint_trajectory_controller` makes of trajectories, and what the arm thinks of it.

Neither knows ROS. Times are in s of one clock, positions in rad.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Follower:
    """Interpolates the newest trajectory by polynomials of the fifth degree, as ros2_control does.

    Before a trajectory's first point it goes from where it *measured* the joints when the
    trajectory came, at rest, to that point; after the last one it stays there.
    """

    def __init__(self, position: Array) -> None:
        self._times = np.zeros(1)
        self._position = np.array([position], np.float64)
        self._velocity = self._acceleration = np.zeros_like(self._position)

    def take(
        self,
        times: Array,
        points: tuple[Array, Array, Array],
        now: float,
        measured: Array,
    ) -> str:
        """Splice a trajectory of (k,) times and (k, n) positions, velocities, accelerations.

        Returns:
            Why it is refused, as the controller's log would say; '' when it is taken.
        """
        if (np.diff(times) <= 0).any():
            return 'Time between points is not strictly increasing'
        if np.abs(points[1][-1]).max() > 1e-7:
            return 'Velocity of last trajectory point is not zero'
        if times[-1] < now:
            return 'Received trajectory that ends in the past'
        self._times = times
        self._position, self._velocity, self._acceleration = points
        if times[0] > now:
            rest = np.zeros_like(measured)
            self._times = np.append(now, times)
            self._position = np.vstack([measured, self._position])
            self._velocity = np.vstack([rest, self._velocity])
            self._acceleration = np.vstack([rest, self._acceleration])
        return ''

    def at(self, time: float) -> tuple[Array, Array, Array]:
        """Desired position, velocity and acceleration at a time."""
        i = int(np.searchsorted(self._times, time, side='right')) - 1
        if i < 0 or i >= len(self._times) - 1:
            still = np.zeros_like(self._position[0])
            return self._position[max(i, 0)], still, still
        span, s = self._times[i + 1] - self._times[i], time - self._times[i]
        p0, v0, a0 = self._position[i], self._velocity[i], self._acceleration[i]
        p1, v1, a1 = self._position[i + 1], self._velocity[i + 1], self._acceleration[i + 1]
        # What the quadratic of the first point leaves for the three higher powers.
        p = p1 - p0 - v0 * span - a0 * span**2 / 2
        v = (v1 - v0 - a0 * span) * span
        a = (a1 - a0) * span**2
        c3 = (10 * p - 4 * v + a / 2) / span**3
        c4 = (-15 * p + 7 * v - a) / span**4
        c5 = (6 * p - 3 * v + a / 2) / span**5
        return (
            p0 + v0 * s + a0 * s**2 / 2 + c3 * s**3 + c4 * s**4 + c5 * s**5,
            v0 + a0 * s + 3 * c3 * s**2 + 4 * c4 * s**3 + 5 * c5 * s**4,
            a0 + 6 * c3 * s + 12 * c4 * s**2 + 20 * c5 * s**3,
        )


class Guard:
    """Trips over a commanded motion as the robot does, by the names of `franka_msgs/Errors`.

    Differences between the positions that were commanded one after the other, `step_s` apart, are
    what it sees: a jump in position is a velocity, a jump in velocity an acceleration.
    """

    def __init__(self, lower: Array, upper: Array, bounds: tuple[Array, Array, Array]) -> None:
        self._lower, self._upper = lower, upper
        self._bounds = bounds  # velocity, acceleration, jerk
        self._seen: list[Array] = []

    def reset(self) -> None:
        """Forget what was commanded: the next motion begins at rest."""
        self._seen.clear()

    def check(self, position: Array, step_s: float) -> list[str]:
        """The errors that this command causes; empty while all is well."""
        self._seen = [*(self._seen or [position] * 3), position][-4:]
        errors = []
        if (position < self._lower - 1e-6).any() or (position > self._upper + 1e-6).any():
            errors.append('joint_motion_generator_position_limits_violation')
        names = (
            'joint_velocity_violation',
            'joint_motion_generator_velocity_discontinuity',
            'joint_motion_generator_acceleration_discontinuity',
        )
        difference = np.array(self._seen)
        for name, bound in zip(names, self._bounds, strict=True):
            difference = np.diff(difference, axis=0) / step_s
            if (np.abs(difference[-1]) > bound * (1 + 1e-6) + 1e-6).any():
                errors.append(name)
        return errors
