# SPDX-License-Identifier: Apache-2.0
"""Hand-eye calibration: where a camera is on the gripper, or beside the robot.

Poses that do not fit are left out first, and all methods then see the same poses. Least squares are
chosen, unless another method predicts better where the board is in poses that it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from vvf.calibration.handeye_methods import (
    METHODS,
    REFINED,
    NoSolutionError,
    Poses,
    Residuals,
    Setup,
    board_poses,
    distances,
    mean_pose,
    motions,
    refine,
    solve,
)
from vvf.calibration.handeye_outliers import LEAST_FOR_REJECTION, find_fitting
from vvf.calibration.poses import PosePairs
from vvf.errors import UserError

MIN_POSES = 3
MIN_TURN_DEG = 2.0
_MIN_SECOND_AXIS_DEG = 1.0

_FOLDS = 5
_CLEARLY = 1.1  # of a sum of squares: five per cent of the error


@dataclass(frozen=True)
class MethodResult:
    """What one method found.

    Attributes:
        pose: (4, 4) the camera in the base (eye-to-hand) or in the gripper (eye-in-hand), m.
        residuals: of all poses that are used.
        held_out_mm: root mean square error of the board in poses that were not fitted; NaN where
            there are too few poses to leave some out.
        held_out_deg: the same, degrees.
    """

    pose: Poses
    residuals: Residuals
    held_out_mm: float
    held_out_deg: float


@dataclass(frozen=True)
class Rejected:
    """A pose that is left out: its index, and how far the board is from where it should be."""

    index: int
    name: str
    off_mm: float
    off_deg: float

    def __str__(self) -> str:
        return (
            f'pose {self.name} is left out: it has the board {self.off_mm:.1f} mm and '
            f'{self.off_deg:.2f} deg from where the others have it'
        )


@dataclass(frozen=True)
class HandEye:
    """The result.

    Attributes:
        setup: eye-to-hand or eye-in-hand.
        methods: by name.
        failed: methods that found nothing, and why.
        chosen: name of the method to be used.
        used: (N,) bool, which poses were.
        rejected: those that were not.
        board: (4, 4) of the board in the gripper (eye-to-hand) or in the base (eye-in-hand), m.
        covariance: (12, 12) of rotation and shift of the camera's pose and of the board's.
        sigma: (2,) scatter of one pose, metres and radians in each direction.
    """

    setup: Setup
    methods: dict[str, MethodResult]
    failed: dict[str, str]
    chosen: str
    used: npt.NDArray[np.bool_]
    rejected: tuple[Rejected, ...]
    board: Poses
    covariance: Poses
    sigma: Poses

    @property
    def best(self) -> MethodResult:
        """What the chosen method found."""
        return self.methods[self.chosen]

    @property
    def uncertainty_mm(self) -> float:
        """Standard deviation of the camera's place, all directions together."""
        return float(1e3 * np.sqrt(np.trace(self.covariance[3:6, 3:6])))

    @property
    def uncertainty_deg(self) -> float:
        """Standard deviation of the camera's rotation, all directions together."""
        return float(np.degrees(np.sqrt(np.trace(self.covariance[:3, :3]))))


def calibrate(pairs: PosePairs, setup: Setup) -> HandEye:
    """Find the camera's pose.

    Raises:
        UserError: There are fewer than three poses, they do not turn enough, or no method finds a
            result.
    """
    check_rotations(pairs)
    motion, board = motions(pairs, setup), pairs.board
    used, off = find_fitting(motion, board)
    rejected = tuple(
        Rejected(int(i), pairs.names[i], 1e3 * off.metres[i], float(np.degrees(off.radians[i])))
        for i in np.flatnonzero(~used)
    )
    motion, board = motion[used], board[used]
    methods: dict[str, MethodResult] = {}
    failed: dict[str, str] = {}
    for name in METHODS:
        try:
            methods[name] = _result(name, motion, board)
        except NoSolutionError as error:
            failed[name] = str(error)
    if not methods:
        raise UserError('no method finds a result in these poses: take others, turned farther.')
    chosen = _choice(methods)
    pose = methods[chosen].pose
    _, _, covariance, sigma = refine(pose, motion, board)
    z = mean_pose(board_poses(pose, motion, board))
    return HandEye(setup, methods, failed, chosen, used, rejected, z, covariance, sigma)


