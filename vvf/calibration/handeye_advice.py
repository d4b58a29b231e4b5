# SPDX-License-Identifier: Apache-2.0
"""What would make a hand-eye calibration better, in words."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from vvf.calibration.handeye import HandEye, turn_axes
from vvf.calibration.handeye_methods import (
    NoSolutionError,
    Poses,
    Setup,
    board_poses,
    distances,
    errors,
    invert,
    jacobian,
    mean_pose,
    motions,
    solve,
)
from vvf.calibration.poses import PosePairs

TILT_DEG = 30.0
TILTED_POSES = 3
ENOUGH_POSES = 15
# The mean posture leans to the tilted poses, so 20 degrees from it are 30 from the others.
_FROM_MEAN_DEG = 20.0
_WEAK_AXIS_DEG = 10.0
_DEPTH_SPREAD = 0.05
_DISAGREE_MM = 5.0
_SCALE_SIGMAS = 5.0
_SCALE = 0.005
_MANY_REJECTED = 0.2
_WORTH = 0.9  # of the uncertainty: poses that leave more are not worth the trouble
_HOPELESS_MM = 30.0
_HOPELESS_DEG = 5.0


@dataclass(frozen=True)
class Turning:
    """How the gripper turns from pose to pose.

    Attributes:
        tilts: (N, 3) degrees about the gripper's x, y and z from its mean posture.
        axes_deg: (3,) root mean square angles between two poses about the three best axes.
    """

    tilts: npt.NDArray[np.float64]
    axes_deg: npt.NDArray[np.float64]

    @property
    def tilted(self) -> list[int]:
        """How many poses are tilted about the gripper's x, y and z."""
        return [int(n) for n in (np.abs(self.tilts) >= _FROM_MEAN_DEG).sum(0)]


def turning(gripper: Poses) -> Turning:
    """How the gripper (N, 4, 4) turns."""
    mean = mean_pose(gripper)[:3, :3]
    tilts = Rotation.from_matrix(mean.T @ gripper[:, :3, :3]).as_rotvec(degrees=True)
    return Turning(np.asarray(tilts), turn_axes(gripper)[0])


def advise(pairs: PosePairs, result: HandEye) -> list[str]:
    """Sentences about which poses to add and what to measure again, the most useful first."""
    used = result.used
    motion, board = motions(pairs, result.setup)[used], pairs.board[used]
    turned = turning(pairs.gripper[used])
    advice = _about_everything(pairs, result) or _about_scale(result, motion, board)
    advice += _about_axes(pairs.gripper[used], result, motion, board, turned)
    if used.sum() < ENOUGH_POSES:
        advice.append(f'take {ENOUGH_POSES} poses or more: {used.sum()} are used.')
    far = np.linalg.norm(board[:, :3, 3], axis=1)
    if far.std() < _DEPTH_SPREAD * far.mean():
        advice.append(
            f'move the board nearer to the camera and farther away: it is always {far.mean():.2f} '
            'm from it.'
        )
    if (~used).mean() > _MANY_REJECTED:
        advice.append(
            f'look for the cause of {np.sum(~used)} poses that do not fit: does the board move in '
            'its holder, or is the image older than the pose?'
        )
    return advice + _about_methods(result)


def board_scale(result: HandEye, motion: Poses, board: Poses) -> tuple[float, float]:
    """By what the board's distances should be multiplied, and the standard deviation of that.

    A wrong length of the board's squares scales all distances, which the robot's own lengths show.

    Args:
        result: The calibration.
        motion: (N, 4, 4) of the poses that are used.
        board: (N, 4, 4) of the same.
    """
    x, z = result.best.pose, result.board
    weights = np.repeat(1 / result.sigma, 3)
    grown = board.copy()
    grown[:, :3, 3] *= 1 + 1e-6
    by_scale = (errors(x, z, motion, grown) - errors(x, z, motion, board)) / 1e-6
    rows = np.concatenate([jacobian(x, z, motion, board), by_scale[..., None]], axis=2)
    table = (rows * weights[:, None]).reshape(-1, 13)
    left = (errors(x, z, motion, board) * weights).ravel()
    covariance = np.linalg.pinv(table.T @ table, hermitian=True)
    step = -covariance @ table.T @ left
    return 1 + float(step[-1]), float(np.sqrt(covariance[-1, -1]))


