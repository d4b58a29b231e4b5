# SPDX-License-Identifier: Apache-2.0
"""A calibration as a picture: residuals, coverage, and whether straight lines are straight."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vvf.calibration.capture import Views
from vvf.calibration.coverage import CELLS, count_cells
from vvf.calibration.intrinsics import Intrinsics, ViewFit
from vvf.viz.canvas import BLUE, GREEN, INK, LINE, ORANGE, SCALE, SOFT, Figure, circle
from vvf.viz.chart import Panel

_SIDE, _GAP, _MARGIN, _HEAD, _PANEL, _TITLE = 470, 24, 18, 56, 230, 26
_LONGEST = 0.04  # of the image's width: how long a large residual is drawn
_BINS = 10
_LIGHT = 0.16


def draw(result: Intrinsics, views: Views) -> Figure:
    """Draw a result.

    Args:
        result: what came out.
        views: what it was made of.
    """
    lens = result.fit.lens
    high = round(_SIDE * lens.size[1] / lens.size[0])
    top = _MARGIN + _HEAD + _TITLE
    below = top + high + _GAP
    figure = Figure(2 * _SIDE + _GAP + 2 * _MARGIN, below + _PANEL + _MARGIN)
    (fx, _, cx), (_, fy, cy) = lens.matrix[:2]
    figure.text(_MARGIN, _MARGIN + 18, f'fx {fx:.1f}  fy {fy:.1f}  cx {cx:.1f}  cy {cy:.1f}', 19)
    figure.text(
        _MARGIN,
        _MARGIN + 40,
        f'{lens.distortion_model}, RMS {result.rms_px:.3f} px, {len(result.used)} of '
        f'{len(result.views)} views, {views.board}',
        12,
        SOFT,
    )
    right = _MARGIN + _SIDE + _GAP
    _residuals(figure, result, (_MARGIN, top, _SIDE, high))
    _undistorted(figure, result, views, (right, top, _SIDE, high))
    _by_view(result, (_MARGIN, below, _SIDE, _PANEL)).draw(figure)
    _by_radius(result, (right, below, _SIDE, _PANEL)).draw(figure)
    return figure


def _residuals(figure: Figure, result: Intrinsics, box: tuple[int, int, int, int]) -> None:
    left, top, width, height = box
    size = result.fit.lens.size
    scale = width / size[0]
    origin = np.array([left, top])
    points = [view.view.detection.points for view in result.used]
    large = np.percentile(
        np.linalg.norm(np.concatenate([v.residuals for v in result.used]), axis=1), 95
    )
    longer = max(1.0, float(f'{_LONGEST * size[0] / max(1e-6, large):.1g}'))
    figure.text(left, top - 9, f'corners, their residuals {longer:.0f} times as long; coverage', 13)
    cell = np.array([width / CELLS[0], height / CELLS[1]])
    for y, row in enumerate(count_cells(points, size)):
        for x, count in enumerate(row):
            corners = origin + np.array([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]) * cell
            if count:
                figure.polygon(corners, GREEN, _LIGHT)
    for view in result.used:
        for spot, residual in zip(view.view.detection.points, view.residuals, strict=True):
            start = origin + spot * scale
            figure.polyline(np.stack([start, start + residual * longer * scale]), BLUE, 0.8, 0.8)
            figure.polygon(circle(start, 1.1), INK)
    frame = origin + np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) * (width, height)
    figure.polyline(frame, LINE, 1)


def _undistorted(
    figure: Figure, result: Intrinsics, views: Views, box: tuple[int, int, int, int]
) -> None:
    left, top, width, height = box
    number = _showiest(result)
    view = result.used[number]
    figure.text(left, top - 9, f'{view.view.name}, undistorted, with the reprojected corners', 13)
    flat = result.fit.lens.undistorted(views.picture(view.view))
    small = cv2.resize(flat, (width * SCALE, height * SCALE), interpolation=cv2.INTER_AREA)
    rows, columns = slice(top * SCALE, (top + height) * SCALE), slice(left * SCALE, None)
    figure.pixels[rows, columns][:, : width * SCALE] = small
    spots = flat_corners(result, views, number) * (width / result.fit.lens.size[0])
    grid = spots.reshape(views.board.rows, views.board.columns, 2)
    for line in (*grid, *grid.transpose(1, 0, 2)):
        inside = line[((line >= 0) & (line < (width, height))).all(1)]
        if len(inside) > 1:
            figure.polyline(inside + np.array([left, top]), ORANGE, 1.0)


def flat_corners(result: Intrinsics, views: Views, number: int) -> npt.NDArray[np.float64]:
    """(N, 2) pixels of all corners of the board in the undistorted image of a view that was used.

    A straight row of corners is straight in it, so that a wrong distortion shows.
    """
    fit = result.fit
    turn = cv2.Rodrigues(fit.turns[number])[0]
    spots = views.board.corners @ turn.T + fit.shifts[number]
    seen = spots @ fit.lens.projection()[:, :3].T
    return np.asarray(seen[:, :2] / seen[:, 2:], np.float64)


def _showiest(result: Intrinsics) -> int:
    """The view used whose board is largest in the image."""

    def area(view: ViewFit) -> float:
        return float(cv2.contourArea(cv2.convexHull(view.view.detection.points)))

    areas = [area(view) for view in result.used]
    return areas.index(max(areas))


def _by_view(result: Intrinsics, box: tuple[int, int, int, int]) -> Panel:
    panel = Panel(box, 'residual of each view', 'view', 'RMS, px')
    for number, view in enumerate(result.views):
        first = [v.used for v in result.views].index(view.used) == number
        label = ('used' if view.used else 'left out') if first else ''
        edges = [number + 0.6, number + 1.4]
        panel.bars(edges, [view.rms_px], BLUE if view.used else ORANGE, label)
    panel.x_range = (0.5, len(result.views) + 0.5)
    panel.y_range = (0.0, 1.25 * max(view.rms_px for view in result.views))
    return panel


def _by_radius(result: Intrinsics, box: tuple[int, int, int, int]) -> Panel:
    lens = result.fit.lens
    centre = lens.matrix[:2, 2]
    points = np.concatenate([v.view.detection.points for v in result.used])
    sizes = np.linalg.norm(np.concatenate([v.residuals for v in result.used]), axis=1)
    radii = np.linalg.norm(points - centre, axis=1)
    edges = np.linspace(0, float(radii.max()) + 1e-6, _BINS + 1)
    bins = np.digitize(radii, edges) - 1
    middle = 0.5 * (edges[1:] + edges[:-1])
    parts = [sizes[bins == i] for i in range(_BINS)]
    low, half, high = (
        np.array([np.percentile(p, q) if len(p) else np.nan for p in parts]) for q in (10, 50, 90)
    )
    panel = Panel(box, 'residual by the distance from the centre', 'px', 'px')
    panel.band(middle, low, high, BLUE, 'the middle 80 %')
    panel.line(middle, half, BLUE, 'median')
    reach = float(np.hypot(*np.array(lens.size)) / 2)
    panel.x_range = (0.0, max(reach, float(radii.max())))
    panel.y_range = (0.0, 1.4 * float(np.nanmax(high)))
    return panel
