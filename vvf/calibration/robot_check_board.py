# SPDX-License-Identifier: Apache-2.0
"""A number for the check: how far a board's corners are from where the calibration has them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vvf.calibration.board import Board
from vvf.calibration.handeye_halfturn import half_turn, has_two_ends
from vvf.calibration.poses_camera import board_in_camera
from vvf.calibration.robot_check import RobotProjector
from vvf.errors import UserError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BoardError:
    """How far a board is from where it should be.

    Attributes:
        detected: (N, 2) corners in the image, pixels.
        predicted: (N, 2) the same corners as the calibration has them; NaN where out of sight.
        rms_px: root mean square distance of the two.
        off_mm: between the middles of the board.
        off_deg: between its directions.
    """

    detected: Array
    predicted: Array
    rms_px: float
    off_mm: float
    off_deg: float


def board_error(
    projector: RobotProjector, board: Board, image: npt.NDArray[np.uint8], q: npt.ArrayLike
) -> BoardError | None:
    """Compare an image (H, W, 3) with the prediction; None where it does not show the board.

    Args:
        projector: robot, lens and camera.
        board: what was calibrated with, still where it was then.
        image: RGB.
        q: joint angles (n,), rad.

    Raises:
        UserError: The hand-eye result does not say where the board is.
    """
    place = projector.place
    if place.board is None:
        raise UserError(
            'the hand-eye result does not say where the board is: make it with `vvf calibrate '
            'handeye`, or leave the board out.'
        )
    seen = board.find(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    if seen is None:
        return None
    carrier = projector.base_in_camera(q)
    if place.setup == 'eye-to-hand':
        carrier = carrier @ projector.robot.tip(q)
    wanted = carrier @ place.board
    measured, _ = board_in_camera(board, seen, projector.lens)
    if has_two_ends(board):  # it is chance from which end it was read, then and now
        wanted = min(wanted, wanted @ half_turn(board), key=lambda pose: _angle(pose, measured))
    on_board = board.corners[seen.ids].astype(np.float64)
    predicted = projector.pixels(on_board, wanted)
    middle = np.append(board.corners.mean(0).astype(np.float64), 1.0)
    missed = np.sum((predicted - seen.points) ** 2, axis=1)
    return BoardError(
        np.asarray(seen.points, np.float64),
        predicted,
        float(np.sqrt(np.nanmean(missed))) if np.isfinite(missed).any() else float('inf'),
        float(1e3 * np.linalg.norm((wanted - measured) @ middle)),
        float(np.degrees(_angle(wanted, measured))),
    )


def _angle(one: Array, other: Array) -> float:
    """Between the directions of two poses (4, 4), rad."""
    return float(np.linalg.norm(cv2.Rodrigues(one[:3, :3].T @ other[:3, :3])[0]))
