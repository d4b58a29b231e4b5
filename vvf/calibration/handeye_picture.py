# SPDX-License-Identifier: Apache-2.0
"""A hand-eye calibration as a figure: residuals of every pose, methods, how the gripper turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vvf.calibration.handeye import HandEye
from vvf.calibration.handeye_advice import turning
from vvf.calibration.handeye_methods import board_poses, distances, motions
from vvf.calibration.poses import PosePairs
from vvf.viz.canvas import BLUE, INK, LINE, ORANGE, SOFT, Colour, Figure, circle

Numbers = npt.NDArray[np.float64]

_WIDTH, _HEIGHT = 900, 520
_LEFT, _RIGHT = 60.0, 560.0
_TABLE = 600.0
_STRIP = 90.0
# Beyond this multiple of the median a bar is cut: an outlier would flatten all others.
_CUT = 6.0


def draw(pairs: PosePairs, result: HandEye) -> Figure:
    """Draw the figure."""
    figure = Figure(_WIDTH, _HEIGHT)
    figure.text(_LEFT, 30, f'hand-eye, {result.setup}: the board, as each pose has it', 15)
    motion = motions(pairs, result.setup)
    off = distances(board_poses(result.best.pose, motion, pairs.board), result.board)
    _bars(figure, 60, 'off by, mm', 1e3 * off.metres, result.used)
    _bars(figure, 200, 'off by, deg', np.degrees(off.radians), result.used)
    tilts = turning(pairs.gripper).tilts
    for axis in range(3):
        _dots(figure, 335 + 50 * axis, f'tilt about {"xyz"[axis]}', tilts[:, axis], result.used)
    _axis(figure, 490)
    _methods(figure, result)
    return figure


def save(path: Path, pairs: PosePairs, result: HandEye) -> None:
    """Write the figure as PNG."""
    draw(pairs, result).save(path)


def _bars(
    figure: Figure, top: float, title: str, values: Numbers, used: npt.NDArray[np.bool_]
) -> None:
    bottom = top + _STRIP
    limit = max(min(float(values.max()), _CUT * float(np.median(values))), 1e-6)
    figure.text(_LEFT, top - 8, title, 12, SOFT)
    for level in (0.0, limit):
        y = bottom - _STRIP * level / limit
        figure.polyline(np.array([[_LEFT, y], [_RIGHT, y]]), LINE, 1)
        figure.text(_LEFT - 6, y, f'{level:.3g}', 11, SOFT, 'rm')
    step = (_RIGHT - _LEFT) / len(values)
    for i, value in enumerate(values):
        x = _LEFT + (i + 0.15) * step
        y = bottom - _STRIP * min(value / limit, 1.0)
        box = np.array([[x, bottom], [x, y], [x + 0.7 * step, y], [x + 0.7 * step, bottom]])
        figure.polygon(box, BLUE if used[i] else ORANGE)
    if not used.all():
        figure.text(_RIGHT, top - 8, 'orange: left out', 12, ORANGE, 'rs')


def _dots(
    figure: Figure, y: float, title: str, degrees: Numbers, used: npt.NDArray[np.bool_]
) -> None:
    figure.text(_LEFT, y - 6, title, 12, SOFT)
    figure.polyline(np.array([[_LEFT, y + 15], [_RIGHT, y + 15]]), LINE, 1)
    for value, kept in zip(degrees, used, strict=True):
        spot = np.array([_degrees_to_x(value), y + 15])
        figure.polygon(circle(spot, 4), BLUE if kept else ORANGE, 0.6)


def _axis(figure: Figure, y: float) -> None:
    for degrees in range(-180, 181, 60):
        figure.text(_degrees_to_x(degrees), y, f'{degrees}', 11, SOFT, 'ms')
    figure.text(_LEFT, y + 20, 'deg from the mean posture, about the axes of the gripper', 12, SOFT)


def _degrees_to_x(degrees: float) -> float:
    return float(np.interp(degrees, [-180, 180], [_LEFT, _RIGHT]))


def _methods(figure: Figure, result: HandEye) -> None:
    columns = (_TABLE, _TABLE + 155, _TABLE + 215, _TABLE + 275)
    y = 60.0
    titles = ('method', 'mm', 'deg', 'new, mm')
    for x, title, anchor in zip(columns, titles, ('ls', 'rs', 'rs', 'rs'), strict=True):
        figure.text(x, y, title, 12, SOFT, anchor)
    for name, method in result.methods.items():
        y += 22
        colour: Colour = BLUE if name == result.chosen else INK
        figure.text(columns[0], y, name, 13, colour)
        numbers = (method.residuals.rms_mm, method.residuals.rms_deg, method.held_out_mm)
        for x, number, digits in zip(columns[1:], numbers, (2, 3, 2), strict=True):
            text = f'{number:.{digits}f}' if np.isfinite(number) else '-'
            figure.text(x, y, text, 13, colour, 'rs')
    for line in (
        f'chosen: {result.chosen} (blue)',
        f'uncertainty {result.uncertainty_mm:.2f} mm, {result.uncertainty_deg:.3f} deg',
        f'{int(result.used.sum())} of {len(result.used)} poses used',
        '"new": in poses that were not fitted',
    ):
        y += 26
        figure.text(columns[0], y, line, 13, SOFT)
