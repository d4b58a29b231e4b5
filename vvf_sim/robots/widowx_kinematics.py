# SPDX-License-Identifier: Apache-2.0
"""Kinematics of the WidowX 250 6-DoF, in closed form.

Link lengths are those of Interbotix's published URDF (``wx250s.urdf.xacro``). The tip is
``ee_gripper_link``, x forward out of the gripper; the base is ``base_link``.
"""

import math

import numpy as np

from vvf_sim.robots.kinematics import Kinematics
from vvf_sim.rotations import Array

SHOULDER_HEIGHT = 0.072 + 0.03865
UPPER_ARM = (0.04975, 0.25)
FOREARM = 0.175 + 0.075
HAND = 0.065 + 0.093575


class WidowXKinematics(Kinematics):
    """Six joints: waist, shoulder, elbow, forearm roll, wrist angle, wrist rotate."""

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
