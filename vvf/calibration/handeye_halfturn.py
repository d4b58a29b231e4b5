# SPDX-License-Identifier: Apache-2.0
"""Chessboards that were read from the other end.

Where both numbers of corners are odd, or both even, a chessboard looks the same after half a turn,
and it is chance from which end it is read. Between two poses the board turns by the same angle as
the gripper, whatever the camera's place: that tells which poses were read from the same end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from vvf.calibration.board import Board, Chessboard
from vvf.calibration.poses import PosePairs


def from_one_end(pairs: PosePairs, board: Board) -> tuple[PosePairs, list[str]]:
    """The poses as if all had been read from the same end, and the names of those that were turned.

    Args:
        pairs: as they were read in images.
        board: which.
    """
    if not has_two_ends(board):
        return pairs, []
    turned = np.flatnonzero(_ends(pairs.gripper[:, :3, :3], pairs.board[:, :3, :3]))
    boards = pairs.board.copy()
    boards[turned] = boards[turned] @ half_turn(board)
    return replace(pairs, board=boards), [pairs.names[i] for i in turned]


def has_two_ends(board: Board) -> bool:
    """Whether it looks the same after half a turn."""
    return isinstance(board, Chessboard) and (board.columns + board.rows) % 2 == 0


def half_turn(board: Board) -> npt.NDArray[np.float64]:
    """The pose (4, 4) of the board in itself, read from the other end."""
    first, last = board.corners[0], board.corners[-1]
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn[:3, 3] = first + last
    return turn


def _ends(
    gripper: npt.NDArray[np.float64], board: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Which poses (N,) were read from another end than most; of rotations (N, 3, 3)."""
    n = len(gripper)
    first, second = np.triu_indices(n, 1)
    wanted = _angles(np.swapaxes(gripper[first], 1, 2) @ gripper[second])
    after = np.swapaxes(board[second], 1, 2)
    half = np.diag([-1.0, -1.0, 1.0])
    same = np.abs(_angles(board[first] @ after) - wanted)
    other = np.abs(_angles(board[first] @ half @ after) - wanted)
    votes = np.zeros((n, n))
    votes[first, second] = votes[second, first] = other - same
    # The two camps that agree best within and disagree best between each other.
    camp = np.linalg.eigh(votes)[1][:, -1]
    return np.asarray(camp > 0) if np.sum(camp > 0) <= n / 2 else np.asarray(camp <= 0)


def _angles(turns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(Rotation.from_matrix(turns).magnitude())
