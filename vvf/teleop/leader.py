# SPDX-License-Identifier: Apache-2.0
"""A leader arm: another arm, moved by hand, whose motion the robot repeats.

The clutch is relative: from the moment of engagement on, displacements of the leader's tip (or,
between arms of one kind, of its joints) are repeated, so that no posture of the leader can make
the robot jump. What the robot could not follow within its speed limits it makes up for, up to
`MAX_LAG_M` and its like; beyond that the leader slips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vvf.safety import RobotLimits
from vvf.teleop.commands import Array
from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.rotations import orthonormalise, rotation_exp, rotation_log

MAX_LAG_M = 0.05
MAX_LAG_RAD = 0.4
_OPENS, _CLOSES = 0.6, 0.4  # of the leader's gripper, so that it does not flutter in between
_STEP_RAD = 0.05  # between two messages, besides what the allowed speed makes
_FUTURE_S = 0.1


class Leader:
    """The newest trustworthy posture of a leader arm, and what of its motion is not repeated yet.

    Args:
        limits: of the leader's kind of arm: its joints' names, and the range of its gripper.
        kinematics: of the leader.
        prefix: of its joints' names.
        timeout_s: longest silence, and oldest message.
        jump_rad_s: a joint that moves faster than this has not been moved by a hand.

    Attributes:
        engaged: whether the robot repeats the leader.
        refused: messages that were not used.
    """

    def __init__(
        self,
        limits: RobotLimits,
        kinematics: Kinematics,
        *,
        prefix: str = '',
        timeout_s: float = 0.25,
        jump_rad_s: float = 6.0,
    ) -> None:
        self.engaged = False
        self.refused = 0
        self._limits = limits
        self._kinematics = kinematics
        self._names = [prefix + name for name in limits.joint_names]
        self._gripper_name = prefix + limits.gripper_name
        self._timeout = timeout_s
        self._jump = jump_rad_s
        self._joints: Array | None = None
        self._heard = -np.inf
        self._stamp = -np.inf
        self._open: bool | None = None
        self._open_before: bool | None = None
        self._origin_joints = np.zeros(len(self._names))
        self._origin = np.eye(4)

    def take(
        self, names: Sequence[str], positions: Sequence[float], stamp: float, age: float, now: float
    ) -> str:
        """Take a message.

        Args:
            names: of its joints.
            positions: theirs, rad and m.
            stamp: of the message, s.
            age: by its stamp, s.
            now: time, s.

        Returns:
            Why it was not used; '' if it was. A jump releases the clutch, too.
        """
        why = self._wrong(names, positions, stamp, age)
        joints = np.zeros(0)
        if not why:
            found = dict(zip(names, positions, strict=True))
            joints = np.array([found[n] for n in self._names], np.float64)
            if self._joints is not None and now - self._heard <= self._timeout:
                # Several may be taken at one moment: what was between them, their stamps tell. A
                # clock that is set tells nothing.
                between = min(stamp - self._stamp, self._timeout)
                allowed = _STEP_RAD + self._jump * max(now - self._heard, between)
                if np.abs(joints - self._joints).max() > allowed:
                    why = 'the leader jumped'
        if why:
            self.refused += 1
            if why == 'the leader jumped':
                self.engaged = False
                self._joints = None  # whatever it is now may be engaged again
            return why
        self._joints, self._heard, self._stamp = joints, now, stamp
        self._take_gripper(found)
        return ''

    def alive(self, now: float) -> bool:
        """Whether a good message came lately."""
        return self._joints is not None and now - self._heard <= self._timeout

    def engage(self, now: float) -> bool:
        """Repeat the leader's motion from here on; False where no leader is heard."""
        if not self.alive(now) or self._joints is None:
            return False
        self._origin_joints = self._joints.copy()
        self._origin = self._kinematics.forward(self._joints)
        self._open_before = self._open
        self.engaged = True
        return True

    def watch(self, now: float) -> bool:
        """Release the clutch where the leader fell silent; True if that was so."""
        if self.engaged and not self.alive(now):
            self.engaged = False
            return True
        return False

    def displacement(self) -> Array:
        """What the robot's tip has still to move: (6,) m and rotation vector in rad."""
        if not self.engaged or self._joints is None:
            return np.zeros(6)
        tip = self._kinematics.forward(self._joints)
        shift = tip[:3, 3] - self._origin[:3, 3]
        turn = rotation_log(tip[:3, :3] @ self._origin[:3, :3].T)
        short, less = _shortened(shift, MAX_LAG_M), _shortened(turn, MAX_LAG_RAD)
        self._origin[:3, 3] = tip[:3, 3] - short
        self._origin[:3, :3] = rotation_exp(less).T @ tip[:3, :3]
        return np.concatenate([short, less])

    def joint_displacement(self) -> Array:
        """What the robot's joints have still to move: (n,) rad."""
        if not self.engaged or self._joints is None:
            return np.zeros(len(self._names))
        shift = np.clip(self._joints - self._origin_joints, -MAX_LAG_RAD, MAX_LAG_RAD)
        self._origin_joints = self._joints - shift
        return np.asarray(shift)

    def followed(self, step: Array) -> None:
        """The robot's tip was told to move (6,) m and rad."""
        self._origin[:3, 3] += step[:3]
        self._origin[:3, :3] = orthonormalise(rotation_exp(step[3:6]) @ self._origin[:3, :3])

    def followed_joints(self, step: Array) -> None:
        """The robot's joints were told to move (n,) rad."""
        self._origin_joints = self._origin_joints + step

    def gripper(self) -> bool | None:
        """Open or shut, once the leader's gripper changed since the engagement; else `None`."""
        if not self.engaged or self._open is None or self._open == self._open_before:
            return None
        self._open_before = None
        return self._open

    def _take_gripper(self, found: dict[str, float]) -> None:
        opening = found.get(self._gripper_name, np.nan)
        low, high = self._limits.gripper_lower, self._limits.gripper_upper
        share = (opening - low) / (high - low)
        if share > _OPENS:
            self._open = True
        elif share < _CLOSES:
            self._open = False

    def _wrong(
        self, names: Sequence[str], positions: Sequence[float], stamp: float, age: float
    ) -> str:
        if len(names) != len(positions) or not set(self._names) <= set(names):
            return f'the leader sends no {self._names[0]} or others of its joints'
        wanted = {*self._names, self._gripper_name}
        if not np.isfinite([p for n, p in zip(names, positions, strict=True) if n in wanted]).all():
            return 'the leader sends what is no number'
        if stamp <= self._stamp:
            return 'the leader sends the same again'
        if not -_FUTURE_S <= age <= self._timeout:
            return f'the leader sends what is {age:.2f} s old: do the clocks agree?'
        return ''


def _shortened(vector: Array, longest: float) -> Array:
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)
