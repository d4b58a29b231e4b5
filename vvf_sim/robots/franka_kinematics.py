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
# The same as a shoulder, two links with the elbow's offset between them, and the hand's offset.
SHOULDER = np.array([0.0, 0.0, 0.333])
UPPER, FOREARM, OFFSET, HAND_OFFSET = 0.316, 0.384, 0.0825, 0.088
# So many angles of the last joint are tried.
_LAST_ANGLES = 40
# The angle at the elbow while q4 is zero, and the sides of the triangle it belongs to.
_OPEN = math.atan(UPPER / OFFSET) + math.atan(FOREARM / OFFSET)
_UPPER, _FOREARM = math.hypot(UPPER, OFFSET), math.hypot(FOREARM, OFFSET)
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
_FROM_TOOL = np.linalg.inv(_TOOL)


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

    def _postures(self, pose: Array, guess: Array, fine: bool) -> Array:
        count = _LAST_ANGLES * (20 if fine else 1)
        last = np.append(np.linspace(self.lower[6], self.upper[6], count), guess[6])
        return franka_postures(pose @ _FROM_TOOL, last)


def franka_postures(frame: Array, last: Array) -> Array:
    """Joint angles (k, 7) that reach a pose, regardless of limits and of full turns.

    With the last angle given, the wrist (where axes 5 and 6 meet) is known; its distance from the
    shoulder decides the elbow, and axis 5 lies both across axis 6 and on a cone about the line to
    the shoulder. That makes two ways each for the elbow, the cone and the shoulder. The idea is
    that of He and Liu, "Analytical inverse kinematics for Franka Emika Panda" (ICMA 2021).

    Args:
        frame: (4, 4) pose of the last joint's frame in the base frame.
        last: (m,) angles of the last joint in rad; of each there are up to eight postures.
    """
    c, s, zero = np.cos(last), np.sin(last), np.zeros_like(last)
    x6 = np.stack([c, -s, zero], -1) @ frame[:3, :3].T
    z6 = np.stack([s, c, zero], -1) @ frame[:3, :3].T
    to_shoulder = SHOULDER - (frame[:3, 3] - HAND_OFFSET * x6)
    distance = np.linalg.norm(to_shoulder, axis=-1)
    cosine = (_UPPER**2 + _FOREARM**2 - distance**2) / (2.0 * _UPPER * _FOREARM)
    with np.errstate(invalid='ignore', divide='ignore'):
        angle = np.arccos(cosine)
        q4 = np.stack([_OPEN - angle, _OPEN + angle - 2.0 * math.pi])  # (2, m)
        c4, s4 = np.cos(q4), np.sin(q4)
        # The way from wrist to shoulder along x4 and z5, which span the plane of the elbow.
        along_x = OFFSET - OFFSET * c4 - UPPER * s4
        along_z = OFFSET * s4 - FOREARM - UPPER * c4
        across = to_shoulder - (to_shoulder * z6).sum(-1)[:, None] * z6
        length = np.linalg.norm(across, axis=-1)
        e1 = across / length[:, None]
        swing = np.arccos(along_z / length)
        swing = np.stack([swing, -swing])[..., None]  # (2, 2, m, 1)
        z5 = np.cos(swing) * e1 + np.sin(swing) * _cross(z6, e1)
        x4 = (to_shoulder - along_z[..., None] * z5) / along_x[..., None]
    z4 = _cross(x4, z5)
    c4, s4 = c4[..., None], s4[..., None]
    x3, z3 = c4 * x4 - s4 * z5, s4 * x4 + c4 * z5
    y3z = z3[..., 0] * x3[..., 1] - z3[..., 1] * x3[..., 0]
    q5 = np.arctan2((z6 * x4).sum(-1), (z6 * z4).sum(-1))
    x5 = np.cos(q5)[..., None] * x4 - np.sin(q5)[..., None] * z4
    q6 = np.arctan2((x6 * z5).sum(-1), (x6 * x5).sum(-1))
    tilt = np.arctan2(np.hypot(z3[..., 0], z3[..., 1]), z3[..., 2])
    found = []
    for sign in (1.0, -1.0):
        q1 = np.arctan2(sign * z3[..., 1], sign * z3[..., 0])
        q3 = np.arctan2(sign * y3z, -sign * x3[..., 2])
        angles = np.broadcast_arrays(q1, sign * tilt, q3, q4, q5, q6, last)
        found.append(np.stack(angles, -1).reshape(-1, 7))
    postures = np.concatenate(found)
    return np.asarray(postures[np.isfinite(postures).all(1)])


def _cross(a: Array, b: Array) -> Array:
    """Products (..., 3); np.cross takes three times as long."""
    a, b = np.broadcast_arrays(a, b)
    out = np.empty(a.shape)
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out
