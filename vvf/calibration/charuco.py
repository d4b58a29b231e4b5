# SPDX-License-Identifier: Apache-2.0
"""ChArUco boards: a chessboard with a marker in each white square, found where part of it is seen.

`columns` and `rows` of such a board count its squares, as its printed name does; its corners are
the inner ones, as those of a chessboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from vvf.calibration.board import MIN_CORNERS, Detection, Floats, Gray, grid, refine
from vvf.errors import UserError

_PREFIX = 'DICT_'
_QUICK_WIDTH = 1280


def dictionaries() -> list[str]:
    """Names of the marker dictionaries that OpenCV has, such as 4X4_50."""
    names = [name.removeprefix(_PREFIX) for name in dir(cv2.aruco) if name.startswith(_PREFIX)]
    return sorted({name.lower(): name for name in names}.values())  # some are there twice


def words(dictionary: str) -> Any:
    """The markers of a dictionary, as OpenCV knows them."""
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, _PREFIX + dictionary))


@dataclass(frozen=True)
class Charuco:
    """A ChArUco board.

    Attributes:
        squares_x: squares along a row.
        squares_y: squares along a column.
        square: side of a square, metres.
        marker: side of a marker, metres.
        dictionary: the markers', such as 4X4_50.
        legacy: as OpenCV printed boards of an even number of rows before its version 4.6.

    Raises:
        UserError: there is no such dictionary or board.
    """

    squares_x: int
    squares_y: int
    square: float
    marker: float
    dictionary: str = '4X4_50'
    legacy: bool = False

    def __post_init__(self) -> None:
        known = dictionaries()
        if self.dictionary not in known:
            raise UserError(
                f'there is no dictionary {self.dictionary!r}; choose of {", ".join(known)}.'
            )
        if not 0 < self.marker < self.square:
            raise UserError('--marker must be smaller than --square: it is the side of a marker.')
        needed, held = self.squares_x * self.squares_y // 2, len(words(self.dictionary).bytesList)
        if needed > held:
            raise UserError(
                f'a board of {self.squares_x}x{self.squares_y} has {needed} markers, but dictionary'
                f' {self.dictionary} holds only {held}: choose a larger one with --dictionary.'
            )

    @property
    def columns(self) -> int:
        """Inner corners along a row."""
        return self.squares_x - 1

    @property
    def rows(self) -> int:
        """Inner corners along a column."""
        return self.squares_y - 1

    @cached_property
    def corners(self) -> Floats:
        """See `vvf.calibration.board.Board`; the first is one square inside the board's corner."""
        shift = np.array([self.square, self.square, 0], np.float32)
        return grid(self.columns, self.rows, self.square) + shift

    @cached_property
    def board(self) -> Any:
        """The board as OpenCV knows it, which can draw it."""
        size = (self.squares_x, self.squares_y)
        board = cv2.aruco.CharucoBoard(size, self.square, self.marker, words(self.dictionary))
        board.setLegacyPattern(self.legacy)
        return board

    @cached_property
    def _detector(self) -> Any:
        return cv2.aruco.CharucoDetector(self.board)

    def find(self, gray: Gray, *, quick: bool = False) -> Detection | None:
        """See `vvf.calibration.board.Board`."""
        if quick and gray.shape[1] > _QUICK_WIDTH:
            scale = _QUICK_WIDTH / gray.shape[1]
            small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            if self._detector.detectBoard(small)[0] is None:
                return None
        points, ids, _, _ = self._detector.detectBoard(gray)
        if ids is None or len(ids) < MIN_CORNERS:
            return None
        order = np.argsort(ids.ravel())
        numbers = ids.ravel()[order].astype(np.int64)
        spots = np.asarray(points, np.float32).reshape(-1, 2)[order]
        on_board = self.corners[numbers, :2]
        if np.linalg.matrix_rank(on_board - on_board.mean(0), tol=1e-6) < 2:
            return None
        # The least distance between two corners that are seen: that of neighbours, if there are.
        apart = np.linalg.norm(spots[:, None] - spots[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        gap = 0.5 * (1 - self.marker / self.square)  # between a corner and the next marker
        return Detection(numbers, refine(gray, spots, float(apart.min()), gap))

    def __str__(self) -> str:
        return (
            f'ChArUco board {self.squares_x}x{self.squares_y}, squares of {1e3 * self.square:g} mm,'
            f' markers of {1e3 * self.marker:g} mm, {self.dictionary}'
        )
