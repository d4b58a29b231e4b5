# SPDX-License-Identifier: Apache-2.0
"""What is in an image in which the board is not found."""

from __future__ import annotations

import cv2

from vvf.calibration.board import Board, Gray, largest_chessboard
from vvf.calibration.charuco import Charuco, dictionaries, words

_ENOUGH_MARKERS = 4


def what_is_there(board: Board, gray: Gray) -> str:
    """What is seen in a grey image instead of a board, and what to do; '' where that is unknown."""
    return _markers(board, gray) or _chessboard(board, gray)


def _chessboard(board: Board, gray: Gray) -> str:
    size = largest_chessboard(gray)
    if size is None or sorted(size) == sorted((board.columns, board.rows)):
        return ''
    wide, high = max(size), min(size)
    squares = sorted((board.columns - 1, board.rows - 1)) == [high, wide]
    count = ', which counts its inner corners and not its squares' if squares else ''
    return (
        f'there is a chessboard of {wide}x{high} inner corners: give --chessboard {wide}x{high}'
        f'{count}'
    )


def _markers(board: Board, gray: Gray) -> str:
    found = {name: _numbers(gray, name) for name in dictionaries()}
    # The larger dictionaries of a kind begin with the smaller ones: the smallest one is meant.
    best = max(found, key=lambda name: (len(found[name]), -len(words(name).bytesList)))
    if len(found[best]) < _ENOUGH_MARKERS:
        return ''
    if not isinstance(board, Charuco):
        return f'there are markers of {best}: give --charuco instead of --chessboard'
    mine = found[board.dictionary]
    if len(found[best]) > len(mine):
        return f'there are {len(found[best])} markers of {best}: give --dictionary {best}'
    if max(mine) >= board.squares_x * board.squares_y // 2:
        return (
            f'there are markers up to number {max(mine)}, too many for {board.squares_x}x'
            f'{board.squares_y} squares: count its squares for --charuco'
        )
    return (
        f'there are {len(mine)} of its markers in another arrangement: give its squares as columns '
        'x rows, or --legacy for a board that was printed with OpenCV before 4.6'
    )


def _numbers(gray: Gray, dictionary: str) -> list[int]:
    ids = cv2.aruco.ArucoDetector(words(dictionary)).detectMarkers(gray)[1]
    return [] if ids is None else [int(x) for x in ids.ravel()]
