# SPDX-License-Identifier: Apache-2.0
"""The lens models that are fitted, each through OpenCV, and what a fitted one can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vvf.errors import UserError

Array = npt.NDArray[np.float64]
Points = npt.NDArray[np.floating]

#: As on the command line -> as in sensor_msgs/CameraInfo.
MODELS = {
    'plumb_bob': 'plumb_bob',
    'rational_polynomial': 'rational_polynomial',
    'fisheye': 'equidistant',
}
_COEFFICIENTS = {'plumb_bob': 5, 'rational_polynomial': 8, 'equidistant': 4}


@dataclass(frozen=True)
class Lens:
    """A camera without its place.

    Attributes:
        size: width and height, pixels.
        distortion_model: plumb_bob, rational_polynomial or equidistant.
        matrix: (3, 3).
        distortion: the coefficients of the model.
    """

    size: tuple[int, int]
    distortion_model: str
    matrix: Array
    distortion: Array

    def project(self, points: Points, turn: Array, shift: Array) -> Array:
        """Pixels (N, 2) of points (N, 3) of a board with this rotation vector and place."""
        return self._project(points, turn, shift)[0]

    def slopes(self, points: Points, turn: Array, shift: Array) -> tuple[Array, Array]:
        """How the pixels of `project` change with the numbers of the lens, and with the pose.

        Returns:
            (2 N, 4 + coefficients) by fx, fy, cx, cy and the distortion; (2 N, 6) by the rotation
            vector and the place.
        """
        slopes = self._project(points, turn, shift)[1]
        # OpenCV's two models have them in different orders.
        if self.distortion_model == 'equidistant':
            return slopes[:, :8], slopes[:, 8:14]
        return slopes[:, 6 : 10 + len(self.distortion)], slopes[:, :6]

    def _project(self, points: Points, turn: Array, shift: Array) -> tuple[Array, Array]:
        spots = np.asarray(points, np.float64).reshape(-1, 1, 3)
        inputs = (spots, turn, shift, self.matrix, self.distortion)
        if self.distortion_model == 'equidistant':
            seen, slopes = cv2.fisheye.projectPoints(*inputs)
        else:
            seen, slopes = cv2.projectPoints(*inputs)
        return np.asarray(seen, np.float64).reshape(-1, 2), np.asarray(slopes, np.float64)

    def projection(self) -> Array:
        """(3, 4) of an undistorted image that has no pixel without content, as ROS's own tool."""
        if self.distortion_model == 'equidistant':
            new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
                self.matrix, self.distortion, self.size, np.eye(3), balance=0.0
            )
        else:
            new, _ = cv2.getOptimalNewCameraMatrix(self.matrix, self.distortion, self.size, 0.0)
        return np.column_stack([np.asarray(new, np.float64), np.zeros(3)])

    def undistorted(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """An image as a camera of matrix `projection()` without distortion would see it."""
        new = self.projection()[:, :3]
        if self.distortion_model == 'equidistant':
            flat = cv2.fisheye.undistortImage(image, self.matrix, self.distortion, Knew=new)
        else:
            flat = cv2.undistort(image, self.matrix, self.distortion, newCameraMatrix=new)
        return np.asarray(flat, np.uint8)


@dataclass(frozen=True)
class Fit:
    """A lens that was fitted to views of a board.

    Attributes:
        lens: see there.
        turns: (V, 3) rotation vectors of the board, one for each view.
        shifts: (V, 3) its places, metres.
    """

    lens: Lens
    turns: Array
    shifts: Array


def fit_lens(
    on_board: Sequence[Points],
    in_image: Sequence[Points],
    size: tuple[int, int],
    model: str = 'plumb_bob',
) -> Fit:
    """Fit a lens to the corners of several views.

    Args:
        on_board: for each view (N, 3), metres.
        in_image: for each view (N, 2), pixels.
        size: of the images, width and height.
        model: one of `MODELS`.

    Raises:
        UserError: the views do not determine the model at all.
    """
    name = MODELS[model]
    try:
        if name == 'equidistant':
            return _fit_fisheye(on_board, in_image, size)
        flags = cv2.CALIB_RATIONAL_MODEL if name == 'rational_polynomial' else 0
        _, matrix, distortion, turns, shifts = cv2.calibrateCamera(
            [np.asarray(p, np.float32) for p in on_board],
            [np.asarray(p, np.float32).reshape(-1, 1, 2) for p in in_image],
            size,
            np.eye(3),
            np.zeros(5),
            flags=flags,
        )
    except cv2.error as error:
        raise UserError(
            f'these views do not determine a {model} lens: take more, with the board tilted in '
            'several directions, at several distances, and in every part of the image.'
        ) from error
    count = _COEFFICIENTS[name]
    lens = Lens(
        size, name, np.asarray(matrix, float), np.asarray(distortion, float).ravel()[:count]
    )
    return Fit(lens, _rows(turns), _rows(shifts))


def _fit_fisheye(
    on_board: Sequence[Points], in_image: Sequence[Points], size: tuple[int, int]
) -> Fit:
    flags = cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC | cv2.fisheye.CALIB_FIX_SKEW
    _, matrix, distortion, turns, shifts = cv2.fisheye.calibrate(
        [np.asarray(p, np.float64).reshape(-1, 1, 3) for p in on_board],
        [np.asarray(p, np.float64).reshape(-1, 1, 2) for p in in_image],
        size,
        np.eye(3),
        np.zeros(4),
        flags=flags,
        criteria=(cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 1e-6),
    )
    lens = Lens(size, 'equidistant', np.asarray(matrix), np.asarray(distortion).ravel())
    return Fit(lens, _rows(turns), _rows(shifts))


def _rows(vectors: Sequence[Points]) -> Array:
    return np.asarray(vectors, np.float64).reshape(-1, 3)
