# SPDX-License-Identifier: Apache-2.0
"""Panels of still figures: curves, bands, bars and heat, with axes and legends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vvf.viz.canvas import (
    BLUE,
    INK,
    LINE,
    PAPER,
    SOFT,
    Colour,
    Figure,
    circle,
    shorten,
    text_width,
)
from vvf.viz.plot import nice_step

Numbers = npt.NDArray[np.floating]
Points = Sequence[float] | Numbers


@dataclass
class Panel:
    """Axes at a place of the figure, and what is drawn in them.

    Lengths are in units; text is 12 to 15 of them high. Limits that are not given are those of the
    data, with a little air.

    Attributes:
        box: Left, top, width and height, with labels.
        title: Above.
        x_label: Below.
        y_label: Left of the title, since text that stands on end is read by nobody.
        x_range: Lowest and highest x.
        y_range: Lowest and highest y.
        legend: Corner of the legend: 'nw', 'ne', 'sw' or 'se'; '' for the one with most room.
        x_names: What to write at which x, in place of round numbers.
    """

    box: tuple[int, int, int, int]
    title: str = ''
    x_label: str = ''
    y_label: str = ''
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    legend: str = ''
    x_names: Mapping[float, str] = field(default_factory=dict)
    _shapes: list[_Shape] = field(default_factory=list)
    _note: str = ''

    def line(
        self,
        xs: Points,
        ys: Points,
        colour: Colour,
        label: str = '',
        *,
        width: float = 2.0,
        dashed: bool = False,
        strength: float = 1.0,
    ) -> None:
        """Add a curve; it is interrupted where y is not finite."""
        self._add('line', xs, ys, colour, label, width, dashed, strength)

    def band(self, xs: Points, low: Points, high: Points, colour: Colour, label: str = '') -> None:
        """Add a pale area between two curves."""
        keep = np.isfinite(low) & np.isfinite(high)
        xs, low, high = (np.asarray(part, float)[keep] for part in (xs, low, high))
        outline = np.concatenate([xs, xs[::-1]]), np.concatenate([low, high[::-1]])
        self._add('area', *outline, colour, label, 0.0, False, 0.18)

    def bars(self, edges: Points, heights: Points, colour: Colour, label: str = '') -> None:
        """Add a histogram: heights between edges, one fewer."""
        xs = np.repeat(np.asarray(edges, float), 2)
        ys = np.concatenate([[0.0], np.repeat(np.asarray(heights, float), 2), [0.0]])
        self._add('area', xs, ys, colour, '', 0.0, False, 0.3)
        self._add('line', xs, ys, colour, label, 1.5, False, 1.0)

    def dot(self, x: float, y: float, colour: Colour, label: str = '') -> None:
        """Add a mark."""
        self._add('dot', [x], [y], colour, label, 5.0, False, 1.0)

    def note(self, text: str) -> None:
        """Write a sentence into the middle, where there is nothing to draw."""
        self._note = text

    def _add(
        self,
        kind: str,
        xs: Points,
        ys: Points,
        colour: Colour,
        label: str,
        width: float,
        dashed: bool,
        strength: float,
    ) -> None:
        x, y = np.asarray(xs, float), np.asarray(ys, float)
        self._shapes.append(_Shape(kind, x, y, colour, label, width, dashed, strength))

    def draw(self, figure: Figure) -> None:
        """Draw everything on a figure."""
        _PanelDrawing(self, figure).draw()


@dataclass(frozen=True)
class _Shape:
    kind: str
    x: Numbers
    y: Numbers
    colour: Colour
    label: str
    width: float
    dashed: bool
    strength: float


class _PanelDrawing:
    """One panel on one figure: where its numbers lie."""

    def __init__(self, panel: Panel, figure: Figure) -> None:
        self.panel, self.figure = panel, figure
        left, top, width, height = panel.box
        self.x_low, self.x_high = panel.x_range or self._limits('x')
        self.y_low, self.y_high = panel.y_range or self._limits('y')
        self.top, self.bottom = top + 52, top + height - 38
        self.right = left + width - 12
        self._set_left()
        named = [shape for shape in panel._shapes if shape.label]
        self.legend_height = 18 * len(named) + 6
        self.legend_width = 30 + max([text_width(shape.label, 12.0) for shape in named], default=0)
        corner, covered = self._roomiest()
        self.corner = panel.legend or corner
        if covered and panel.y_range is None and not panel.legend:
            # No corner is free: room for the legend is made above.
            free = (self.bottom - self.top) / (self.bottom - self.top - self.legend_height - 4)
            self.y_high = self.y_low + (self.y_high - self.y_low) * free
            self.corner = 'ne'
            self._set_left()

    def _set_left(self) -> None:
        self.y_ticks = _ticks(self.y_low, self.y_high, 5)
        room = max([text_width(_number(t, self.y_ticks), 12.0) for t in self.y_ticks], default=10)
        self.left = self.panel.box[0] + room + 10

    def _limits(self, axis: str) -> tuple[float, float]:
        # Air goes to lines, not to bars, which stand on their axis.
        parts = [getattr(shape, axis) for shape in self.panel._shapes]
        numbers = np.concatenate(parts) if parts else np.zeros(0)
        numbers = numbers[np.isfinite(numbers)]
        low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
        air = 0.05 * (high - low) if axis == 'y' else 0.0
        if high - low < 1e-12:
            return low - 0.5, high + 0.5
        stands = low == 0.0 and any(shape.kind == 'area' for shape in self.panel._shapes)
        return (low if stands else low - air), high + air

    def draw(self) -> None:
        figure, panel = self.figure, self.panel
        self._axes()
        for shape in panel._shapes:
            points = self._place(shape.x, shape.y)
            if shape.kind == 'area' and len(points):
                figure.polygon(points, shape.colour, shape.strength)
            elif shape.kind == 'dot' and len(points):
                figure.polygon(circle(points[0], shape.width + 1.5), PAPER)
                figure.polygon(circle(points[0], shape.width), shape.colour)
            elif shape.kind == 'line':
                for piece in _pieces(points):
                    for part in _dashes(piece) if shape.dashed else [piece]:
                        figure.polyline(part, shape.colour, shape.width, shape.strength)
        if panel._note:
            middle = (self.left + self.right) / 2, (self.top + self.bottom) / 2
            figure.text(*middle, panel._note, 13.0, SOFT, 'mm')
        self._legend()

    def _axes(self) -> None:
        figure, panel = self.figure, self.panel
        left, top, *_ = panel.box
        figure.text(left + 2, top + 17, panel.title, 15.0)
        figure.text(left + 2, top + 36, panel.y_label, 12.0, SOFT)
        figure.text((self.left + self.right) / 2, self.bottom + 34, panel.x_label, 12.0, SOFT, 'ms')
        for tick in self.y_ticks:
            y = self._y(tick)
            figure.polyline(np.array([[self.left, y], [self.right, y]]), LINE, 0.5)
            label = _number(tick, self.y_ticks)
            figure.text(self.left - 6, y, label, 12.0, SOFT, 'rm')
        ticks = _ticks(self.x_low, self.x_high, 6)
        names = panel.x_names or {tick: _number(tick, ticks) for tick in ticks}
        for tick, name in names.items():
            x = self._x(tick)
            figure.polyline(np.array([[x, self.bottom], [x, self.bottom + 4]]), SOFT, 0.5)
            figure.text(x, self.bottom + 17, name, 12.0, SOFT, 'ms')
        base = np.array([[self.left, self.bottom], [self.right, self.bottom]])
        figure.polyline(base, SOFT, 0.5)

    def _legend(self) -> None:
        named = [shape for shape in self.panel._shapes if shape.label]
        if not named:
            return
        width, height = self.legend_width, self.legend_height
        x = self.left + 8 if 'w' in self.corner else self.right - width - 6
        y = self.top + 2 if 'n' in self.corner else self.bottom - height - 4
        corners = [[x - 4, y], [x + width + 2, y], [x + width + 2, y + height], [x - 4, y + height]]
        self.figure.polygon(np.array(corners, float), PAPER, 0.8)
        for row, shape in enumerate(named):
            middle = y + 12 + 18 * row
            sample = np.array([[x, middle], [x + 20, middle]], float)
            if shape.kind == 'area':
                box = np.array([[x, middle - 5], [x + 20, middle - 5], [x + 20, middle + 5]])
                box = np.concatenate([box, [[x, middle + 5]]])
                self.figure.polygon(box, shape.colour, 0.35)
            elif shape.kind == 'dot':
                self.figure.polygon(circle(sample.mean(0), shape.width), shape.colour)
            else:
                for part in _dashes(sample) if shape.dashed else [sample]:
                    self.figure.polyline(part, shape.colour, max(shape.width, 1.5))
            self.figure.text(x + 27, middle, shape.label, 12.0, INK, 'lm')

    def _roomiest(self) -> tuple[str, int]:
        """The corner in which the legend covers fewest points, and how many."""
        spots = [
            self._place(_denser(s.x), _denser(s.y)) for s in self.panel._shapes if s.kind != 'dot'
        ]
        points = np.concatenate(spots) if spots else np.zeros((0, 2))
        covered = {}
        for corner in ('nw', 'ne', 'se', 'sw'):
            x = self.left if 'w' in corner else self.right - self.legend_width - 12
            y = self.top if 'n' in corner else self.bottom - self.legend_height - 6
            size = np.array([self.legend_width + 12, self.legend_height + 6])
            inside = (points >= [x, y]) & (points <= np.array([x, y]) + size)
            covered[corner] = int(inside.all(1).sum())
        best = min(covered, key=lambda corner: covered[corner])
        return best, covered[best]

    def _place(self, xs: Numbers, ys: Numbers) -> Numbers:
        """Where numbers lie on the figure, (N, 2)."""
        across = (np.clip(xs, self.x_low, self.x_high) - self.x_low) / (self.x_high - self.x_low)
        up = (np.clip(ys, self.y_low, self.y_high) - self.y_low) / (self.y_high - self.y_low)
        x = self.left + (self.right - self.left) * across
        return np.stack([x, self.bottom - (self.bottom - self.top) * up], 1)

    def _x(self, x: float) -> float:
        return float(self._place(np.array([x]), np.array([self.y_low]))[0, 0])

    def _y(self, y: float) -> float:
        return float(self._place(np.array([self.x_low]), np.array([y]))[0, 1])


def draw_key(figure: Figure, x: float, y: float, named: Mapping[str, Colour]) -> None:
    """What the colours of lines mean, in a row: for panels that share them.

    Args:
        figure: Where.
        x: Left end.
        y: Middle of the row.
        named: The colour of each name.
    """
    for name, colour in named.items():
        figure.polyline(np.array([[x, y], [x + 20, y]]), colour, 2.0)
        figure.text(x + 27, y, name, 12.0, INK, 'lm')
        x += 27 + text_width(name, 12.0) + 14


def draw_heat(
    figure: Figure,
    box: tuple[int, int, int, int],
    matrix: Numbers,
    labels: Sequence[str],
    *,
    title: str,
    below: str,
) -> None:
    """Draw a square matrix of numbers in [0, 1] as a table, darker for higher.

    Args:
        figure: Where.
        box: Left, top, width and height.
        matrix: (N, N).
        labels: Of its rows; its columns are the same ones by number.
        title: Above.
        below: What rows and columns are.
    """
    left, top, width, height = box
    count = len(matrix)
    cell = min((height - 90) / count, (width - 60) / count, 64.0)
    names = [f'{i + 1}  {text}' for i, text in enumerate(labels)]
    room = width - count * cell - 12
    names = [shorten(name, room - 8, 12.0) for name in names]
    x, y = left + width - count * cell - 4, top + 52
    figure.text(left + 2, top + 17, title, 15.0)
    figure.text(left + 2, top + 36, below, 12.0, SOFT)
    for row in range(count):
        figure.text(x - 8, y + (row + 0.5) * cell, names[row], 12.0, SOFT, 'rm')
        figure.text(x + (row + 0.5) * cell, y + count * cell + 17, str(row + 1), 12.0, SOFT, 'ms')
        for column in range(count):
            share = float(np.clip(matrix[row, column], 0, 1))
            shade = tuple(round(255 + share * (c - 255)) for c in BLUE)
            corner = np.array([x + column * cell, y + row * cell])
            square = corner + (cell - 1.5) * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
            figure.polygon(square, (shade[0], shade[1], shade[2]))
            if cell >= 26:
                ink = PAPER if share > 0.55 else INK
                middle = corner + cell / 2 - 0.75
                figure.text(middle[0], middle[1], f'{share:.2f}', 11.0, ink, 'mm')


def _pieces(points: Numbers) -> list[Numbers]:
    finite = np.isfinite(points).all(1)
    cuts = np.flatnonzero(np.diff(finite.astype(int))) + 1
    parts = zip(np.split(points, cuts), np.split(finite, cuts), strict=True)
    return [part for part, good in parts if len(part) and good[0]]


def _dashes(points: Numbers) -> list[Numbers]:
    """Cut a line into strokes of five units, with as much between them."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    strokes = []
    for start in np.arange(0, along[-1], 10.0):
        spots = np.linspace(start, min(start + 5.0, along[-1]), 4)
        x, y = np.interp(spots, along, points[:, 0]), np.interp(spots, along, points[:, 1])
        strokes.append(np.stack([x, y], 1))
    return strokes


def _denser(numbers: Numbers) -> Numbers:
    if len(numbers) < 2:
        return numbers
    spots = np.linspace(0, len(numbers) - 1, 200)
    return np.asarray(np.interp(spots, np.arange(len(numbers)), numbers))


def _ticks(low: float, high: float, count: int) -> list[float]:
    step = nice_step((high - low) / count)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f'{value:.{digits}f}'
    return text if float(text) else text.lstrip('-')
