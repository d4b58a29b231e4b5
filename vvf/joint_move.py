# SPDX-License-Identifier: Apache-2.0
"""A time-parameterised move from rest to rest: all joints set out and arrive together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class JointMove:
    """A straight line in joint space with a trapezoidal velocity.

    Args:
        start: (n,) joint positions, rad.
        goal: (n,) joint positions, rad.
        velocity: (n,) limits, rad/s.
        acceleration: (n,) limits, rad/s^2.

    Attributes:
        goal: (n,) where it ends.
        duration: seconds.

    Raises:
        ValueError: a number is not finite, or a limit not above zero.
    """

    def __init__(
        self, start: ArrayLike, goal: ArrayLike, velocity: ArrayLike, acceleration: ArrayLike
    ) -> None:
        self.start = np.array(start, np.float64)
        self.goal = np.array(goal, np.float64)
        speed, gain = np.asarray(velocity, np.float64), np.asarray(acceleration, np.float64)
        way = self.goal - self.start
        if not (np.isfinite(way).all() and (speed > 0).all() and (gain > 0).all()):
            raise ValueError('a move needs finite poses, and limits above zero')
        # In units of the whole way: the joint that takes longest sets the pace of all.
        far = np.maximum(np.abs(way), 1e-12)
        self._velocity = float((speed / far).min())
        self._acceleration = float((gain / far).min())
        self._ramp = self._velocity / self._acceleration
        if self._velocity * self._ramp > 1.0:  # too short a way to reach full speed
            self._ramp = float(np.sqrt(1.0 / self._acceleration))
            self._velocity = self._acceleration * self._ramp
        self.duration = 1.0 / self._velocity + self._ramp

    def at(self, seconds: float) -> Array:
        """Joint positions (n,) at a time since the start; before 0 the start, later the goal."""
        return np.asarray(self.start + self._part(seconds) * (self.goal - self.start))

    def _part(self, seconds: float) -> float:
        """Which part of the way is behind, in [0, 1]."""
        t = min(max(seconds, 0.0), self.duration)
        left = self.duration - t
        if t < self._ramp:
            return 0.5 * self._acceleration * t**2
        if left < self._ramp:
            return 1.0 - 0.5 * self._acceleration * left**2
        return self._velocity * (t - 0.5 * self._ramp)
