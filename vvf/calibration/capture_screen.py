# SPDX-License-Identifier: Apache-2.0
"""How far a capture is, as text for a terminal and as a picture."""

from __future__ import annotations

import cv2
import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vvf.calibration.capture import Verdict, Views
from vvf.calibration.coverage import CELLS, MEASURES
from vvf.images import RgbImage
from vvf.viz.canvas import BLUE, GREEN, INK, LINE, ORANGE, SCALE, Figure

_BAR = 14
_SHOWN_HINTS = 3
_WIDTH, _FOOT = 480, 84  # units of the figure


def terminal(views: Views, verdict: Verdict) -> Group:
    """What a terminal shows: the grid of the image, a bar for each measure, and what to do."""
    coverage = views.coverage
    if coverage is None:
        return Group(Text('waiting for the first image ...'))
    seen = np.zeros(CELLS[::-1], bool)
    if verdict.detection is not None:
        x, y = (verdict.detection.points / views.size * CELLS).astype(int).T
        inside = (x >= 0) & (x < CELLS[0]) & (y >= 0) & (y < CELLS[1])
        seen[y[inside], x[inside]] = True
    grid = Text()
    for row, now in zip(coverage.cells(), seen, strict=True):
        for count, here in zip(row, now, strict=True):
            grid.append('██' if count else '··', 'green' if count else 'dim')
            grid.append('▪' if here else ' ', 'yellow')
        grid.append('\n')
    bars = Text()
    for name, part in coverage.progress().items():
        full = round(part * _BAR)
        bars.append(f'{name:5}')
        bars.append('━' * full, 'green' if part >= 1 else 'yellow')
        bars.append('━' * (_BAR - full) + '\n', 'dim')
    bars.append(f'\n{len(views.views)} views; ')
    bars.append(verdict.reason, 'bold green' if verdict.taken else 'yellow')
    table = Table.grid(padding=(0, 3))
    table.add_row(grid, bars)
    hints = Text('\n'.join(f'→ {hint}' for hint in _hints(views)))
    return Group(table, hints, Text('Ctrl-C: enough, calibrate', 'dim'))


def picture(views: Views, verdict: Verdict, image: RgbImage) -> RgbImage:
    """The same as a picture, over the camera's image (height, width, 3)."""
    coverage = views.coverage
    assert coverage is not None
    height = round(_WIDTH * image.shape[0] / image.shape[1])
    figure = Figure(_WIDTH, height + _FOOT)
    size = (_WIDTH * SCALE, height * SCALE)
    figure.pixels[: size[1]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cell = np.array([_WIDTH / CELLS[0], height / CELLS[1]])
    for y, row in enumerate(coverage.cells()):
        for x, count in enumerate(row):
            corners = np.array([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]) * cell
            if count:
                figure.polygon(corners, GREEN, 0.35)
            figure.polyline(np.vstack([corners, corners[:1]]), LINE, 0.5, 0.5)
    if verdict.detection is not None:
        scale = _WIDTH / views.size[0]
        colour = GREEN if verdict.taken else ORANGE
        for spot in verdict.detection.points * scale:
            square = spot + np.array([(-2, -2), (2, -2), (2, 2), (-2, 2)])
            figure.polygon(square, colour)
    _foot(figure, views, verdict, height)
    return figure.image()


def _foot(figure: Figure, views: Views, verdict: Verdict, top: float) -> None:
    coverage = views.coverage
    assert coverage is not None
    progress = coverage.progress()
    for i, name in enumerate(MEASURES):
        y = top + 15 + 18 * i
        figure.text(10, y, name, 11, INK, 'lm')
        for part, colour in ((1.0, LINE), (progress[name], GREEN if progress[name] == 1 else BLUE)):
            right = 48 + 110 * part
            bar = np.array([(48, y - 4), (right, y - 4), (right, y + 4), (48, y + 4)])
            if part:
                figure.polygon(bar, colour)
    colour = GREEN if verdict.taken else ORANGE
    figure.text(175, top + 15, f'{len(views.views)} views; {verdict.reason}', 13, colour, 'lm')
    for i, hint in enumerate(_hints(views)):
        figure.text(175, top + 33 + 18 * i, f'- {hint}', 11, INK, 'lm')


def _hints(views: Views) -> list[str]:
    assert views.coverage is not None
    return views.coverage.missing()[:_SHOWN_HINTS] or ['nothing is missing any more']
