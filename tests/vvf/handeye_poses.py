# SPDX-License-Identifier: Apache-2.0
"""Poses of a gripper and a board for the tests of hand-eye calibration, with a known camera."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from vvf.calibration.handeye_methods import Setup, invert
from vvf.calibration.poses import PosePairs

MIDDLE = (0.35, 0.0, 0.25)


def pose(xyz: tuple[float, float, float], rotvec_deg: tuple[float, float, float]) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3] = Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()
    result[:3, 3] = xyz
    return result


CAMERA = {
    'eye-to-hand': pose((0.9, -0.2, 0.7), (100, 60, -80)),
    'eye-in-hand': pose((0.03, 0.01, 0.06), (-90, 10, -85)),
}
BOARD = {
    'eye-to-hand': pose((0.05, 0.02, -0.01), (10, -20, 90)),
    'eye-in-hand': pose((0.4, 0.1, 0.0), (0, 0, 30)),
}


def make_pairs(
    count: int,
    setup: Setup,
    *,
    mm: float = 0.0,
    deg: float = 0.0,
    tilts_deg: tuple[float, float, float] = (35.0, 35.0, 60.0),
    seed: int = 0,
) -> PosePairs:
    """Pairs with noise of the board's pose.

    Args:
        count: how many.
        setup: with the camera of `CAMERA` and the board of `BOARD`.
        mm: standard deviation of the board's place in each direction.
        deg: of its rotation about each axis.
        tilts_deg: of the gripper about its own axes: within plus or minus.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    gripper = []
    for _ in range(count):
        tilt = rng.uniform(-1, 1, 3) * tilts_deg
        gripper.append(pose(tuple(MIDDLE + rng.uniform(-0.1, 0.1, 3)), tuple(tilt)))
    grippers = np.stack(gripper)
    if setup == 'eye-to-hand':
        boards = invert(CAMERA[setup]) @ grippers @ BOARD[setup]
    else:
        boards = invert(grippers @ CAMERA[setup]) @ BOARD[setup]
    for board in boards:
        shake = Rotation.from_rotvec(rng.normal(0, deg, 3), degrees=True).as_matrix()
        board[:3, :3] = board[:3, :3] @ shake
        board[:3, 3] += rng.normal(0, mm * 1e-3, 3)
    return PosePairs(grippers, boards, tuple(str(i + 1) for i in range(count)))


def apart(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """How far two poses are apart: mm, deg."""
    turn = Rotation.from_matrix(found[:3, :3].T @ true[:3, :3])
    return float(1e3 * np.linalg.norm(found[:3, 3] - true[:3, 3])), float(
        np.degrees(turn.magnitude())
    )
