# SPDX-License-Identifier: Apache-2.0
"""Commands of the safety gate to short trajectories that a trajectory controller may splice.

Every trajectory continues the one before it exactly, as far as it may have been executed when the
new one arrives, and ends at rest: when no further one comes, the arm brakes and stands.

Two curves, both on a grid of 10 ms. The *path* follows the commands `lead_s` later, with a bounded
velocity and an acceleration that is constant over a step; then it brakes. The trajectory is the
mean of the path over the last step. A mean of what is within the limits of position, velocity and
acceleration is within them, too, and its acceleration changes linearly, by at most twice its limit
in a step: that bounds the jerk. Position, velocity and acceleration at the grid's points determine
it, as a controller that interpolates by polynomials of the third degree or the fifth finds it.

A controller such as ros2_control's `JointTrajectoryController` begins a trajectory in the future at
the *measured* state, which would tear the motion apart. So trajectories begin in the past, with a
time stamp of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf.drivers.franka_limits import SpeedCaps, speed_caps
from vvf.safety import RobotLimits

Array = NDArray[np.float64]

STEP_S = 0.01
STEP_NS = 10_000_000
PAST = 3  # steps that a trajectory begins before now: clocks and arrivals differ
_MARGIN_S = 0.01  # what is due within this time counts as executed: a message needs as long
_ON = 6  # steps towards a command before the arm brakes: the next one may be late
_CATCH_UP = 0.5  # of the acceleration, to get to the commands; the rest is for their own


@dataclass(frozen=True)
class Trajectory:
    """Points one step apart: (k, n) rad, rad/s, rad/s^2. Point `i` is due at step `first + i`.

    Steps are counted from the clock's zero, so that trajectories fit each other to the nanosecond.
    """

    first: int
    position: Array
    velocity: Array
    acceleration: Array


class Streamer:
    """Turns commands into trajectories; knows no ROS and no clock. Times may not run back.

    Args:
        limits: of the robot; velocity and acceleration are held.
        lead_s: how much later than commanded a pose is due. At least the time between two
            commands and a message's way, else the arm slows down before each.
        horizon_s: within this time after `now` a trajectory is at rest; bounds the speed.
    """

    def __init__(
        self, limits: RobotLimits, *, lead_s: float = 0.04, horizon_s: float = 0.65
    ) -> None:
        self._acceleration = limits.acceleration
        braking_s = horizon_s - lead_s - (3 + _ON) * STEP_S
        top = np.minimum(limits.velocity, limits.acceleration * braking_s)
        self._caps: SpeedCaps = speed_caps(limits, top)
        self._lead_s = lead_s
        self._path = np.zeros((0, len(top)))
        self._base = 0

    def reset(self, position: Array, now: float) -> None:
        """Begin at rest at a position (n,), such as the measured one."""
        self._path = np.array([position], np.float64)
        self._speed = np.zeros_like(self._path)
        self._base = self._followed = math.floor(now / STEP_S) - 2 * PAST
        self._command, self._time = self._path[0], now

    def at_rest(self, now: float) -> bool:
        """Whether the last trajectory has ended."""
        return now >= (self._base + len(self._path)) * STEP_S

    def update(self, command: Array, now: float) -> Trajectory:
        """The trajectory to send, now that a command (n,) in rad came."""
        now = max(now, self._time + 1e-4)
        executed = max(math.ceil((now + _MARGIN_S) / STEP_S), self._followed)
        target = max(math.floor((now + self._lead_s) / STEP_S), executed)
        first = math.floor(now / STEP_S) - PAST
        path, speed = self._window(first - 1, executed)
        moved, passed = command - self._command, now - self._time
        slope = moved / max(passed, STEP_S)
        for step in range(executed + 1, target + _ON + 1):
            since = step * STEP_S - self._lead_s - self._time
            wanted = self._command + moved * float(np.clip(since / passed, 0.0, 1.0))
            u, w = self._follow(path[-1], speed[-1], wanted, slope if step <= target else 0.0)
            path, speed = np.vstack([path, u]), np.vstack([speed, w])
        self._command, self._time = np.array(command, np.float64), now
        return self._finish(first, target, path, speed)

    def stop(self, now: float) -> Trajectory:
        """Brake as soon as the message can count on, and stand."""
        now = max(now, self._time)
        executed = math.ceil((now + self._lead_s / 2) / STEP_S)
        first = min(math.floor(now / STEP_S) - PAST, executed)
        path, speed = self._window(first - 1, executed)
        return self._finish(first, executed, path, speed)

    def _window(self, first: int, last: int) -> tuple[Array, Array]:
        """The planned path from one step to another; at rest before it and after it."""
        index = np.clip(np.arange(first, last + 1) - self._base, 0, len(self._path) - 1)
        return self._path[index], self._speed[index]

    def _follow(
        self, u: Array, w: Array, wanted: Array, slope: Array | float
    ) -> tuple[Array, Array]:
        """One step of the path towards a position that moves at `slope`."""
        caps, change = self._caps, self._acceleration * STEP_S
        slope = np.clip(slope, -caps.top, caps.top)
        error = wanted - (u + (w + slope) / 2 * STEP_S)
        # Not faster towards the commands than what can be braked when they are reached.
        slow = _CATCH_UP * change
        near = np.sqrt(slow**2 + 2 * _CATCH_UP * self._acceleration * np.abs(error)) - slow
        goal = slope + np.copysign(near, error)
        ahead = u + w * STEP_S
        goal = np.clip(goal, caps.towards_lower(ahead), caps.towards_upper(ahead))
        reached = np.clip(goal, w - change, w + change)
        return u + (w + reached) / 2 * STEP_S, reached

    def _finish(self, first: int, target: int, path: Array, speed: Array) -> Trajectory:
        """Append the braking, keep the plan, and take the means."""
        change = self._acceleration * STEP_S
        count = math.ceil(float((np.abs(speed[-1]) / change).max())) + 2
        slower = np.maximum(np.abs(speed[-1]) - np.arange(count)[:, None] * change, 0.0)
        slower = np.copysign(slower, speed[-1])
        slower[-2:] = 0.0
        moved = np.cumsum((slower[1:] + slower[:-1]) / 2, axis=0) * STEP_S
        path, speed = np.vstack([path, path[-1] + moved]), np.vstack([speed, slower[1:]])
        self._path, self._speed = path, speed
        self._base, self._followed = first - 1, target
        mean = path[:-1] + (2 * speed[:-1] + speed[1:]) / 6 * STEP_S
        return Trajectory(
            first,
            mean,
            (speed[1:] + speed[:-1]) / 2,
            (speed[1:] - speed[:-1]) / STEP_S,
        )
