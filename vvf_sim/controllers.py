# SPDX-License-Identifier: Apache-2.0
"""From Cartesian displacements to joint targets: shared by the simulation and the real arm.

Both the Gymnasium environment and the arm's node move by these two classes, so that what is
learned on one moves alike on the other.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.robots.widowx import FINGER_RANGE, VELOCITY_LIMITS, finger_from_opening
from vvf_sim.rotations import Array, orthonormalise, rotation_exp

# Part of a control step over which joint targets move; the rest lets the arm catch up.
RAMP_FRACTION = 0.7
# A pose that the arm misses by more than this is taken back to what it can reach.
MAX_POSITION_ERROR = 0.005
MAX_ROTATION_ERROR = 0.1


@dataclass(frozen=True)
class Workspace:
    """A box in the base frame that the commanded tip stays in, metres."""

    low: tuple[float, float, float] = (0.12, -0.32, 0.022)
    high: tuple[float, float, float] = (0.46, 0.32, 0.36)

    def clip(self, position: Array) -> Array:
        """The nearest position (3,) inside the box."""
        return np.clip(position, self.low, self.high)


class CartesianTarget:
    """Holds the commanded pose and gripper, and turns 7-D displacements into joint targets.

    Displacements add to what was *commanded*, not to what was reached, so a lag of the arm does
    not leak into the next command.

    Args:
        kinematics: the arm's.
        workspace: box that the commanded tip is clipped to.
    """

    def __init__(
        self, kinematics: Kinematics | None = None, workspace: Workspace | None = None
    ) -> None:
        self.kinematics = kinematics or Kinematics()
        self.workspace = workspace or Workspace()
        self._joints = np.zeros(7)
        self._pose = np.eye(4)
        self.reset(np.append(np.zeros(6), FINGER_RANGE[1]))

    @property
    def pose(self) -> Array:
        """Commanded pose of the tip (4, 4), base frame."""
        return self._pose.copy()

    @property
    def joints(self) -> Array:
        """Commanded joints (7,): six angles in rad, left finger in m."""
        return self._joints.copy()

    @property
    def opening(self) -> float:
        """Commanded opening: 1 open, 0 closed."""
        low, high = FINGER_RANGE
        return float((self._joints[6] - low) / (high - low))

    def reset(self, joints: ArrayLike) -> None:
        """Take joints (7,), in rad and m, as what is commanded now, without moving."""
        values = np.asarray(joints, np.float64)
        if values.shape != (7,) or not np.isfinite(values).all():
            raise ValueError(f'expected 7 finite joints, got {values!r}')
        self._joints = values.copy()
        self._joints[6] = np.clip(values[6], *FINGER_RANGE)
        self._pose = self.kinematics.forward(values[:6])

    def apply(self, action: ArrayLike, workspace: Workspace | None = None) -> Array:
        """Move the commanded pose by an action and return the joint target (7,).

        Args:
            action: (7,) translation in m, rotation vector in rad (both base frame), gripper
                (above .5 opens).
            workspace: another box for this call.

        Raises:
            ValueError: the action is not finite or has another shape; nothing changes then.
        """
        values = np.asarray(action, np.float64)
        if values.shape != (7,) or not np.isfinite(values).all():
            raise ValueError(f'expected 7 finite numbers, got {values!r}')
        pose = self._pose.copy()
        pose[:3, 3] = (workspace or self.workspace).clip(pose[:3, 3] + values[:3])
        pose[:3, :3] = orthonormalise(rotation_exp(values[3:6]) @ pose[:3, :3])
        found = self.kinematics.inverse(pose, self._joints[:6])
        if found.position_error > MAX_POSITION_ERROR or found.rotation_error > MAX_ROTATION_ERROR:
            # Otherwise the command would run away from the arm and take as long to come back.
            pose = self.kinematics.forward(found.q)
        self._pose = pose
        self._joints = np.append(found.q, finger_from_opening(1.0 if values[6] > 0.5 else 0.0))
        return self._joints.copy()


class JointRamp:
    """Straight-line interpolation of joint targets, never faster than the joints' limits.

    Args:
        start: joints (7,) at time 0, rad and m.
        goal: joints (7,) at the end.
        duration: wanted seconds; longer if a velocity limit asks for it.
        velocity_limits: (7,) rad/s and m/s.
    """

    def __init__(
        self,
        start: ArrayLike,
        goal: ArrayLike,
        duration: float,
        velocity_limits: ArrayLike = VELOCITY_LIMITS,
    ) -> None:
        self.start = np.array(start, np.float64)
        self.goal = np.array(goal, np.float64)
        needed = np.abs(self.goal - self.start) / np.asarray(velocity_limits, np.float64)
        self.duration = max(float(duration), float(needed.max()))

    def at(self, seconds: float) -> Array:
        """Joint target (7,) at a time since the start; before 0 the start, later the goal."""
        part = 1.0 if self.duration <= 0.0 else seconds / self.duration
        part = min(max(part, 0.0), 1.0)
        return np.asarray(self.start + part * (self.goal - self.start))

    def done(self, seconds: float) -> bool:
        """Whether the goal is commanded at that time."""
        return seconds >= self.duration or math.isclose(seconds, self.duration)
