# SPDX-License-Identifier: Apache-2.0
"""The arm as calibration sees it: joints by name, and the frames that its vendor publishes.

Our tip frame has the same axes for all arms (x forward out of the gripper). The WidowX's is the
vendor's `ee_gripper_link`; the Franka's is the vendor's `hand_tcp`, turned. What calibration
writes is in the vendor's frames, so that it can be published beside the vendor's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vvf.errors import UserError
from vvf_sim.robots.arm import ArmModel, arm_model

Poses = npt.NDArray[np.float64]

# The vendor's hand has z forward and y the other way: columns are our axes in its frame.
_FRANKA_TIP = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class Robot:
    """An arm with the names of its frames; make it with `robot`.

    Attributes:
        arm: what it is.
        base_frame: the vendor's name of the base.
        tip_frame: the vendor's name of the tip.
        prefix: of its joints' names where there are two arms: `left_` or `right_`.
    """

    arm: ArmModel
    base_frame: str
    tip_frame: str
    prefix: str = ''

    def tip(self, q: npt.ArrayLike) -> Poses:
        """Pose (4, 4) of the vendor's tip frame in the base for joint angles (n,) in rad."""
        pose = self.arm.kinematics().forward(np.asarray(q, np.float64)).copy()
        if self.arm.name != 'wx250s':
            pose[:3, :3] = pose[:3, :3] @ _FRANKA_TIP.T
        return pose

    def angles(self, names: Sequence[str], positions: Sequence[float]) -> Poses | None:
        """Its joint angles (n,) out of a JointState's; None where one is missing or not finite."""
        return pick(self._own(names, positions), self.arm.joint_names)

    def joints(self, names: Sequence[str], positions: Sequence[float]) -> Poses | None:
        """Its joint angles in rad, then how far the left finger is from the middle in m, (n + 1,).

        The finger is taken for open where it is not said; None where an angle is missing.
        """
        q = self.angles(names, positions)
        if q is None:
            return None
        named = self._own(names, positions)
        for finger in (self.arm.finger_name, f'{self.arm.name}_finger_joint1'):
            found = pick(named, (finger,))
            if found is not None:
                return np.append(q, found)
        return np.append(q, self.arm.finger_range[1])

    def _own(self, names: Sequence[str], positions: Sequence[float]) -> dict[str, float]:
        """Positions by name, without the arm's prefix."""
        return {
            name.removeprefix(self.prefix): position
            for name, position in zip(names, positions, strict=False)
            if name.startswith(self.prefix)
        }


def robot(name: str, side: str = '') -> Robot:
    """The arm of a name: wx250s, fer or fr3.

    Args:
        name: of the arm.
        side: of a table with two arms: left or right.

    Raises:
        UserError: There is none.
    """
    arm = arm_model(name)
    prefix = f'{side}_' if side else ''
    if name == 'wx250s':
        return Robot(arm, f'{name}/base_link', f'{name}/ee_gripper_link', prefix)
    return Robot(arm, f'{name}_link0', f'{name}_hand_tcp', prefix)


def pick(named: Mapping[str, float], wanted: Sequence[str]) -> Poses | None:
    """Positions (n,) of joints; None where one is missing or not finite.

    The Franka's joints are also known by another prefix, such as `panda_joint1`.
    """
    values = []
    for name in wanted:
        if name not in named:
            joint = name.partition('_')[2]
            others = [o for o in named if 'joint' in joint and o.partition('_')[2] == joint]
            if len(others) != 1:
                return None
            name = others[0]
        values.append(named[name])
    found = np.array(values, np.float64)
    return found if np.isfinite(found).all() else None


def need_angles(found: Poses | None, arm: ArmModel, where: str) -> Poses:
    """The angles, if there are any.

    Raises:
        UserError: There are none.
    """
    if found is None:
        raise UserError(
            f'{where} has not all joints of {arm.name} ({", ".join(arm.joint_names)}): choose '
            'another arm with --robot.'
        )
    return found
