# SPDX-License-Identifier: Apache-2.0
"""Finds the corners of a calibration board in an image: chessboards and ChArUco boards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from vvf.errors import UserError

Gray = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

#: A board seen with fewer corners says little, and four of them may lie on one line.
MIN_CORNERS = 8
# Of the distance between two corners: beyond it, the refinement sees the next ones.
_WINDOW = 0.33
_MAX_WINDOW = 11
_TERMINATION = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 40, 1e-3)
_QUICK_WIDTH = 640


@dataclass(frozen=True)
class Detection:
    """The corners of a board in one image.

    Attributes:
        ids: (N,) numbers of the corners, row by row of the board, increasing.
        points: (N, 2) float32 where they are, in pixels.
    """

    ids: npt.NDArray[np.int64]
    points: Floats


class Board(Protocol):
    """What is known of a board."""

    @property
    def columns(self) -> int:
        """Inner corners along a row."""
        ...

    @property
    def rows(self) -> int:
        """Inner corners along a column."""
        ...

    @property
    def corners(self) -> Floats:
        """(columns * rows, 3) the inner corners on the board, in metres, z = 0, row by row."""
        ...

    def find(self, gray: Gray, *, quick: bool = False) -> Detection | None:
        """The board's corners in a uint8 grey image (height, width).

        Args:
            gray: the image.
            quick: for live images, most of which show no board that could be used: do not try hard.

        Returns:
            The corners, refined to sub-pixels; `None` where the board is not seen.
        """
        ...

    def __str__(self) -> str:
        """The board in the words of the command line."""
        ...


@dataclass(frozen=True)
class Chessboard:
    """A chessboard.

    Attributes:
        columns: inner corners along a row, one fewer than squares.
        rows: inner corners along a column.
        square: side of a square, metres.
    """

    columns: int
    rows: int
    square: float

    @cached_property
    def corners(self) -> Floats:
        """See `Board`."""
        return grid(self.columns, self.rows, self.square)

    def find(self, gray: Gray, *, quick: bool = False) -> Detection | None:
        """See `Board`; a chessboard is found only where all of it is seen."""
        scale = _QUICK_WIDTH / gray.shape[1] if quick else 1.0
        searched = gray
        if scale < 1:
            searched = np.asarray(
                cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
            )
        found, points = self._search(searched, thorough=not quick)
        if not found:
            return None
        spots = np.asarray(points, np.float32).reshape(-1, 2)
        if scale < 1:
            # Pixels have their centres at whole numbers.
            spots = np.asarray((spots + 0.5) / scale - 0.5, np.float32)
        spacing = corner_spacing(spots.reshape(self.rows, self.columns, 2))
        return Detection(np.arange(len(spots)), refine(gray, spots, spacing))

    def _search(self, gray: Gray, *, thorough: bool) -> tuple[bool, Any]:
        size = (self.columns, self.rows)
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE
        found, points = cv2.findChessboardCornersSB(gray, size, flags=flags)
        if not found and thorough:
            flags |= cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
            found, points = cv2.findChessboardCornersSB(gray, size, flags=flags)
            if not found:
                return self._find_in_the_old_way(gray)
        return bool(found), points

    def _find_in_the_old_way(self, gray: Gray) -> tuple[bool, Any]:
        """The older finder, which sees a smaller board in a larger one, too."""
        flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
        size = (self.columns, self.rows)
        found, points = cv2.findChessboardCorners(gray, size, flags=flags | cv2.CALIB_CB_FAST_CHECK)
        if found and largest_chessboard(gray) not in (None, size, size[::-1]):
            return False, None
        return bool(found), points

    def __str__(self) -> str:
        return f'chessboard {self.columns}x{self.rows}, squares of {1e3 * self.square:g} mm'


def parse_size(text: str, what: str, most: int = 100) -> tuple[int, int]:
    """Columns and rows, or width and height, out of `9x6`.

    Raises:
        UserError: it is no such size.
    """
    match = re.fullmatch(r'(\d+)[xX](\d+)', text.strip())
    size = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if not all(3 <= side <= most for side in size):
        raise UserError(f'{what} {text!r}: give two numbers from 3 to {most}, such as 9x6.')
    return size


def grid(columns: int, rows: int, square: float) -> Floats:
    """(columns * rows, 3) corners of squares of a side in metres, row by row, z = 0."""
    spots = np.zeros((rows, columns, 3), np.float32)
    spots[..., 0] = np.arange(columns) * square
    spots[..., 1] = np.arange(rows)[:, None] * square
    return spots.reshape(-1, 3)


def corner_spacing(points: Floats) -> float:
    """The least distance between two neighbours of a full grid (rows, columns, 2)."""
    steps = [np.linalg.norm(np.diff(points, axis=axis), axis=2).min() for axis in (0, 1)]
    return float(min(steps))


def refine(gray: Gray, points: Floats, spacing: float, window: float = _WINDOW) -> Floats:
    """Corners to sub-pixels.

    Args:
        gray: the image.
        points: (N, 2) where they are, in pixels.
        spacing: the least distance between two of them, in pixels.
        window: the part of that distance around a corner in which there is nothing but its edges.
    """
    reach = int(np.clip(window * spacing, 1, _MAX_WINDOW))
    spots = np.ascontiguousarray(points, np.float32).reshape(-1, 1, 2)
    refined = cv2.cornerSubPix(gray, spots, (reach, reach), (-1, -1), _TERMINATION)
    return np.asarray(refined, np.float32).reshape(-1, 2)


def largest_chessboard(gray: Gray) -> tuple[int, int] | None:
    """Inner corners (columns, rows) of the chessboard in an image, whatever its size."""
    flags = cv2.CALIB_CB_LARGER | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE
    found, _, meta = cv2.findChessboardCornersSBWithMeta(gray, (3, 3), flags)
    return (int(meta.shape[1]), int(meta.shape[0])) if found else None
