# SPDX-License-Identifier: Apache-2.0
"""From Cartesian displacements to joint targets: shared by the simulation and the real arm.

Both the Gymnasium environment and the arm's node move by these two classes, so that what is
learned on one moves alike on the other.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from vvf_sim.robots.arm import ArmModel, Workspace, arm_model
from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.rotations import Array, orthonormalise, rotation_exp

# Part of a control step over which joint targets move; the rest lets the arm catch up.
RAMP_FRACTION = 0.7
# A pose that the arm misses by more than this is taken back to what it can reach.
MAX_POSITION_ERROR = 0.005
MAX_ROTATION_ERROR = 0.1


class CartesianTarget:
    """Holds the commanded pose and gripper, and turns 7-D displacements into joint targets.

    Displacements add to what was *commanded*, not to what was reached, so a lag of the arm does
    not leak into the next command.

    Args:
        arm: what moves; the WidowX by default.
        kinematics: the arm's own by default.
        workspace: box that the commanded tip is clipped to; the arm's own by default.
    """

    def __init__(
        self,
        arm: ArmModel | None = None,
        kinematics: Kinematics | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        self.arm = arm or arm_model('wx250s')
        self.kinematics = kinematics or self.arm.kinematics()
        self.workspace = workspace or self.arm.workspace
        self._joints = np.append(self.arm.home, self.arm.finger_range[1])
        self._pose = self.kinematics.forward(self.arm.home)

    @property
    def pose(self) -> Array:
        """Commanded pose of the tip (4, 4), base frame."""
        return self._pose.copy()

    @property
    def joints(self) -> Array:
        """Commanded joints (n + 1,): the angles in rad, the finger in m."""
        return self._joints.copy()

    @property
    def opening(self) -> float:
        """Commanded opening: 1 open, 0 closed."""
        low, high = self.arm.finger_range
        return float((self._joints[-1] - low) / (high - low))

    def reset(self, joints: ArrayLike) -> None:
        """Take joints (n + 1,), in rad and m, as what is commanded now, without moving."""
        values = np.asarray(joints, np.float64)
        if values.shape != self._joints.shape or not np.isfinite(values).all():
            raise ValueError(f'expected {len(self._joints)} finite joints, got {values!r}')
        self._joints = values.copy()
        self._joints[-1] = np.clip(values[-1], *self.arm.finger_range)
        self._pose = self.kinematics.forward(values[:-1])

    def apply(self, action: ArrayLike, workspace: Workspace | None = None) -> Array:
        """Move the commanded pose by an action and return the joint target (n + 1,).

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
        found = self.kinematics.inverse(pose, self._joints[:-1])
        if found.position_error > MAX_POSITION_ERROR or found.rotation_error > MAX_ROTATION_ERROR:
            # Otherwise the command would run away from the arm and take as long to come back.
            pose = self.kinematics.forward(found.q)
        self._pose = pose
        opening = 1.0 if values[6] > 0.5 else 0.0
        self._joints = np.append(found.q, self.arm.finger_from_opening(opening))
        return self._joints.copy()


class JointRamp:
    """Straight-line interpolation of joint targets, never faster than the joints' limits.

    Args:
        start: joints (n + 1,) at time 0, rad and m.
        goal: joints (n + 1,) at the end.
        duration: wanted seconds; longer if a velocity limit asks for it.
        velocity_limits: (n + 1,) rad/s and m/s.
    """

    def __init__(
        self,
        start: ArrayLike,
        goal: ArrayLike,
        duration: float,
        velocity_limits: ArrayLike,
    ) -> None:
        self.start = np.array(start, np.float64)
        self.goal = np.array(goal, np.float64)
        needed = np.abs(self.goal - self.start) / np.asarray(velocity_limits, np.float64)
        self.duration = max(float(duration), float(needed.max()))

    def at(self, seconds: float) -> Array:
        """Joint target (n + 1,) at a time since the start; before 0 the start, later the goal."""
        part = 1.0 if self.duration <= 0.0 else seconds / self.duration
        part = min(max(part, 0.0), 1.0)
        return np.asarray(self.start + part * (self.goal - self.start))

    def done(self, seconds: float) -> bool:
        """Whether the goal is commanded at that time."""
        return seconds >= self.duration or math.isclose(seconds, self.duration)
