# SPDX-License-Identifier: Apache-2.0
"""Kinematics of the WidowX 250 6-DoF, in closed form.

Link lengths are those of Interbotix's published URDF (``wx250s.urdf.xacro``). The tip is
``ee_gripper_link``, x forward out of the gripper; the base is ``base_link``.
"""

import cmath
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
_UPPER = complex(*UPPER_ARM)
_STRAIGHT = 1e-9  # sine of the wrist's angle below which the two rolls are one axis


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

    def _postures(self, pose: Array, guess: Array, fine: bool) -> Array:
        return widowx_postures(pose, float(guess[3]))


def widowx_postures(pose: Array, roll: float) -> Array:
    """All joint angles (k, 6) that reach a pose, regardless of limits; k is 0 where none does.

    The last three axes meet in one point, so that the wrist's place decides the first three joints
    and its orientation the others: two ways for the waist, the elbow and the wrist each.

    Args:
        pose: (4, 4) of the tip in the base frame.
        roll: of the forearm in rad, where the wrist is straight and leaves it open.
    """
    rotation = pose[:3, :3]
    x, y, z = (float(v) for v in pose[:3, 3] - HAND * rotation[:, 0])
    found = []
    for side in (1.0, -1.0):  # facing the wrist, or with the back to it
        waist = math.atan2(side * y, side * x)
        wrist = complex(side * math.hypot(x, y), z - SHOULDER_HEIGHT)
        for shoulder, elbow in _planar(wrist):
            turned = _forearm(waist, shoulder + elbow).T @ rotation
            found += [(waist, shoulder, elbow, *angles) for angles in _wrist(turned, roll)]
    return np.array(found).reshape(-1, 6)


def _planar(wrist: complex) -> list[tuple[float, float]]:
    """Shoulder and elbow that bring the wrist there; in the arm's plane, out and up.

    A pitch by q is a product with exp(-iq): wrist = exp(-iq1) (upper + forearm exp(-iq2)).
    """
    upper = abs(_UPPER)
    cosine = (abs(wrist) ** 2 - upper**2 - FOREARM**2) / (2.0 * upper * FOREARM)
    if abs(cosine) > 1.0 + 1e-9:
        return []
    bend = math.acos(min(1.0, max(-1.0, cosine)))
    ways = []
    for elbow in (-cmath.phase(_UPPER) - bend, -cmath.phase(_UPPER) + bend):
        arm = _UPPER + FOREARM * cmath.exp(-1j * elbow)
        ways.append((cmath.phase(arm) - cmath.phase(wrist), elbow))
    return ways


def _forearm(waist: float, pitch: float) -> Array:
    s, c, sp, cp = math.sin(waist), math.cos(waist), math.sin(pitch), math.cos(pitch)
    return np.array([[c * cp, -s, c * sp], [s * cp, c, s * sp], [-sp, 0.0, cp]])


def _wrist(m: Array, roll: float) -> list[tuple[float, float, float]]:
    """Roll, pitch and roll whose product is the rotation (3, 3)."""
    sine = math.hypot(m[0, 1], m[0, 2])
    if sine < _STRAIGHT:
        bent = 0.0 if m[0, 0] > 0.0 else math.pi
        both = math.atan2(m[2, 1], m[1, 1])
        return [(roll, bent, both - roll if bent == 0.0 else both + roll)]
    first, last = math.atan2(m[1, 0], -m[2, 0]), math.atan2(m[0, 1], m[0, 2])
    bent = math.atan2(sine, m[0, 0])
    return [(first, bent, last), (first + math.pi, -bent, last + math.pi)]
