# SPDX-License-Identifier: Apache-2.0
"""From what a human wants to one step of one arm, within the speed limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vvf.safety import RobotLimits
from vvf.teleop.commands import Array
from vvf.teleop.leader import Leader
from vvf_sim.controllers import CartesianTarget
from vvf_sim.robots.arm import Workspace, arm_model

_OPEN = 0.85  # a gripper that is measured further open holds nothing; else it may


@dataclass(frozen=True)
class SpeedLimits:
    """How fast a human may move an arm.

    Attributes:
        axes: (6,) of the tip, m/s and rad/s.
        joints: of each joint that follows a leader of the same kind, rad/s.
    """

    axes: Array
    joints: float


class Side:
    """One arm: its gripper as it is commanded, and the steps that it is told.

    Args:
        limits: of the arm.
        kind: of the task's actions, 'ee_delta' or 'joint_position'.
        speed: of the human's motion.
        low: bounds of a step without its gripper, (6,) or (n,); `None`: no bounds.
        high: likewise.
        leader: the leader arm, where there is one.
        same_kind: it is an arm of the same kind.

    Attributes:
        opening: commanded gripper, 1 open, 0 shut; `None` while it is not known.
    """

    def __init__(
        self,
        limits: RobotLimits,
        kind: str,
        speed: SpeedLimits,
        low: Array | None = None,
        high: Array | None = None,
        leader: Leader | None = None,
        same_kind: bool = False,
    ) -> None:
        self.opening: float | None = None
        self.leader = leader
        self._limits = limits
        self._speed = speed
        self._low, self._high = low, high
        self._by_joints = kind == 'joint_position'
        self._same_kind = same_kind
        self._measured: Array | None = None
        self._gripper = np.nan
        self._target: CartesianTarget | None = None
        if self._by_joints:
            arm = arm_model(limits.name)
            box = Workspace(tuple(limits.workspace_lower), tuple(limits.workspace_upper))
            self._target = CartesianTarget(arm, arm.kinematics(limits.lower, limits.upper), box)
        self._started = False

    def observe(self, joints: Array, gripper: float) -> None:
        """Take measured joints (n,) in rad and the gripper's in m; what is no number is not."""
        if joints.shape == self._limits.lower.shape and np.isfinite(joints).all():
            self._measured = joints
        if np.isfinite(gripper):
            low, high = self._limits.gripper_lower, self._limits.gripper_upper
            self._gripper = (gripper - low) / (high - low)

    def restart(self) -> None:
        """The next step counts from where the arm is then."""
        self._started = False

    def ready(self) -> bool:
        """Whether a step can be made: joint targets need to know where the arm is."""
        return self._target is None or self._started or self._measured is not None

    def toggle_gripper(self) -> float:
        """Open a shut gripper, shut an open one; returns the opening from now on."""
        self.opening = 0.0 if self.known_opening() > 0.5 else 1.0
        return self.opening

    def known_opening(self) -> float:
        """The gripper as commanded, or else as measured: whatever is not wide open may hold."""
        if self.opening is not None:
            return self.opening
        return 0.0 if self._gripper < _OPEN else 1.0

    def step(self, wanted: Array, share: float, seconds: float) -> Array:
        """The next step.

        Args:
            wanted: (6,) displacement of keys and sticks in [-1, 1], as parts of the fastest.
            share: of the leader's speed that is allowed, in [0, 1].
            seconds: how long the step is.

        Returns:
            (6,) displacement, or (n,) joint targets.
        """
        fastest = self._speed.axes * seconds
        moved = np.clip(wanted, -1.0, 1.0) * fastest
        joints = None
        if self.leader is not None and self.leader.engaged:
            if (opening := self.leader.gripper()) is not None:
                self.opening = float(opening)
            joints = self._follow_joints(self.leader, share, seconds)
            if joints is None:
                both = moved + self._follow(self.leader, share, seconds)
                moved = np.clip(both, -fastest, fastest)
        if self._target is None:
            return self._bounded(moved)
        if not self._started and self._measured is not None:
            self._target.reset(np.append(self._measured, 0.0))
            self._started = True
        if joints is not None:
            goal = np.clip(
                self._target.joints[:-1] + joints, self._limits.lower, self._limits.upper
            )
            self._target.reset(np.append(goal, 0.0))
        if moved.any():
            self._target.apply(np.append(moved, 0.0))
        return self._bounded(self._target.joints[:-1])

    def _follow(self, leader: Leader, share: float, seconds: float) -> Array:
        fastest = self._speed.axes * share * seconds
        step = self._bounded(np.clip(leader.displacement(), -fastest, fastest))
        leader.followed(step)
        return step

    def _follow_joints(self, leader: Leader, share: float, seconds: float) -> Array | None:
        if not (self._by_joints and self._same_kind):
            return None
        fastest = self._speed.joints * share * seconds
        step = np.clip(leader.joint_displacement(), -fastest, fastest)
        leader.followed_joints(step)
        return np.asarray(step)

    def _bounded(self, step: Array) -> Array:
        if self._low is None or self._high is None or len(step) != len(self._low):
            return step
        return np.clip(step, self._low, self._high)
