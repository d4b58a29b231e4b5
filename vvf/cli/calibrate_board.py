# SPDX-License-Identifier: Apache-2.0
"""Options that say which calibration board is seen."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from vvf.errors import UserError

if TYPE_CHECKING:
    from vvf.calibration.board import Board

_LONGEST_SQUARE_M = 1.0


def add_board_options(parser: Any) -> None:
    """Add `--chessboard`, `--charuco` and what belongs to them; none is required."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument('--chessboard', metavar='9x6', help='its inner corners, columns x rows')
    kind.add_argument('--charuco', metavar='7x5', help='its squares, columns x rows')
    parser.add_argument('--square', type=float, help='side of a square, metres')
    parser.add_argument('--marker', type=float, help='side of a marker, metres (ChArUco)')
    parser.add_argument('--dictionary', default='4X4_50', help='of the markers [4X4_50]')
    parser.add_argument('--legacy', action='store_true', help='printed with OpenCV before 4.6')


def board_of(args: argparse.Namespace) -> Board | None:
    """The board that the options describe; None where they name none.

    Raises:
        UserError: A length is missing or makes no sense.
    """
    from vvf.calibration.board import Chessboard, parse_size
    from vvf.calibration.charuco import Charuco

    if not (args.chessboard or args.charuco):
        return None
    if args.square is None:
        raise UserError('a board needs --square, too: the side of a square in metres.')
    if not (math.isfinite(args.square) and 0 < args.square < _LONGEST_SQUARE_M):
        raise UserError(f'--square {args.square:g}: give it in metres, such as 0.025.')
    if args.chessboard:
        return Chessboard(*parse_size(args.chessboard, '--chessboard'), args.square)
    if args.marker is None:
        raise UserError('a ChArUco board needs --marker too, the side of a marker in metres.')
    columns, rows = parse_size(args.charuco, '--charuco')
    return Charuco(columns, rows, args.square, args.marker, args.dictionary, args.legacy)
