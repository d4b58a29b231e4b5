# SPDX-License-Identifier: Apache-2.0
"""Boards that were read upside down.

A chessboard whose colours look alike after half a turn may be read from either end. A pose in which
it was is far from all others, and fits when it is turned back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vvf.calibration.board import Board
from vvf.calibration.handeye import HandEye, calibrate
from vvf.calibration.handeye_methods import Setup, board_poses, distances, motions
from vvf.calibration.poses import PosePairs

_UPSIDE_DOWN_DEG = 150.0


def calibrate_read(
    pairs: PosePairs, setup: Setup, board: Board
) -> tuple[PosePairs, HandEye, list[str]]:
    """Calibrate with poses of a board that was read in images.

    Args:
        pairs: as they were read.
        setup: eye-to-hand or eye-in-hand.
        board: which.

    Returns:
        The poses with the board the right way up, the result, and the names of those poses that
        were turned.

    Raises:
        UserError: As `vvf.calibration.handeye.calibrate`.
    """
    result = calibrate(pairs, setup)
    wrong = [r.index for r in result.rejected if r.off_deg > _UPSIDE_DOWN_DEG]
    if not wrong:
        return pairs, result, []
    turned = pairs.board.copy()
    turned[wrong] = turned[wrong] @ half_turn(board)
    motion = motions(pairs, setup)
    before, after = (
        distances(board_poses(result.best.pose, motion, b), result.board).radians
        for b in (pairs.board, turned)
    )
    mended = [i for i in wrong if after[i] < before[i]]
    boards = pairs.board.copy()
    boards[mended] = turned[mended]
    pairs = replace(pairs, board=boards)
    return pairs, calibrate(pairs, setup), [pairs.names[i] for i in mended]


def half_turn(board: Board) -> npt.NDArray[np.float64]:
    """The pose (4, 4) of the board in itself, read from the other end."""
    first, last = board.corners[0], board.corners[-1]
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn[:3, 3] = first + last
    return turn
