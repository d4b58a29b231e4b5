# SPDX-License-Identifier: Apache-2.0
"""The methods of hand-eye calibration, and how well a result holds together.

Both setups are one problem: ``motion_i @ X @ board_i`` is the same pose ``Z`` for all i. With the
camera on the gripper, motion is the gripper in the base, X the camera in the gripper and Z the
board in the base. With the camera beside the robot and the board on the gripper, motion is the
base in the gripper, X the camera in the base and Z the board in the gripper.

Tsai and Lenz 1989, Park and Martin 1994, Horaud and Dornaika 1995, Andreff 1999, Daniilidis 1999
solve for X alone; Shah 2013 and Li 2010 for X and Z. All are OpenCV's; `refined` is our own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from vvf.calibration.poses import PosePairs

Poses = npt.NDArray[np.float64]
Setup = Literal['eye-to-hand', 'eye-in-hand']
SETUPS: tuple[str, ...] = get_args(Setup)

HAND_EYE = ('tsai', 'park', 'horaud', 'andreff', 'daniilidis')
ROBOT_WORLD = ('shah', 'li')
REFINED = 'refined'
METHODS = (*HAND_EYE, *ROBOT_WORLD, REFINED)

_ROUNDS = 3  # of fitting and weighing; the weights settle at once
_LEAST_SIGMA = (1e-5, 1e-5)  # metres and radians: data without noise must not divide by zero
_STEP = 1e-6
_EVALUATIONS = 20


class NoSolutionError(ValueError):
    """A method found nothing in these poses."""


@dataclass(frozen=True)
class Residuals:
    """How far the board is from where the mean puts it, for each pose.

    Attributes:
        metres: (N,).
        radians: (N,).
    """

    metres: npt.NDArray[np.float64]
    radians: npt.NDArray[np.float64]

    @property
    def rms_mm(self) -> float:
        """Root mean square over the poses, millimetres."""
        return float(1e3 * np.sqrt(np.mean(self.metres**2)))

    @property
    def rms_deg(self) -> float:
        """Root mean square over the poses, degrees."""
        return float(np.degrees(np.sqrt(np.mean(self.radians**2))))


def motions(pairs: PosePairs, setup: Setup) -> Poses:
    """The motions (N, 4, 4) of the one problem; see the module."""
    return pairs.gripper if setup == 'eye-in-hand' else invert(pairs.gripper)


def invert(poses: Poses) -> Poses:
    """Inverse of poses (..., 4, 4)."""
    result = np.zeros_like(poses)
    turned = np.swapaxes(poses[..., :3, :3], -1, -2)
    result[..., :3, :3] = turned
    result[..., :3, 3] = -(turned @ poses[..., :3, 3, None])[..., 0]
    result[..., 3, 3] = 1.0
    return result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV says on standard error that a method failed; here it is said with the result."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def solve(method: str, motion: Poses, board: Poses) -> Poses:
    """X (4, 4) by one method.

    Args:
        method: one of `METHODS`.
        motion: (N, 4, 4) of `motions`.
        board: (N, 4, 4) board in camera.

    Raises:
        NoSolutionError: it found none.
    """
    try:
        if method == REFINED:
            return refine(solve('park', motion, board), motion, board)[0]
        with _quiet():
            if method in ROBOT_WORLD:
                result = _robot_world(method, motion, board)
            else:
                flag = getattr(cv2, f'CALIB_HAND_EYE_{method.upper()}')
                result = cv2.calibrateHandEye(*_split(motion), *_split(board), method=flag)
    except cv2.error as error:
        raise NoSolutionError(f'{method}: the poses do not determine a result') from error
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = result[0], np.ravel(result[1])
    proper = np.isfinite(pose).all() and abs(np.linalg.det(pose[:3, :3]) - 1) < 1e-3
    # What Tsai's gives when it fails is exactly this.
    if not proper or np.array_equal(pose, np.eye(4)):
        raise NoSolutionError(f'{method}: the poses do not determine a result')
    return pose


def board_poses(x: Poses, motion: Poses, board: Poses) -> Poses:
    """Where each pose puts the board (N, 4, 4): in the base or in the gripper."""
    return np.asarray(motion @ x @ board)


def mean_pose(poses: Poses) -> Poses:
    """The mean (4, 4) of poses (N, 4, 4) that are near to each other."""
    mean = np.eye(4)
    mean[:3, :3] = Rotation.from_matrix(poses[:, :3, :3]).mean().as_matrix()
    mean[:3, 3] = poses[:, :3, 3].mean(0)
    return mean


def distances(poses: Poses, centre: Poses) -> Residuals:
    """How far poses (N, 4, 4) are from one (4, 4)."""
    turn = np.swapaxes(poses[:, :3, :3], 1, 2) @ centre[:3, :3]
    return Residuals(
        np.linalg.norm(poses[:, :3, 3] - centre[:3, 3], axis=1),
        np.asarray(Rotation.from_matrix(turn).magnitude()),
    )


def refine(x: Poses, motion: Poses, board: Poses) -> tuple[Poses, Poses, Poses, Poses]:
    """X and Z by least squares over metres and radians, each weighed by its own scatter.

    Args:
        x: (4, 4) where to start.
        motion: (N, 4, 4).
        board: (N, 4, 4).

    Returns:
        X, Z (4, 4), the covariance (12, 12) of the small rotation (rad) and shift (m) of X in its
        parent's frame, then of Z, and the two standard deviations (2,) of one pose, m and rad.
    """
    z = mean_pose(board_poses(x, motion, board))
    # Twelve numbers are fitted: what is left scatters less than the poses do.
    freedom = max(1.0, 6 * len(motion) - 12) / (6 * len(motion))
    for _ in range(_ROUNDS):
        error = errors(x, z, motion, board)
        sigma = np.sqrt(np.mean(error.reshape(-1, 2, 3) ** 2, axis=(0, 2)) / freedom)
        sigma = np.maximum(sigma, _LEAST_SIGMA)
        x, z = _fit(x, z, motion, board, np.repeat(1 / sigma, 3))
    rows = jacobian(x, z, motion, board) / np.repeat(sigma, 3)[:, None]
    information = np.einsum('nij,nik->jk', rows, rows)
    return x, z, np.linalg.pinv(information, hermitian=True), sigma


def _fit(x: Poses, z: Poses, motion: Poses, board: Poses, weights: Poses) -> tuple[Poses, Poses]:
    """The X and Z near to these with the least sum of squares; weights (6,) of the errors."""

    def residuals(step: Poses) -> Poses:
        return np.asarray((errors(*_moved(x, z, step), motion, board) * weights).ravel())

    def derivative(step: Poses) -> Poses:
        rows = jacobian(x, z, motion, board, step) * weights[:, None]
        return np.asarray(rows.reshape(-1, 12))

    found = least_squares(residuals, np.zeros(12), derivative, method='lm', max_nfev=_EVALUATIONS)
    return _moved(x, z, found.x)


def errors(x: Poses, z: Poses, motion: Poses, board: Poses) -> Poses:
    """By how much each pose misses Z (..., N, 6): metres, then the rotation vector.

    Args:
        x: (..., 4, 4).
        z: (..., 4, 4).
        motion: (N, 4, 4).
        board: (N, 4, 4).
    """
    off = invert(z)[..., None, :, :] @ motion @ x[..., None, :, :] @ board
    turns = Rotation.from_matrix(off[..., :3, :3].reshape(-1, 3, 3)).as_rotvec()
    return np.concatenate([off[..., :3, 3], turns.reshape(*off.shape[:-2], 3)], axis=-1)


def jacobian(x: Poses, z: Poses, motion: Poses, board: Poses, at: Poses | None = None) -> Poses:
    """Derivative (N, 6, 12) of `errors` by small steps of X and Z, at a step (12,) from them."""
    at = np.zeros(12) if at is None else at
    steps = np.concatenate([np.eye(12), -np.eye(12)]) * _STEP
    ahead, behind = np.split(errors(*_moved(x, z, at + steps), motion, board), 2)
    return np.moveaxis((ahead - behind) / (2 * _STEP), 0, -1)


def _moved(x: Poses, z: Poses, step: Poses) -> tuple[Poses, Poses]:
    """X and Z (..., 4, 4), turned and shifted in their parents' frames by steps (..., 12)."""
    moved = []
    for pose, part in ((x, step[..., :6]), (z, step[..., 6:])):
        new = np.broadcast_to(pose, (*part.shape[:-1], 4, 4)).copy()
        turns = Rotation.from_rotvec(part[..., :3].reshape(-1, 3)).as_matrix()
        new[..., :3, :3] = turns.reshape(*part.shape[:-1], 3, 3) @ pose[:3, :3]
        new[..., :3, 3] += part[..., 3:]
        moved.append(new)
    return moved[0], moved[1]


def _robot_world(method: str, motion: Poses, board: Poses) -> tuple[Poses, Poses]:
    """OpenCV's `A X = Z B` has the board's poses as A and the motions' inverses as B."""
    flag = getattr(cv2, f'CALIB_ROBOT_WORLD_HAND_EYE_{method.upper()}')
    found = cv2.calibrateRobotWorldHandEye(*_split(board), *_split(invert(motion)), method=flag)
    inverse = np.eye(4)
    inverse[:3, :3], inverse[:3, 3] = found[2], np.ravel(found[3])
    if not np.isfinite(inverse).all():
        raise NoSolutionError(f'{method}: the poses do not determine a result')
    x = invert(inverse)
    return x[:3, :3], x[:3, 3]


def _split(poses: Poses) -> tuple[Any, Any]:
    return np.ascontiguousarray(poses[:, :3, :3]), np.ascontiguousarray(poses[:, :3, 3])
