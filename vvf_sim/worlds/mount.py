# SPDX-License-Identifier: Apache-2.0
"""An arm that stands in a scene: its place, its part of the physics' state, what its pads touch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vvf_sim.mj import mujoco
from vvf_sim.robots.arm import ArmModel
from vvf_sim.rotations import Array


def gripper_down(yaw: float) -> Array:
    """Rotation (3, 3) of a gripper that points down; the fingers close along (-sin, cos) yaw."""
    approach = np.array([0.0, 0.0, -1.0])
    closing = np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    return np.stack([approach, closing, np.cross(approach, closing)], axis=1)


@dataclass(frozen=True)
class Mount:
    """Where an arm stands.

    Attributes:
        prefix: of its names in the scene: '' for a single arm, 'left_' and 'right_' for two.
        xyz: of its base in the table frame, m.
        yaw: of its base about the vertical, rad.
    """

    prefix: str = ''
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float = 0.0

    @property
    def pose(self) -> Array:
        """Pose (4, 4) of the base in the table frame."""
        pose = np.eye(4)
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        pose[:2, :2] = [[c, -s], [s, c]]
        pose[:3, 3] = self.xyz
        return pose


class MountedArm:
    """An arm in a compiled scene.

    Args:
        arm: what it is.
        mount: where it stands.
        model: the compiled scene.

    Attributes:
        base: pose (4, 4) of the base in the table frame.
        n_joints: angles and the finger.
    """

    def __init__(self, arm: ArmModel, mount: Mount, model: 'mujoco.MjModel') -> None:
        self.arm = arm
        self.mount = mount
        self.base = mount.pose
        self.kinematics = arm.kinematics()
        self.n_joints = len(arm.joint_names) + 1
        prefix = mount.prefix
        names = (*arm.joint_names, arm.finger_name)
        joints = [model.joint(prefix + name) for name in names]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dof = np.array([joint.dofadr[0] for joint in joints])
        self._right_finger = int(model.joint(f'{prefix}right_finger').qposadr[0])
        actuators = (*arm.joint_names, 'gripper')
        self._ctrl = np.array([model.actuator(prefix + name).id for name in actuators])
        self._pads = tuple(int(model.geom(f'{prefix}{side}_pad').id) for side in ('left', 'right'))

    def joints(self, data: 'mujoco.MjData') -> Array:
        """Measured joints (n + 1,): angles in rad, left finger in m."""
        return np.asarray(data.qpos[self._qpos].copy())

    def joint_velocities(self, data: 'mujoco.MjData') -> Array:
        """Measured velocities (n + 1,): rad/s, and m/s of the left finger."""
        return np.asarray(data.qvel[self._dof].copy())

    def tip(self, data: 'mujoco.MjData') -> Array:
        """Measured pose (4, 4) of the tip in the table frame."""
        return self.to_table(self.kinematics.forward(self.joints(data)[:-1]))

    def place(self, data: 'mujoco.MjData', joints: Array) -> None:
        """Put the arm at joints (n + 1,) at once, without moving there."""
        data.qpos[self._qpos] = joints
        data.qpos[self._right_finger] = -joints[-1]

    def command(self, data: 'mujoco.MjData', targets: Array) -> None:
        """Set the drives' targets (n + 1,), rad and m; clipped to the limits."""
        arm = self.arm
        finger = float(np.clip(targets[-1], *arm.finger_range))
        data.ctrl[self._ctrl[:-1]] = np.clip(targets[:-1], arm.lower, arm.upper)
        data.ctrl[self._ctrl[-1]] = arm.drive_from_finger(finger)

    def over(self, xyz: Array, yaw: float) -> Array:
        """Joints (n + 1,) of an open gripper that points down at a place of the table frame."""
        pose = np.eye(4)
        pose[:3, :3] = gripper_down(yaw)
        pose[:3, 3] = xyz
        found = self.kinematics.inverse(self.to_base(pose), self.arm.home)
        return np.append(found.q, self.arm.finger_range[1])

    def to_base(self, pose: Array) -> Array:
        """A pose (4, 4) of the table frame in the base frame."""
        return np.asarray(np.linalg.inv(self.base) @ pose)

    def to_table(self, pose: Array) -> Array:
        """A pose (4, 4) of the base frame in the table frame."""
        return np.asarray(self.base @ pose)

    def touched(self, data: 'mujoco.MjData', group_of_geom: NDArray[np.int_], count: int) -> Array:
        """Which group of geoms (count, 2) touches the left and the right pad, bool.

        Args:
            data: as of the last step.
            group_of_geom: (ngeom,) number of the group of each geom, or -1.
            count: number of groups.
        """
        touched = np.zeros((count, 2), bool)
        pairs = data.contact.geom
        for side, pad in enumerate(self._pads):
            others = np.concatenate([pairs[pairs[:, 0] == pad, 1], pairs[pairs[:, 1] == pad, 0]])
            groups = group_of_geom[others]
            touched[groups[groups >= 0], side] = True
        return touched

    def shut(self, data: 'mujoco.MjData') -> bool:
        """Whether the fingers have met: closed on nothing."""
        return bool(data.qpos[self._qpos[-1]] < self.arm.finger_range[0] + 0.001)