def predicted_mm(result: HandEye, motion: Poses, board: Poses, more: Poses) -> float:
    """The uncertainty of the camera's place in mm if poses with motions (M, 4, 4) were added."""
    x, z = result.best.pose, result.board
    seen = invert(x) @ invert(more) @ z
    rows = jacobian(x, z, np.concatenate([motion, more]), np.concatenate([board, seen]))
    rows /= np.repeat(result.sigma, 3)[:, None]
    information = np.einsum('nij,nik->jk', rows, rows)
    covariance = np.linalg.pinv(information, hermitian=True)
    return float(1e3 * np.sqrt(np.trace(covariance[3:6, 3:6])))


def _about_everything(pairs: PosePairs, result: HandEye) -> list[str]:
    """What to look at where nothing fits."""
    found = result.best.residuals
    if found.rms_mm < _HOPELESS_MM and found.rms_deg < _HOPELESS_DEG:
        return []
    start = f'these poses do not fit together ({found.rms_mm:.0f} mm, {found.rms_deg:.0f} deg): '
    other: Setup = 'eye-in-hand' if result.setup == 'eye-to-hand' else 'eye-to-hand'
    motion = motions(pairs, other)
    with contextlib.suppress(NoSolutionError):
        placed = board_poses(solve('park', motion, pairs.board), motion, pairs.board)
        if distances(placed, mean_pose(placed)).rms_mm < found.rms_mm / 4:
            return [f'{start}they do as --setup {other}.']
    return [
        f'{start}is the board fixed, is it the right --robot, and are both poses given as the '
        'gripper in the base and the board in the camera, in metres?'
    ]


def _about_axes(
    gripper: Poses, result: HandEye, motion: Poses, board: Poses, turned: Turning
) -> list[str]:
    weak = [k for k, count in enumerate(turned.tilted) if count < TILTED_POSES]
    if not weak and turned.axes_deg[1] < _WEAK_AXIS_DEG:
        # All turn about one slanted axis: what lies across it is missing.
        weak = [int(np.argmin(np.abs(turn_axes(gripper)[1][:, 0])))]
    found = []
    for axis in weak:
        added = np.stack([_tilted(gripper, axis, angle) for angle in (TILT_DEG, -TILT_DEG, 45.0)])
        more = added if result.setup == 'eye-in-hand' else invert(added)
        after = predicted_mm(result, motion, board, more)
        if after > _WORTH * result.uncertainty_mm:
            continue
        found.append(
            (
                after,
                f'tilt the gripper about its {"xyz"[axis]} axis by {TILT_DEG:.0f} deg or more in '
                f'at least {TILTED_POSES} poses (so far {turned.tilted[axis]}): the '
                f'uncertainty would go from {result.uncertainty_mm:.1f} to {after:.1f} mm.',
            )
        )
    return [sentence for _, sentence in sorted(found)]


def _tilted(gripper: Poses, axis: int, degrees: float) -> Poses:
    """The mean posture, tilted about one of the gripper's axes."""
    pose = mean_pose(gripper)
    turn = Rotation.from_rotvec(degrees * np.eye(3)[axis], degrees=True).as_matrix()
    pose[:3, :3] = pose[:3, :3] @ turn
    return pose


def _about_scale(result: HandEye, motion: Poses, board: Poses) -> list[str]:
    if len(motion) < ENOUGH_POSES // 2:
        return []
    scale, sigma = board_scale(result, motion, board)
    if abs(scale - 1) < max(_SCALE, _SCALE_SIGMAS * sigma):
        return []
    return [
        f'measure the squares of the board again: the poses fit best if they are '
        f'{100 * abs(scale - 1):.1f} % {"larger" if scale > 1 else "smaller"} than was said.'
    ]


def _about_methods(result: HandEye) -> list[str]:
    best = result.best
    others = [
        (1e3 * float(np.linalg.norm(m.pose[:3, 3] - best.pose[:3, 3])), name)
        for name, m in result.methods.items()
        if m.residuals.rms_mm < 2 * best.residuals.rms_mm + 0.1
    ]
    apart, name = max(others)
    if apart < max(_DISAGREE_MM, 3 * result.uncertainty_mm):
        return []
    return [
        f'do not rely on the result yet: {name} and {result.chosen} fit alike and are '
        f'{apart:.0f} mm apart, so the poses leave it open.'
    ]
