# SPDX-License-Identifier: Apache-2.0
"""Kinematics of the Franka arms, from the vendor's modified Denavit-Hartenberg parameters.

FER (Panda) and FR3 share them (``franka_description``, ``robots/*/kinematics.yaml``). The base is
``link0``. The tip is the hand's tool centre point, 103.4 mm in front of the flange, with this
project's axes: x forward out of the gripper, y the closing direction. That is ``hand_tcp`` turned
so that a gripper which points down at the ready pose has a yaw of zero; the finger on the side of
+y is the vendor's second.
"""

import math

import numpy as np

from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.rotations import Array

# a and alpha of the previous link, then d, of each joint (Craig's convention); m and rad.
_QUARTER = math.pi / 2
MODIFIED_DH = (
    (0.0, 0.0, 0.333),
    (0.0, -_QUARTER, 0.0),
    (0.0, _QUARTER, 0.316),
    (0.0825, _QUARTER, 0.0),
    (-0.0825, -_QUARTER, 0.384),
    (0.0, _QUARTER, 0.0),
    (0.088, _QUARTER, 0.0),
)
FLANGE = 0.107
TOOL_CENTRE = 0.1034
# The gripper points down, half a metre ahead and 15 cm above the base: the vendor's ready pose
# lowered.
HOME = np.array([0.0, 0.1513, 0.0, -2.3980, 0.0, 2.5493, math.pi / 4])


def _link(a: float, alpha: float, d: float) -> Array:
    c, s = math.cos(alpha), math.sin(alpha)
    return np.array([[1.0, 0.0, 0.0, a], [0.0, c, -s, -d * s], [0.0, s, c, d * c], [0, 0, 0, 1]])


def _tool() -> Array:
    c = math.sqrt(0.5)
    tool = np.eye(4)
    # The hand is mounted turned by -45 degrees; columns are its z, -y and x.
    tool[:3, :3] = [[0.0, -c, c], [0.0, -c, -c], [1.0, 0.0, 0.0]]
    tool[2, 3] = FLANGE + TOOL_CENTRE
    return tool


_LINKS = tuple(_link(*row) for row in MODIFIED_DH)
_TOOL = _tool()


class FrankaKinematics(Kinematics):
    """Seven joints; the elbow is kept near to its place in the home posture."""

    def __init__(self, lower: Array, upper: Array) -> None:
        super().__init__(lower, upper, rest=HOME)

    def frames(self, q: Array) -> Array:
        """Poses (7, 4, 4) of link 1 to link 7 in the base frame for (7,) rad."""
        pose = np.eye(4)
        frames = np.empty((7, 4, 4))
        turn = np.eye(4)
        for i, angle in enumerate(q):
            c, s = math.cos(angle), math.sin(angle)
            turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1] = c, -s, s, c
            pose = pose @ _LINKS[i] @ turn
            frames[i] = pose
        return frames

    def _solve(self, q: Array) -> tuple[Array, Array]:
        frames = self.frames(q)
        pose = frames[-1] @ _TOOL
        axes = frames[:, :3, 2]
        arms = pose[:3, 3] - frames[:, :3, 3]
        jacobian = np.empty((6, 7))
        # The cross product by hand: np.cross takes longer than all of the above.
        jacobian[0] = axes[:, 1] * arms[:, 2] - axes[:, 2] * arms[:, 1]
        jacobian[1] = axes[:, 2] * arms[:, 0] - axes[:, 0] * arms[:, 2]
        jacobian[2] = axes[:, 0] * arms[:, 1] - axes[:, 1] * arms[:, 0]
        jacobian[3:] = axes.T
        return pose, jacobian
