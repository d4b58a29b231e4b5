# SPDX-License-Identifier: Apache-2.0
"""Action chunks to joint targets over time: what the arm would do if nothing had to be refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf.task import ActionSpec
from vvf_sim.controllers import RAMP_FRACTION, CartesianTarget, JointRamp

Array = NDArray[np.float64]

#: A straight line in joints is a curve in space, which may pass so far outside the workspace, m;
#: downwards no farther than the fingers are above what the arm stands on.
EDGE = 0.01


@dataclass(frozen=True)
class Chunk:
    """A checked action chunk: `data` (horizon, n) in m and rad, `gripper` (horizon,) in [0, 1]."""

    kind: str
    data: Array
    gripper: Array
    dt: float


class ChunkPlayer:
    """Plays chunks: the first step at once, further ones `dt` apart while no newer chunk comes.

    Displacements add to the commanded pose, and joint targets ramp over the first part of a step,
    by the same two classes that the simulation's environment moves with.

    Args:
        action: of the task; its bounds clip each step, `execute` says how many steps of a chunk
            are played.
        target: holds the commanded pose, and the workspace it must stay in.

    Attributes:
        clipped: steps that were beyond the action's bounds.
        outside: steps that were not played, or only in part, as they leave the workspace.
    """

    def __init__(self, action: ActionSpec, target: CartesianTarget | None = None) -> None:
        self.clipped = 0
        self.outside = 0
        self._low = np.asarray(action.low, np.float64) if action.low else None
        self._high = np.asarray(action.high, np.float64) if action.high else None
        self._execute = action.execute
        self._target = target or CartesianTarget()
        self._ramp: JointRamp | None = None
        self._ramp_start = 0.0
        self._inside = self._target.joints  # the newest target in the workspace
        self._most_excess = 0.0
        box = self._target.workspace
        clearance = max(0.0, box.low[2] - self._target.arm.tip_reach)
        self._lowest = np.array(box.low) - [EDGE, EDGE, min(EDGE, clearance)]
        self._highest = np.array(box.high) + EDGE
        self._chunk: Chunk | None = None
        self._chunk_start = 0.0
        self._next = 0
        self._told: float | None = None

    @property
    def joints(self) -> Array:
        """Commanded joints (n + 1,): the angles in rad, the finger in m."""
        return self._target.joints

    @property
    def opening(self) -> float:
        """Commanded opening of the gripper: 1 open, 0 closed.

        What the last step said, wherever an object or a stop has left the fingers since.
        """
        return self._target.opening if self._told is None else self._told

    @property
    def goal(self) -> Array | None:
        """Joints (n + 1,) that the step in play ends at; `None` before the first chunk."""
        return None if self._ramp is None else self._ramp.goal.copy()

    def reset(self, joints: Array) -> None:
        """Forget the chunk and take joints (n + 1,) as the commanded pose."""
        self._chunk = self._ramp = None
        self._target.reset(joints)

    def forget_gripper(self) -> None:
        """Take the gripper for what it is: something else than a step moves it."""
        self._told = None

    def hold(self, joints: Array) -> None:
        """Stay at joints (n + 1,), where the gate holds the arm, until the next chunk."""
        if self._ramp is not None or self._chunk is not None:
            self.reset(joints)
        else:
            self._target.reset(joints)

    def load(self, chunk: Chunk, now: float) -> None:
        """Take a newer chunk; what was left of the last one is dropped."""
        self._chunk, self._chunk_start, self._next = chunk, now, 0

    def at(self, now: float) -> Array | None:
        """Joint target (n + 1,) at a time; `None` before the first chunk."""
        chunk = self._chunk
        if chunk is not None:
            steps = min(self._execute, len(chunk.data))
            while self._next < steps and now >= self._chunk_start + self._next * chunk.dt - 1e-6:
                self._begin(chunk, self._next, now)
                self._next += 1
        if self._ramp is None:
            return None
        target = self._ramp.at(now - self._ramp_start)
        if self._excess(target) > self._most_excess:
            self.outside += 1
            target = self._inside
            self._target.reset(target)
            self._play(JointRamp(target, target, 0.0, self._target.arm.velocity_limits), now)
        self._inside = target
        return target

    def _excess(self, joints: Array) -> float:
        """How far the tip is beyond where a way may pass, m; below 0 it is within."""
        tip = self._target.kinematics.forward(joints[:-1])[:3, 3]
        return float(np.maximum(self._lowest - tip, tip - self._highest).max())

    def _play(self, ramp: JointRamp, now: float) -> None:
        self._ramp, self._ramp_start = ramp, now
        # An arm that is found outside may come in.
        self._inside = ramp.start
        self._most_excess = max(0.0, self._excess(ramp.start) + 1e-6)

    def _begin(self, chunk: Chunk, index: int, now: float) -> None:
        start = self._target.joints
        if self._ramp is not None:
            start = self._ramp.at(now - self._ramp_start)
        step = np.append(chunk.data[index], chunk.gripper[index])
        if self._low is not None and self._high is not None:
            bounded = np.clip(step, self._low, self._high)
            # Messages carry 32-bit numbers: what was clipped before may stand out by a rounding.
            self.clipped += int((np.abs(bounded - step) > 1e-6).any())
            step = bounded
        if chunk.kind == 'joint_position':
            tip = self._target.kinematics.forward(step[:-1])[:3, 3]
            if not np.array_equal(self._target.workspace.clip(tip), tip):
                self.outside += 1
                return
            opening = 1.0 if step[-1] > 0.5 else 0.0
            goal = np.append(step[:-1], self._target.arm.finger_from_opening(opening))
            self._target.reset(goal)
        else:
            goal = self._target.apply(step)
        self._told = 1.0 if step[-1] > 0.5 else 0.0
        limits = self._target.arm.velocity_limits
        self._play(JointRamp(start, goal, RAMP_FRACTION * chunk.dt, limits), now)
