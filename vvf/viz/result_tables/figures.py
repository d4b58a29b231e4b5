# SPDX-License-Identifier: Apache-2.0
"""Pictures of results: curves over steps, improvements, and bars beside a paper's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vvf.errors import UserError
from vvf.stored_results import StoredResult
from vvf.viz import canvas
from vvf.viz.canvas import BLUE, COLOURS, GREY, INK, Colour, shorten
from vvf.viz.chart import Panel
from vvf.viz.result_tables.cells import Cell, improvement, same_world
from vvf.viz.result_tables.papers import Figure, Table

Numbers = npt.NDArray[np.float64]
Cells = Sequence[Sequence[Cell]]

_MARGIN, _GAP = 18, 22
_HEIGHT = 300
_NARROW, _WIDE = 420, 884  # of a panel; two narrow ones are as wide as a wide one
_MOST_PERCENT = 100.0


def draw_curves(figure: Figure, cells: Cells) -> canvas.Figure | None:
    """Numbers over steps: the mean of the seeds as a line, each seed as a thin one.

    Args:
        figure: What they are called.
        cells: A list for each panel, with a cell for each line.

    Returns:
        The picture; None where there is no curve at all.

    Raises:
        UserError: A result has more or fewer steps than numbers.
    """
    panels = []
    for row, line in zip(figure.panels, cells, strict=True):
        panel = Panel((0, 0, 0, 0), row.label, figure.x_label, figure.y_label)
        if figure.y_label.startswith('success'):
            panel.y_range = (0.0, 1.0)
        drawn = False
        for number, (column, cell) in enumerate(zip(figure.lines, line, strict=True)):
            colour, dashed = COLOURS[number % len(COLOURS)], number >= len(COLOURS)
            for ours in cell.ours:
                seeds = [_curve(result, figure) for result in ours.results]
                seeds = [(x, y) for x, y in seeds if len(x)]
                if not seeds:
                    continue
                if len(seeds) > 1:
                    for x, y in seeds:
                        panel.line(x, y, colour, width=0.75, strength=0.35)
                name = ', '.join([column.label, *cell.apart(ours)])
                counted = f'{len(seeds)} seed{"" if len(seeds) == 1 else "s"}'
                panel.line(*_mean(seeds), colour, f'{name} ({counted})', dashed=dashed)
                drawn = True
        if drawn:
            panels.append(panel)
    return _lay_out(panels, min(2, len(panels)), _NARROW if len(panels) > 1 else _WIDE)


def draw_improvement(figure: Figure, cells: Cells) -> canvas.Figure | None:
    """By how many percent the first line succeeds more often than the second, with intervals."""
    spots = [
        (', '.join(filter(None, (row.label, apart))), improvement(better, base))
        for row, line in zip(figure.panels, cells, strict=True)
        for apart, better, base in same_world(*line[:2])
    ]
    if not spots:
        return None
    better, base = (line.label for line in figure.lines[:2])
    panel = Panel(
        (0, 0, 0, 0), f'{better} against {base}', '', f'successes above those of {base}, %'
    )
    panel.x_range = (-0.6, len(spots) - 0.4)
    panel.x_names = {float(i): name for i, (name, _) in enumerate(spots)}
    panel.line(panel.x_range, (0.0, 0.0), GREY, dashed=True)
    for i, (_, (middle, low, high)) in enumerate(spots):
        panel.line([i, i], [low, high], BLUE, '' if i else '95 % interval')
        panel.dot(i, middle, BLUE)
    return _lay_out([panel], 1, _WIDE)


def draw_bars(table: Table, cells: Cells) -> canvas.Figure | None:
    """Success rates of the rows that we have: the paper's grey, ours blue with its interval."""
    panels = []
    for row, line in zip(table.rows, cells, strict=True):
        if not any(cell.ours for cell in line):
            continue
        panel = Panel((0, 0, 0, 0), ', '.join(filter(None, (row.section, row.label))))
        panel.y_label, panel.y_range = 'success, %', (0.0, _MOST_PERCENT)
        shown = [
            (column.label, cell)
            for column, cell in zip(table.columns, line, strict=True)
            if cell.theirs or cell.ours
        ]
        panel.x_range = (-0.5, len(shown) - 0.5)
        room = (_WIDE - 60) / len(shown) - 6
        panel.x_names = {float(i): shorten(name, room) for i, (name, _) in enumerate(shown)}
        beside = any(cell.theirs for _, cell in shown)
        told: set[str] = set()
        for i, (_, cell) in enumerate(shown):
            if cell.theirs:
                _bar(panel, i - 0.34, i - 0.02, cell.theirs.value, GREY, 'paper', told)
            start = i + 0.02 if beside else i - 0.16
            width = 0.32 / max(1, len(cell.ours))
            for number, ours in enumerate(cell.ours):
                left = start + number * width
                _bar(panel, left, left + width, ours.value, BLUE, 'ours, 95 % interval', told)
                middle = left + width / 2
                panel.line([middle, middle], ours.interval, INK, width=1.25)
        panels.append(panel)
    return _lay_out(panels, 1, _WIDE)


def _bar(
    panel: Panel, left: float, right: float, height: float, colour: Colour, label: str,
    told: set[str],
) -> None:  # fmt: skip
    panel.bars([left, right], [height], colour, '' if label in told else label)
    told.add(label)


def _lay_out(panels: Sequence[Panel], columns: int, width: int) -> canvas.Figure | None:
    if not panels:
        return None
    rows = math.ceil(len(panels) / columns)
    drawing = canvas.Figure(
        2 * _MARGIN + columns * width + (columns - 1) * _GAP,
        2 * _MARGIN + rows * _HEIGHT + (rows - 1) * _GAP,
    )
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left, top = _MARGIN + column * (width + _GAP), _MARGIN + row * (_HEIGHT + _GAP)
        panel.box = (left, top, width, _HEIGHT)
        panel.draw(drawing)
    return drawing


def _curve(result: StoredResult, figure: Figure) -> tuple[Numbers, Numbers]:
    """Steps and numbers of one seed; empty where it has none."""
    xs, ys = (np.atleast_1d(result.numbers.get(name, [])) for name in (figure.x, figure.y))
    if len(xs) != len(ys):
        raise UserError(
            f'the result of {result.method}, {result.condition}, seed {result.seed} has '
            f'{len(ys)} numbers at {len(xs)} steps: make it again'
        )
    known = np.isfinite(ys)
    return xs[known].astype(float), ys[known].astype(float)


def _mean(seeds: Sequence[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """The mean of curves at all steps that any of them has, from where all begin to where one ends.

    Each is read off between its own steps by straight lines.
    """
    low, high = max(x[0] for x, _ in seeds), min(x[-1] for x, _ in seeds)
    steps = np.unique(np.concatenate([x for x, _ in seeds]))
    steps = steps[(steps >= low) & (steps <= high)]
    return steps, np.mean([np.interp(steps, x, y) for x, y in seeds], axis=0)
