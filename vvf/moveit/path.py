# SPDX-License-Identifier: Apache-2.0
"""A planned way through joint space, checked and slowed down before an arm goes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf.safety_limits import RobotLimits

Array = NDArray[np.float64]

#: How far a plan may begin and end from where it was to, rad.
NEAR = 0.02
_SAME = 1e-3  # rad


class PlanError(ValueError):
    """A plan that no arm may go; the text says why."""


class PlannedPath:
    """Straight lines between planned postures, with the interface of `vvf.joint_move.JointMove`.

    Args:
        times: (k,) seconds since the start, rising.
        positions: (k, n) rad.
        limits: of the arm: a plan that is faster than homing may be is stretched.
        start: (n,) where the arm is told to be, rad.
        goal: (n,) where it has to arrive, rad.

    Attributes:
        start: (n,) as given: the first of the planned postures is brought to it.
        goal: (n,) as given.
        duration: seconds.

    Raises:
        PlanError: the plan does not lead from start to goal, leaves the joint limits, or its
            numbers are no plan.
    """

    def __init__(
        self,
        times: ArrayLike,
        positions: ArrayLike,
        limits: RobotLimits,
        start: ArrayLike,
        goal: ArrayLike,
    ) -> None:
        try:
            at, way = np.asarray(times, np.float64), np.array(positions, np.float64)
        except ValueError as error:  # as many angles in one posture as in the other
            raise PlanError(f'a plan is a table of angles: {error}') from error
        self.start, self.goal = np.array(start, np.float64), np.array(goal, np.float64)
        n = len(limits.joint_names)
        if at.ndim != 1 or len(at) < 2 or way.shape != (len(at), n):
            raise PlanError(f'a plan for {n} joints has at least two postures of as many angles')
        if not (np.isfinite(at).all() and np.isfinite(way).all() and (np.diff(at) > 0).all()):
            raise PlanError('the times or angles of the plan are no numbers, or go backwards')
        if ((way < limits.lower - 1e-6) | (way > limits.upper + 1e-6)).any():
            raise PlanError('the plan leads beyond a joint limit')
        # An arm that is found a little beyond a limit: nobody plans from there.
        begin = limits.clip(self.start)
        if np.abs(way[0] - begin).max() > NEAR or np.abs(way[-1] - self.goal).max() > NEAR:
            raise PlanError('the plan does not lead from where the arm is to where it has to go')
        way[0], way[-1] = self.start, self.goal
        speeds = np.abs(np.diff(way, axis=0)) / np.diff(at)[:, None]
        stretch = max(1.0, float((speeds / limits.move_velocity).max()))
        self.times = (at - at[0]) * stretch
        self.positions = way
        self.duration = float(self.times[-1])

    def joins(self, start: Array, goal: Array) -> bool:
        """Whether it leads from start (n,) to goal (n,)."""
        apart = max(np.abs(self.start - start).max(), np.abs(self.goal - goal).max())
        return bool(apart < _SAME)

    def at(self, seconds: float) -> Array:
        """Joint positions (n,) at a time since the start; before 0 the start, later the goal."""
        return np.array([np.interp(seconds, self.times, column) for column in self.positions.T])
