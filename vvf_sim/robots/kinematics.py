# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse kinematics of serial arms, in plain numpy."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vvf_sim.rotations import Array, rotation_log

# Radians count less than metres, so that a reach is not traded for an angle.
ROTATION_WEIGHT = 0.3
MAX_STEP = 0.4
# Part of the way to the rest posture in one iteration, and the most of it in radians.
REST_GAIN = 0.5
MAX_REST_STEP = 0.2
# Below this error (m², as weighted) the last iterations are left to the pose alone.
REST_COST = 1e-6
POSITION_TOLERANCE = 1e-6
ROTATION_TOLERANCE = 1e-5
# How many postures of the closed form that are outside the limits are tried all the same.
_NEARLY = 8


@dataclass(frozen=True)
class IkResult:
    """What the solver found.

    Attributes:
        q: joint angles (n,) in rad, inside the limits.
        position_error: metres left between the wanted tip and the one that `q` gives.
        rotation_error: radians left.
        converged: whether both are within tolerance (1 micrometre, 10 microradians).
    """

    q: Array
    position_error: float
    rotation_error: float
    converged: bool

    @property
    def cost(self) -> float:
        """Both errors in one number, m²."""
        return self.position_error**2 + (ROTATION_WEIGHT * self.rotation_error) ** 2