def turn_axes(gripper: Poses) -> tuple[npt.NDArray[np.float64], Poses]:
    """About which axes the gripper turns from pose to pose, and how far.

    Args:
        gripper: (N, 4, 4).

    Returns:
        Root mean square angles (3,) in degrees, largest first, and their axes as the columns of
        (3, 3), in the gripper's frame.
    """
    first, second = np.triu_indices(len(gripper), 1)
    turned = np.swapaxes(gripper[first, :3, :3], 1, 2) @ gripper[second, :3, :3]
    vectors = Rotation.from_matrix(turned).as_rotvec(degrees=True)
    squares, axes = np.linalg.eigh(vectors.T @ vectors / len(vectors))
    return np.sqrt(np.maximum(squares[::-1], 0)), axes[:, ::-1]


def check_rotations(pairs: PosePairs) -> None:
    """Refuse poses out of which no method can find anything.

    Raises:
        UserError: See `calibrate`.
    """
    if len(pairs) < MIN_POSES:
        raise UserError(
            f'hand-eye calibration needs {MIN_POSES} poses at least, better 15, here are '
            f'{len(pairs)}: take more.'
        )
    angles, axes = turn_axes(pairs.gripper)
    if angles[0] < MIN_TURN_DEG:
        raise UserError(
            f'the gripper does not turn between the poses ({angles[0]:.2f} deg): tilt it by 30 deg '
            'or more about two of its axes, in at least 3 poses each.'
        )
    if angles[1] < _MIN_SECOND_AXIS_DEG:
        other = 'xyz'[int(np.argmin(np.abs(axes[:, 0])))]
        raise UserError(
            'the gripper turns about one axis only, which leaves the result open: tilt it about '
            f'its {other} axis, too, by 30 deg or more in at least 3 poses.'
        )


def _result(name: str, motion: Poses, board: Poses) -> MethodResult:
    pose = solve(name, motion, board)
    placed = board_poses(pose, motion, board)
    missed = _held_out(name, motion, board)
    return MethodResult(pose, distances(placed, mean_pose(placed)), missed.rms_mm, missed.rms_deg)


def _held_out(name: str, motion: Poses, board: Poses) -> Residuals:
    """Errors in poses that were left out of the fit, a fifth at a time."""
    n = len(motion)
    nothing = Residuals(np.full(1, np.nan), np.full(1, np.nan))
    if n < LEAST_FOR_REJECTION:
        return nothing
    metres, radians = np.zeros(n), np.zeros(n)
    for fold in range(_FOLDS):
        out = np.arange(n) % _FOLDS == fold
        try:
            pose = solve(name, motion[~out], board[~out])
        except NoSolutionError:
            return nothing
        centre = mean_pose(board_poses(pose, motion[~out], board[~out]))
        missed = distances(board_poses(pose, motion[out], board[out]), centre)
        metres[out], radians[out] = missed.metres, missed.radians
    return Residuals(metres, radians)


def _choice(methods: dict[str, MethodResult]) -> str:
    """Least squares, unless another one errs clearly less where it was not fitted."""

    def numbers(result: MethodResult) -> tuple[float, float]:
        if np.isfinite(result.held_out_mm):
            return result.held_out_mm, result.held_out_deg
        return result.residuals.rms_mm, result.residuals.rms_deg

    table = np.array([numbers(result) for result in methods.values()])
    scale = np.maximum(np.median(table, axis=0), 1e-9)
    scores = dict(zip(methods, np.sum((table / scale) ** 2, axis=1), strict=True))
    best = min(scores, key=lambda name: scores[name])
    if REFINED in scores and scores[REFINED] <= _CLEARLY * scores[best]:
        return REFINED
    return best
