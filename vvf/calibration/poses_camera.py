# SPDX-License-Identifier: Apache-2.0
"""A camera's file as a lens, and where a board is in one of its images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vvf.calibration.board import Board, Detection
from vvf.calibration.camera_info import camera_info_fields
from vvf.calibration.lens import Lens
from vvf.errors import UserError

_MODELS = ('plumb_bob', 'rational_polynomial', 'equidistant')


def read_lens(path: str | Path) -> Lens:
    """The lens of a camera_info YAML.

    Raises:
        UserError: The file is missing, incomplete, or of another model.
    """
    fields = camera_info_fields(path)
    size = (fields['width'], fields['height'])
    if not all(size):
        raise UserError(f'calibration {path} needs image_width and image_height.')
    if fields['distortion_model'] not in _MODELS:
        raise UserError(
            f'calibration {path}: distortion model {fields["distortion_model"]!r} is not one of '
            f'{", ".join(_MODELS)}.'
        )
    matrix = np.array(fields['k'], np.float64).reshape(3, 3)
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise UserError(f'calibration {path} has no focal length: run `vvf calibrate intrinsics`.')
    return Lens(size, fields['distortion_model'], matrix, np.array(fields['d'], np.float64))


def check_size(image: npt.NDArray[np.uint8], lens: Lens, where: str) -> None:
    """Refuse an image of another size than the one that was calibrated.

    Raises:
        UserError: It has another one.
    """
    height, width = image.shape[:2]
    if (width, height) != lens.size:
        raise UserError(
            f'{where} is {width}x{height}, the intrinsics are for {lens.size[0]}x{lens.size[1]}: '
            'calibrate the camera at the size that is used.'
        )


def board_in_camera(
    board: Board, seen: Detection, lens: Lens
) -> tuple[npt.NDArray[np.float64], float]:
    """The pose (4, 4) of a board in the camera's frame, m, and the error in pixels (rms)."""
    on_board = board.corners[seen.ids].astype(np.float64)
    rays = _undistorted(seen.points.astype(np.float64), lens)
    # Of a plane that is seen from afar, two poses look alike: both are refined, one fits.
    found = cv2.solvePnPGeneric(on_board, rays, np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
    best, least = np.eye(4), np.inf
    for turn, shift in zip(found[1], found[2], strict=True):
        turn, shift = cv2.solvePnPRefineLM(on_board, rays, np.eye(3), None, turn, shift)
        missed = lens.project(on_board, turn, shift) - seen.points
        rms = float(np.sqrt(np.mean(np.sum(missed**2, axis=1))))
        if rms < least:
            least = rms
            best[:3, :3], best[:3, 3] = cv2.Rodrigues(turn)[0], np.ravel(shift)
    return best, least


def _undistorted(points: npt.NDArray[np.float64], lens: Lens) -> npt.NDArray[np.float64]:
    """Pixels (N, 2) as a camera of focal length 1 without distortion sees them."""
    spots = points.reshape(-1, 1, 2)
    if lens.distortion_model == 'equidistant':
        flat = cv2.fisheye.undistortPoints(spots, lens.matrix, lens.distortion)
    else:
        ending = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
        flat = cv2.undistortPointsIter(spots, lens.matrix, lens.distortion, None, None, ending)
    return np.asarray(flat, np.float64).reshape(-1, 2)