class Kinematics(ABC):
    """Maps between the n joint angles of an arm and the pose of its gripper's tip.

    Args:
        lower: joint limits (n,) in rad.
        upper: joint limits (n,) in rad.
        rest: posture (n,) in rad that an arm of more than six joints keeps near to, as far as
            the pose leaves it free; without it an elbow would wander.
    """

    def __init__(self, lower: Array, upper: Array, rest: Array | None = None) -> None:
        self.lower = np.asarray(lower, np.float64)
        self.upper = np.asarray(upper, np.float64)
        self.rest = None if rest is None else np.asarray(rest, np.float64)

    def forward(self, q: Array) -> Array:
        """Pose (4, 4) of the tip in the base frame for joint angles (n,) in rad."""
        return self._solve(q)[0]

    def jacobian(self, q: Array) -> Array:
        """Geometric Jacobian (6, n) at (n,) rad: rows are linear, then angular, base frame."""
        return self._solve(q)[1]

    @abstractmethod
    def frames(self, q: Array) -> Array:
        """Poses (n, 4, 4) in the base frame of the link behind each joint, for (n,) in rad.

        The frames are those of the vendor's URDF, so their origins lie on the joints' axes.
        """

    @abstractmethod
    def _solve(self, q: Array) -> tuple[Array, Array]:
        """Pose (4, 4) of the tip and its geometric Jacobian (6, n)."""

    def inverse(self, pose: Array, q_guess: Array, max_iterations: int = 40) -> IkResult:
        """Joint angles that bring the tip to `pose`, by damped least squares from `q_guess`.

        The damping shrinks with the error (Sugihara, T-RO 2011), so the last iterations are
        Gauss-Newton's; a joint at its limit is taken out of the step instead of spoiling it.
        An unreachable pose gives the nearest one found, with its errors.

        Args:
            pose: (4, 4) in the base frame.
            q_guess: (n,) rad; the solution nearest to it is found, or between it and the rest
                posture where the pose leaves a choice.
            max_iterations: upper bound on the iterations.

        Raises:
            ValueError: an input is not finite or has another shape.
        """
        pose, q = self._checked(pose, q_guess)
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
            pull = cost > REST_COST and iteration < max_iterations // 2
            q = self._step(q, jacobian, error, cost, self.rest if pull else None)
        return best

    def reach(self, pose: Array, q_guess: Array) -> IkResult:
        """Joint angles that bring the tip to `pose`, however far from `q_guess` they are.

        The postures that a closed form gives are where `inverse` starts from, so that limits,
        damping and errors are the same; an arm without one is searched from several postures.

        Args:
            pose: (4, 4) in the base frame.
            q_guess: (n,) rad; of what is found within the limits, the nearest to it is taken.

        Raises:
            ValueError: an input is not finite or has another shape.
        """
        pose, guess = self._checked(pose, q_guess)
        best = IkResult(guess, math.inf, math.inf, False)
        for start in self._starts(pose, guess):
            found = self.inverse(pose, start)
            if found.converged:
                return found
            if found.cost < best.cost:
                best = found
        return best

    def _starts(self, pose: Array, guess: Array) -> Iterator[Array]:
        """Postures (n,) within the limits, the most promising first."""
        for fine in (False, True):
            postures = self._unwound(self._postures(pose, guess, fine))
            inside = np.clip(postures, self.lower, self.upper)
            outside = np.abs(postures - inside).max(1, initial=0.0)
            # A hair outside is what rounding makes of a joint at its stop.
            good = outside < 1e-6
            away = np.abs(inside[good] - guess).max(1, initial=0.0)
            yield from inside[good][np.argsort(away)[:1]]
        yield from inside[np.argsort(outside)[:_NEARLY]]
        middle = (self.lower + self.upper) / 2.0
        yield from (guess, middle, (guess + middle) / 2.0)

    def _postures(self, pose: Array, guess: Array, fine: bool) -> Array:
        """Postures (k, n) that reach the pose, regardless of limits and of full turns.

        Args:
            pose: (4, 4) in the base frame.
            guess: (n,) rad, for what the pose leaves open.
            fine: look more closely, where there is a continuum of postures.
        """
        return np.empty((0, len(self.lower)))

    def _unwound(self, postures: Array) -> Array:
        """The same postures, turned by full turns to where they are least outside the limits."""
        middle = (self.lower + self.upper) / 2.0
        return np.asarray(postures - 2.0 * np.pi * np.round((postures - middle) / (2.0 * np.pi)))

    def _checked(self, pose: Array, q_guess: Array) -> tuple[Array, Array]:
        """Both as arrays, the joints within their limits."""
        pose = np.asarray(pose, np.float64)
        q = np.asarray(q_guess, np.float64)
        if pose.shape != (4, 4) or q.shape != self.lower.shape:
            raise ValueError(
                f'expected a pose (4, 4) and joints {self.lower.shape}, got {pose.shape} {q.shape}'
            )
        if not (np.isfinite(pose).all() and np.isfinite(q).all()):
            raise ValueError('pose and joints must be finite')
        return pose, np.clip(q, self.lower, self.upper)

    def _step(
        self, q: Array, jacobian: Array, error: Array, cost: float, rest: Array | None
    ) -> Array:
        hessian = jacobian.T @ jacobian
        hessian[np.diag_indices(len(q))] += 0.5 * cost + 1e-9
        gradient = jacobian.T @ error
        step = np.linalg.solve(hessian, gradient)
        if rest is not None:
            step = step + _towards(rest, q, jacobian)
        blocked = ((q <= self.lower) & (step < 0.0)) | ((q >= self.upper) & (step > 0.0))
        if blocked.any():
            free = np.flatnonzero(~blocked)
            step = np.zeros(len(q))
            step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        step = np.clip(step, -MAX_STEP, MAX_STEP)
        return np.asarray(np.clip(q + step, self.lower, self.upper))


def _towards(rest: Array, q: Array, jacobian: Array) -> Array:
    """A step (n,) of joints (n,) towards the rest posture (n,) that leaves the tip where it is."""
    wish = np.clip(REST_GAIN * (rest - q), -MAX_REST_STEP, MAX_REST_STEP)
    gram = jacobian @ jacobian.T
    gram[np.diag_indices(6)] += 1e-9
    return np.asarray(wish - jacobian.T @ np.linalg.solve(gram, jacobian @ wish))


def pose_to_vector(pose: Array) -> Array:
    """Position and the first two columns of the rotation, (9,), of a pose (4, 4)."""
    return np.concatenate([pose[:3, 3], pose[:3, 0], pose[:3, 1]])
