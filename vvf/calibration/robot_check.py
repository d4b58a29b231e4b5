# SPDX-License-Identifier: Apache-2.0
"""Draws the robot into an image, where the calibration says that it is.

What is drawn follows from the joints, the intrinsics and the hand-eye result alone; where the
drawing leaves the robot in the picture, one of the three is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from vvf.calibration.handeye_file import CameraPlace
from vvf.calibration.lens import Lens
from vvf.calibration.poses_robot import Robot
from vvf.viz.arm_lines import arm_line, finger_lines

RgbImage = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

ARM: Colour = (255, 176, 0)
JOINT: Colour = (255, 255, 255)
FINGER: Colour = (255, 64, 160)
GRID: Colour = (90, 220, 235)
AXES: tuple[Colour, ...] = ((230, 40, 40), (50, 190, 60), (50, 100, 250))
DETECTED: Colour = (60, 230, 60)
PREDICTED: Colour = (255, 60, 60)

_LEAST_SIDE = 640  # smaller images are enlarged, so that lines do not hide what they lie on
_NEAR_M = 0.03
_PIECES = 40  # of a line, which the lens may bend
_GRID_STEP = 0.1
_AXIS_M = 0.1
_FRACTION = 4  # binary digits of OpenCV's coordinates


class RobotProjector:
    """Says where in the image the robot is.

    Args:
        robot: which.
        lens: of the camera.
        place: where the camera is.
    """

    def __init__(self, robot: Robot, lens: Lens, place: CameraPlace) -> None:
        self.robot, self.lens, self.place = robot, lens, place
        # Far outside of the image a lens polynomial folds back into it: rays are cut before.
        self._widest = 1.3 * _widest_ray(lens)

    def base_in_camera(self, q: npt.ArrayLike) -> Array:
        """Pose (4, 4) of the base in the camera's frame for joint angles (n,) in rad."""
        return self.place.base_to_camera(self.robot.tip(q))

    def pixels(self, points: Array, frame: Array) -> Array:
        """Pixels (N, 2) of points (N, 3), NaN where the camera cannot see.

        Args:
            points: in some frame, m.
            frame: pose (4, 4) of that frame in the camera's.
        """
        seen = points @ frame[:3, :3].T + frame[:3, 3]
        ahead = seen[:, 2] > _NEAR_M
        rays = np.linalg.norm(seen[:, :2], axis=1) / np.where(ahead, seen[:, 2], 1.0)
        visible = ahead & (rays < self._widest)
        found = np.full((len(points), 2), np.nan)
        if visible.any():
            found[visible] = self.lens.project(seen[visible], np.zeros(3), np.zeros(3))
        return found

    def tip_pixel(self, q: npt.ArrayLike) -> Array:
        """Pixel (2,) of the gripper's tip; NaN where the camera cannot see it."""
        line = arm_line(self.robot.arm, q)
        return np.asarray(self.pixels(line[-1:], self.base_in_camera(q))[0])


