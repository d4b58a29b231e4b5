# SPDX-License-Identifier: Apache-2.0
"""Photographs of calibration boards by a camera that is known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from vvf.calibration.board import Chessboard
from vvf.calibration.charuco import Charuco

_PER_SQUARE = 64  # pixels of the texture
_FINER = 2  # rays per pixel, squared


@dataclass(frozen=True)
class Lens:
    """A camera of OpenCV's pinhole model, or of its fisheye model where there are 4 numbers."""

    width: int = 640
    height: int = 480
    fx: float = 612.0
    fy: float = 609.0
    cx: float = 331.0
    cy: float = 228.0
    distortion: tuple[float, ...] = (-0.28, 0.11, 0.0011, -0.0007, -0.02)

    @property
    def matrix(self) -> np.ndarray:
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @cached_property
    def rays(self) -> np.ndarray:
        """(height * finer, width * finer, 3): where the light of every part of a pixel is from."""
        x = (np.arange(self.width * _FINER) + 0.5) / _FINER - 0.5
        y = (np.arange(self.height * _FINER) + 0.5) / _FINER - 0.5
        spots = np.stack(np.meshgrid(x, y), -1).reshape(-1, 1, 2).astype(np.float32)
        lens = np.array(self.distortion)
        if len(lens) == 4:
            flat = cv2.fisheye.undistortPoints(spots, self.matrix, lens)
        else:
            ending = (cv2.TERM_CRITERIA_COUNT, 20, 0)
            flat = cv2.undistortPointsIter(spots, self.matrix, lens, None, None, ending)
        rays = cv2.convertPointsToHomogeneous(flat).reshape(len(y), len(x), 3)
        return rays.astype(np.float32)


def texture(board: Chessboard | Charuco) -> tuple[np.ndarray, tuple[float, float]]:
    """The printed board, and where on it, in metres, the origin of `board.corners` is."""
    if isinstance(board, Charuco):
        size = (board.squares_x * _PER_SQUARE, board.squares_y * _PER_SQUARE)
        return board.board.generateImage(size, marginSize=0), (0.0, 0.0)
    y, x = np.indices((board.rows + 1, board.columns + 1))
    squares = np.where((x + y) % 2, 255, 0).astype(np.uint8)
    return np.kron(squares, np.ones((_PER_SQUARE,) * 2, np.uint8)), (board.square,) * 2


def photograph(
    board: Chessboard | Charuco,
    lens: Lens,
    turn: tuple[float, float, float],
    centre: tuple[float, float, float],
    seed: int = 0,
) -> np.ndarray:
    """An RGB image (height, width, 3).

    Args:
        board: what is seen.
        lens: who sees it.
        turn: rotation vector of the board, radians.
        centre: where the middle of the board is in the camera's frame, metres.
        seed: of the noise.
    """
    print_, (left, top) = texture(board)
    margin = _PER_SQUARE
    white = cv2.copyMakeBorder(print_, *([margin] * 4), cv2.BORDER_CONSTANT, value=255)
    rotation = cv2.Rodrigues(np.array(turn, float))[0]
    middle = board.corners.mean(0)
    shift = np.array(centre) - rotation @ middle
    plane = np.linalg.inv(np.column_stack([rotation[:, :2], shift])).astype(np.float32)
    spots = lens.rays @ plane.T
    per_metre = _PER_SQUARE / board.square
    x = (spots[..., 0] / spots[..., 2] + left) * per_metre + margin - 0.5
    y = (spots[..., 1] / spots[..., 2] + top) * per_metre + margin - 0.5
    # As many pixels of the texture as rays: coarser ones would alias, and finer ones blur.
    fine = cv2.remap(white, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=90)
    small = cv2.resize(fine, (lens.width, lens.height), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(seed).normal(0, 1.5, small.shape)
    grey = np.clip(30 + small * 0.75 + noise, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def places(count: int, board: Chessboard | Charuco, lens: Lens, seed: int = 0) -> list[tuple]:
    """Poses (turn, centre) that cover the image, the distances and the tilts.

    A ChArUco board may reach out of the image, a chessboard is seen only where it does not.
    """
    inside = 0.42 if isinstance(board, Charuco) else 0.55
    rng = np.random.default_rng(seed)
    across = board.square * max(board.columns, board.rows)
    poses = []
    for i in range(count):
        distance = across * lens.fx / lens.width * (1.5, 2.0, 2.8)[i % 3]
        reach = 0.5 * distance - inside * across * lens.fx / lens.width
        side = np.array([(-1, -1), (1, 1), (1, -1), (-1, 1), (0, 0)][i % 5])
        half = np.array([lens.width / lens.fx, lens.height / lens.fy])
        x, y = side * np.maximum(reach, 0) * half * np.array([0.9, 0.8])
        tilt = np.deg2rad(rng.uniform(15, 35)) if i % 4 else 0.0
        towards = rng.uniform(0, 2 * np.pi)
        turn = (tilt * np.cos(towards), tilt * np.sin(towards), rng.uniform(-0.15, 0.15))
        poses.append((turn, (float(x), float(y), float(distance))))
    return poses


def photographs(count: int, board: Chessboard | Charuco, lens: Lens, seed: int = 0) -> list:
    return [
        photograph(board, lens, turn, centre, seed=i)
        for i, (turn, centre) in enumerate(places(count, board, lens, seed))
    ]
