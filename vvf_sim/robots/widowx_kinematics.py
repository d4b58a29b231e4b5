# SPDX-License-Identifier: Apache-2.0
"""Kinematics of the WidowX 250 6-DoF, in closed form.

Link lengths are those of Interbotix's published URDF (``wx250s.urdf.xacro``). The tip is
``ee_gripper_link``, x forward out of the gripper; the base is ``base_link``.
"""

import math

import numpy as np

from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.rotations import Array, rotation_exp

# Where each joint sits in the frame of the link before it, m, and the axis that it turns about.
_JOINTS = (
    ((0.0, 0.0, 0.072), 'z'),
    ((0.0, 0.0, 0.03865), 'y'),
    ((0.04975, 0.0, 0.25), 'y'),
    ((0.175, 0.0, 0.0), 'x'),
    ((0.075, 0.0, 0.0), 'y'),
    ((0.065, 0.0, 0.0), 'x'),
)
SHOULDER_HEIGHT = _JOINTS[0][0][2] + _JOINTS[1][0][2]
UPPER_ARM = (_JOINTS[2][0][0], _JOINTS[2][0][2])
FOREARM = _JOINTS[3][0][0] + _JOINTS[4][0][0]
HAND = _JOINTS[5][0][0] + 0.093575


class WidowXKinematics(Kinematics):
    """Six joints: waist, shoulder, elbow, forearm roll, wrist angle, wrist rotate."""

    def frames(self, q: Array) -> Array:
        """Poses (6, 4, 4) of the links, shoulder to gripper, in the base frame for (6,) rad."""
        pose = np.eye(4)
        frames = np.empty((6, 4, 4))
        for i, ((offset, axis), angle) in enumerate(zip(_JOINTS, q, strict=True)):
            step = np.eye(4)
            step[:3, :3] = rotation_exp(angle * np.eye(3)['xyz'.index(axis)])
            step[:3, 3] = offset
            frames[i] = pose = pose @ step
        return frames

    def _solve(self, q: Array) -> tuple[Array, Array]:
        q0, q1, q2, q3, q4, q5 = (float(v) for v in q)
        s0, c0, s1, c1 = math.sin(q0), math.cos(q0), math.sin(q1), math.cos(q1)
        sa, ca = math.sin(q1 + q2), math.cos(q1 + q2)
        s3, c3, s4, c4 = math.sin(q3), math.cos(q3), math.sin(q4), math.cos(q4)
        s5, c5 = math.sin(q5), math.cos(q5)
        # Written out by hand: ten times faster than products of small arrays.
        x = (c0 * ca, s0 * ca, -sa)
        pitch = (-s0, c0, 0.0)
        z = (c0 * sa, s0 * sa, ca)
        y = tuple(c3 * a + s3 * b for a, b in zip(pitch, z, strict=True))
        z = (c3 * z[0] - s3 * pitch[0], c3 * z[1] - s3 * pitch[1], c3 * z[2] - s3 * pitch[2])
        tip_x = (c4 * x[0] - s4 * z[0], c4 * x[1] - s4 * z[1], c4 * x[2] - s4 * z[2])
        z = (s4 * x[0] + c4 * z[0], s4 * x[1] + c4 * z[1], s4 * x[2] + c4 * z[2])
        reach = UPPER_ARM[0] * c1 + UPPER_ARM[1] * s1
        elbow = (
            c0 * reach,
            s0 * reach,
            SHOULDER_HEIGHT - UPPER_ARM[0] * s1 + UPPER_ARM[1] * c1,
        )
        wrist = tuple(e + FOREARM * a for e, a in zip(elbow, x, strict=True))
        tip = tuple(w + HAND * a for w, a in zip(wrist, tip_x, strict=True))

        pose = np.eye(4)
        for row in range(3):
            pose[row] = (
                tip_x[row],
                c5 * y[row] + s5 * z[row],
                c5 * z[row] - s5 * y[row],
                tip[row],
            )
        jacobian = np.empty((6, 6))
        axes = ((0.0, 0.0, 1.0), pitch, pitch, x, y, tip_x)
        points = ((0.0, 0.0, 0.0), (0.0, 0.0, SHOULDER_HEIGHT), elbow, wrist, wrist, wrist)
        for i, (axis, point) in enumerate(zip(axes, points, strict=True)):
            ax, ay, az = axis
            rx, ry, rz = tip[0] - point[0], tip[1] - point[1], tip[2] - point[2]
            jacobian[:, i] = (
                ay * rz - az * ry,
                az * rx - ax * rz,
                ax * ry - ay * rx,
                ax,
                ay,
                az,
            )
        return pose, jacobian