class RobotPainter(RobotProjector):
    """Draws; see `RobotProjector`.

    Args:
        robot: which.
        lens: of the camera.
        place: where the camera is.
        table_m: height of the table above the base's origin.
    """

    def __init__(
        self, robot: Robot, lens: Lens, place: CameraPlace, *, table_m: float = 0.0
    ) -> None:
        super().__init__(robot, lens, place)
        self._table_m = table_m
        self.scale = max(1, -(-_LEAST_SIDE // max(lens.size)))

    def draw(self, image: RgbImage, q: npt.ArrayLike, finger: float) -> RgbImage:
        """The image with the robot, its base's axes and a grid on the table.

        Args:
            image: (H, W, 3).
            q: joint angles (n,), rad.
            finger: the left finger's distance from the middle, m.

        Returns:
            (scale * H, scale * W, 3).
        """
        scale = self.scale
        canvas = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        frame = self.base_in_camera(q)
        faint = canvas.copy()
        for line in _grid(self.robot, self._table_m):
            self._line(faint, line, frame, GRID, 1)
        canvas = cv2.addWeighted(faint, 0.55, canvas, 0.45, 0)
        for axis, colour in enumerate(AXES):
            self._line(canvas, np.stack([np.zeros(3), _AXIS_M * np.eye(3)[axis]]), frame, colour, 3)
        arm = arm_line(self.robot.arm, q)
        self._line(canvas, arm, frame, ARM, 2)
        for line in finger_lines(self.robot.arm, q, finger):
            self._line(canvas, line, frame, FINGER, 2)
        for spot in self.pixels(arm[:-1], frame):
            self._dot(canvas, spot, JOINT, 3)
        self._cross(canvas, self.pixels(arm[-1:], frame)[0], FINGER)
        return np.asarray(canvas, np.uint8)

    def draw_corners(self, canvas: RgbImage, detected: Array, predicted: Array) -> None:
        """Mark a board's corners (N, 2), where they were found and where they should be."""
        for found, wanted in zip(detected, predicted, strict=True):
            self._dot(canvas, found, DETECTED, 3)
            self._cross(canvas, wanted, PREDICTED)

    def write(self, canvas: RgbImage, text: str) -> None:
        """Write a line into the upper left corner."""
        for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(canvas, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width,
                        cv2.LINE_AA)  # fmt: skip

    def _line(
        self, canvas: RgbImage, points: Array, frame: Array, colour: Colour, width: int
    ) -> None:
        for run in _runs(self.pixels(_fine(points), frame)):
            spots = np.round(self._on_canvas(run) * (1 << _FRACTION)).astype(np.int32)
            cv2.polylines(canvas, [spots], False, colour, width, cv2.LINE_AA, _FRACTION)

    def _dot(self, canvas: RgbImage, spot: Array, colour: Colour, radius: int) -> None:
        if np.isfinite(spot).all():
            x, y = (int(v) for v in np.round(self._on_canvas(spot) * (1 << _FRACTION)))
            size = radius << _FRACTION
            cv2.circle(canvas, (x, y), size, colour, -1, cv2.LINE_AA, _FRACTION)

    def _cross(self, canvas: RgbImage, spot: Array, colour: Colour) -> None:
        if np.isfinite(spot).all():
            x, y = (int(v) for v in np.round(self._on_canvas(spot)))
            cv2.drawMarker(canvas, (x, y), colour, cv2.MARKER_TILTED_CROSS, 12, 2, cv2.LINE_AA)

    def _on_canvas(self, spots: Array) -> Array:
        """Pixels of the image as those of the enlarged one; whole numbers are pixels' middles."""
        return np.asarray(self.scale * (spots + 0.5) - 0.5)


def _grid(robot: Robot, height: float) -> Iterator[Array]:
    """Lines (2, 3) ten centimetres apart over the arm's workspace, in the base frame."""
    low = np.floor(np.array(robot.arm.workspace.low)[:2] / _GRID_STEP).astype(int)
    high = np.ceil(np.array(robot.arm.workspace.high)[:2] / _GRID_STEP).astype(int)
    low[0] = min(low[0], 0)
    for x in range(low[0], high[0] + 1):
        yield np.array([[x, low[1], 0], [x, high[1], 0]]) * _GRID_STEP + [0, 0, height]
    for y in range(low[1], high[1] + 1):
        yield np.array([[low[0], y, 0], [high[0], y, 0]]) * _GRID_STEP + [0, 0, height]


def _fine(points: Array) -> Array:
    """A line (N, 3) in many pieces."""
    part = np.linspace(0, len(points) - 1, (len(points) - 1) * _PIECES + 1)
    knots = np.arange(len(points))
    return np.stack([np.interp(part, knots, column) for column in points.T], axis=1)


def _runs(pixels: Array) -> Iterator[Array]:
    """The parts (M, 2) of a line that can be seen."""
    seen = np.isfinite(pixels).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2):
        if end - start > 1:
            yield pixels[start:end]


def _widest_ray(lens: Lens) -> float:
    """The greatest distance from the axis, at a depth of one, that the image shows."""
    width, height = lens.size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    if lens.distortion_model == 'equidistant':
        flat = cv2.fisheye.undistortPoints(corners[:, None], lens.matrix, lens.distortion)
    else:
        flat = cv2.undistortPoints(corners[:, None], lens.matrix, lens.distortion)
    return float(np.linalg.norm(flat.reshape(-1, 2), axis=1).max())
