# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse kinematics of the WidowX 250 6-DoF, in plain numpy.

Link lengths are those of Interbotix's published URDF (``wx250s.urdf.xacro``). The tip is
``ee_gripper_link``, x forward out of the gripper; the base is ``base_link``.
"""

import math
from dataclasses import dataclass

import numpy as np

from vvf_sim.robots.widowx import JOINT_LOWER, JOINT_UPPER
from vvf_sim.rotations import Array, rotation_log

SHOULDER_HEIGHT = 0.072 + 0.03865
UPPER_ARM = (0.04975, 0.25)
FOREARM = 0.175 + 0.075
HAND = 0.065 + 0.093575

# Radians count less than metres, so that a reach is not traded for an angle.
ROTATION_WEIGHT = 0.3
MAX_STEP = 0.4
POSITION_TOLERANCE = 1e-6
ROTATION_TOLERANCE = 1e-5


@dataclass(frozen=True)
class IkResult:
    """What the solver found.

    Attributes:
        q: joint angles (6,) in rad, inside the limits.
        position_error: metres left between the wanted tip and the one that `q` gives.
        rotation_error: radians left.
        converged: whether both are within tolerance (1 micrometre, 10 microradians).
    """

    q: Array
    position_error: float
    rotation_error: float
    converged: bool


class Kinematics:
    """Maps between the six joint angles and the pose of the gripper.

    Args:
        lower: joint limits (6,) in rad; the arm's own by default.
        upper: joint limits (6,) in rad.
    """

    def __init__(self, lower: Array = JOINT_LOWER, upper: Array = JOINT_UPPER) -> None:
        self.lower = np.asarray(lower, np.float64)
        self.upper = np.asarray(upper, np.float64)

    def forward(self, q: Array) -> Array:
        """Pose (4, 4) of the tip in the base frame for joint angles (6,) in rad."""
        return self._solve(q)[0]

    def jacobian(self, q: Array) -> Array:
        """Geometric Jacobian (6, 6) at (6,) rad: rows are linear, then angular, base frame."""
        return self._solve(q)[1]

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

    def inverse(self, pose: Array, q_guess: Array, max_iterations: int = 40) -> IkResult:
        """Joint angles that bring the tip to `pose`, by damped least squares from `q_guess`.

        The damping shrinks with the error (Sugihara, T-RO 2011), so the last iterations are
        Gauss-Newton's; a joint at its limit is taken out of the step instead of spoiling it.
        An unreachable pose gives the nearest one found, with its errors.

        Args:
            pose: (4, 4) in the base frame.
            q_guess: (6,) rad; the solution nearest to it is found.
            max_iterations: upper bound on the iterations.

        Raises:
            ValueError: an input is not finite or has another shape.
        """
        pose = np.asarray(pose, np.float64)
        q = np.asarray(q_guess, np.float64)
        if pose.shape != (4, 4) or q.shape != (6,):
            raise ValueError(f'expected a pose (4, 4) and joints (6,), got {pose.shape} {q.shape}')
        if not (np.isfinite(pose).all() and np.isfinite(q).all()):
            raise ValueError('pose and joints must be finite')
        q = np.clip(q, self.lower, self.upper)
        best = IkResult(q, math.inf, math.inf, False)
        best_cost = math.inf
        for iteration in range(max_iterations + 1):
            current, jacobian = self._solve(q)
            error = np.empty(6)
            error[:3] = pose[:3, 3] - current[:3, 3]
            error[3:] = rotation_log(pose[:3, :3] @ current[:3, :3].T)
            e_pos = math.sqrt(float(error[:3] @ error[:3]))
            e_rot = math.sqrt(float(error[3:] @ error[3:]))
            cost = e_pos**2 + (ROTATION_WEIGHT * e_rot) ** 2
            if cost < best_cost:
                done = e_pos < POSITION_TOLERANCE and e_rot < ROTATION_TOLERANCE
                best, best_cost = IkResult(q, e_pos, e_rot, done), cost
                if done:
                    break
            if iteration == max_iterations:
                break
            error[3:] *= ROTATION_WEIGHT
            jacobian[3:] *= ROTATION_WEIGHT
            q = self._step(q, jacobian, error, cost)
        return best

    def _step(self, q: Array, jacobian: Array, error: Array, cost: float) -> Array:
        hessian = jacobian.T @ jacobian
        hessian[np.diag_indices(6)] += 0.5 * cost + 1e-9
        gradient = jacobian.T @ error
        step = np.linalg.solve(hessian, gradient)
        blocked = ((q <= self.lower) & (step < 0.0)) | ((q >= self.upper) & (step > 0.0))
        if blocked.any():
            free = np.flatnonzero(~blocked)
            step = np.zeros(6)
            step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        step = np.clip(step, -MAX_STEP, MAX_STEP)
        return np.asarray(np.clip(q + step, self.lower, self.upper))


def pose_to_vector(pose: Array) -> Array:
    """Position and the first two columns of the rotation, (9,), of a pose (4, 4)."""
    return np.concatenate([pose[:3, 3], pose[:3, 0], pose[:3, 1]])
