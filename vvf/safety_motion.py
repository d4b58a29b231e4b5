# SPDX-License-Identifier: Apache-2.0
"""The commanded pose of an arm, and how far it may change in a tick."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vvf.safety_limits import RobotLimits
from vvf.safety_states import Reason

Array = NDArray[np.float64]

_NOTHING = 1e-6  # rad/s


class CommandedPose:
    """Advances within the limits of position, velocity and acceleration, and in no other way.

    Attributes:
        position: (n,) joints, rad; `None` while nobody knows where the arm is.
        gripper: opening, m.
    """

    def __init__(self, limits: RobotLimits) -> None:
        self._limits = limits
        self._velocity: Array = np.zeros(len(limits.joint_names))
        self.position: Array | None = None
        self.gripper = limits.gripper_upper

    @property
    def still(self) -> bool:
        """Whether it does not change."""
        return self.position is None or not self._velocity.any()

    def start(self, measured: ArrayLike, gripper: float) -> None:
        """Take a measured pose, at rest.

        Raises:
            ValueError: the numbers are not finite, or not as many as the arm's joints.
        """
        position = np.asarray(measured, dtype=np.float64)
        if position.shape != self._limits.lower.shape or not np.isfinite(position).all():
            raise ValueError('the measured joint positions are not finite numbers of the arm')
        # Also where it lies a little beyond a limit: brought back at once, it would be a leap.
        self.position = position.copy()
        self._velocity = np.zeros_like(position)
        if np.isfinite(gripper):
            self.gripper = self._clip_gripper(gripper)

    def move(self, wanted: Array | None, ends: Array | None, pace: float, dt: float) -> set[Reason]:
        """Advance by one tick.

        Args:
            wanted: (n,) joints within their limits, rad; `None` brakes.
            ends: (n,) where what is wanted leads: it is braked for that. `None` where it brakes by
                itself; then only joint limits are braked for.
            pace: part of the full velocity that is allowed.
            dt: s.

        Returns:
            What kept it from getting there.
        """
        assert self.position is not None
        limits = self._limits
        struck = set()
        brake = limits.acceleration * dt
        velocity = np.zeros_like(self._velocity)
        if wanted is not None:
            step = wanted - self.position
            if ends is None:
                ends = np.where(step > 0, limits.upper, limits.lower)
            way = ends - self.position
            # The end counts where it lies ahead: behind, it is no place to be braked at.
            left = np.where(step * way > 0, np.maximum(np.abs(step), np.abs(way)), np.abs(step))
            # v dt + v^2 / 2a = d: never faster than what can still be braked before that.
            braking = np.sqrt(brake**2 + 2.0 * limits.acceleration * left) - brake
            fastest = np.minimum(limits.velocity * pace, braking)
            velocity = self._along(step / dt, fastest, brake)
            if (np.abs(step / dt) >= limits.velocity).any():
                struck.add(Reason.VELOCITY_LIMIT)
        allowed = np.clip(velocity, self._velocity - brake, self._velocity + brake)
        if (np.abs(allowed - velocity) > 1e-9).any():
            struck.add(Reason.ACCELERATION_LIMIT)
        # An arm that is found beyond a limit may come in, and go no farther out.
        low, high = np.minimum(limits.lower, self.position), np.maximum(limits.upper, self.position)
        moved = np.clip(self.position + allowed * dt, low, high)
        if np.isfinite(moved).all():
            self._velocity = (moved - self.position) / dt
            self.position = moved
        return struck

    def _along(self, speed: Array, fastest: Array, brake: Array) -> Array:
        """Velocity (n,) along a straight line to what is wanted, as fast as all joints may.

        It is the line that was checked against the workspace, and joints that are slowed down each
        by itself leave it. Only where none can turn that quickly do they part.
        """
        far = np.abs(speed) > _NOTHING  # the others have no say in the pace
        near = np.clip(speed, -fastest, fastest)
        if not far.any():
            return near
        size = np.abs(speed[far])
        ahead, change = (self._velocity * np.sign(speed))[far], brake[far]
        part = min(1.0, float((fastest[far] / size).min()))
        soonest = min(part, float(((ahead + change) / size).min()))
        if soonest < max(0.0, float(((ahead - change) / size).max())):
            soonest = part
        return np.where(far, speed * soonest, near)

    def move_gripper(self, goal: float, dt: float) -> None:
        """Open or close by one tick; what is not finite changes nothing."""
        if np.isfinite(goal):
            step = self._limits.gripper_velocity * dt
            near = np.clip(self._clip_gripper(goal) - self.gripper, -step, step)
            self.gripper = self._clip_gripper(self.gripper + float(near))

    def _clip_gripper(self, opening: float) -> float:
        return float(np.clip(opening, self._limits.gripper_lower, self._limits.gripper_upper))
