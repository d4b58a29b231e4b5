# SPDX-License-Identifier: Apache-2.0
"""Tells the poses of a hand-eye calibration that fit together from those that do not.

A single wrong pose would spoil every method. So many samples of four poses are solved, and the one
whose median residual is least says what fits (Rousseeuw's least median of squares, 1984).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vvf.calibration.handeye_methods import (
    NoSolutionError,
    Poses,
    Residuals,
    board_poses,
    distances,
    mean_pose,
    solve,
)

#: With fewer poses, one that does not fit cannot be told from the others.
LEAST_FOR_REJECTION = 6
_LEAST_KEPT = 3
_SAMPLES = 100
_SAMPLE = 4
# The board's distance is much less certain than its direction, so the tail of residuals is long.
_CUT = 5.0
_LEAST_CUT = (2e-3, np.radians(0.3))  # metres, radians: what does no harm
_ROUNDS = 10


def find_fitting(motion: Poses, board: Poses) -> tuple[npt.NDArray[np.bool_], Residuals]:
    """Which poses belong together.

    Args:
        motion: (N, 4, 4) of `motions`.
        board: (N, 4, 4) board in camera.

    Returns:
        (N,) bool, and how far the board is, in each pose, from where the ones that fit have it.
    """
    n = len(motion)
    everything = np.ones(n, bool)
    if n < LEAST_FOR_REJECTION:
        return everything, Residuals(np.zeros(n), np.zeros(n))
    # An angle counts as what it moves the board's place by.
    arm = float(np.median(np.linalg.norm(board[:, :3, 3], axis=1)))
    rng = np.random.default_rng(0)
    used, best, off = everything, np.inf, None
    for number in range(_SAMPLES):
        chosen = np.arange(n) if number == 0 else rng.choice(n, _SAMPLE, replace=False)
        try:
            pose = solve('park', motion[chosen], board[chosen])
        except NoSolutionError:
            continue
        placed = board_poses(pose, motion, board)
        seen = distances(placed, _median_pose(placed))
        apart = np.hypot(seen.metres, arm * seen.radians)
        if np.median(apart) < best:
            best, off, used = float(np.median(apart)), seen, apart <= np.median(apart)
    for _ in range(_ROUNDS):
        before = used
        try:
            pose = solve('park', motion[used], board[used])
        except NoSolutionError:
            break
        placed = board_poses(pose, motion, board)
        off = distances(placed, mean_pose(placed[used]))
        cuts = [
            max(least, _CUT * float(np.median(values)))
            for least, values in zip(_LEAST_CUT, (off.metres, off.radians), strict=True)
        ]
        used = (off.metres <= cuts[0]) & (off.radians <= cuts[1])
        if (used == before).all():
            break
    if off is None or used.sum() < _LEAST_KEPT:
        return everything, Residuals(np.zeros(n), np.zeros(n))
    return used, off


def _median_pose(poses: Poses) -> Poses:
    """The mean (4, 4) of the half of poses (N, 4, 4) that is nearest to the middle one."""
    places = poses[:, :3, 3]
    apart = np.linalg.norm(places - np.median(places, axis=0), axis=1)
    centre = poses[int(np.argmin(apart))]
    turned = distances(poses, centre)
    score = apart / max(np.median(apart), 1e-12)
    score = score + turned.radians / max(float(np.median(turned.radians)), 1e-12)
    return mean_pose(poses[score <= np.median(score)])
