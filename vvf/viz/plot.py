# SPDX-License-Identifier: Apache-2.0
"""The live plot of a value over time, drawn with OpenCV and numpy in a few milliseconds.

An episode is shown whole, from its start; between episodes the last seconds pass by. The curve is
progress, the band around it the model's uncertainty; events are vertical lines, time under human
control is shaded, and the strip below says whether the last steps were better (blue) or worse
(orange) than the model expects.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vvf.viz.live_history import FloatArray, History, strength
from vvf.viz.live_text import Colour, Pixels, shorten, text_width, write

# RGB. Blue and orange stay apart for most colour-blind people.
PAPER: Colour = (17, 20, 27)
GRID: Colour = (42, 48, 60)
TEXT: Colour = (158, 167, 182)
BRIGHT: Colour = (240, 243, 248)
CURVE: Colour = (110, 182, 255)
BAND: Colour = (35, 66, 102)
LIMIT: Colour = (240, 200, 90)
BETTER: Colour = (64, 148, 255)
EVEN: Colour = (70, 76, 88)
WORSE: Colour = (255, 136, 38)
HUMAN: Colour = (60, 44, 82)

#: Events by name: their colour, and how much they matter where labels would overlap.
EVENTS: dict[str, tuple[Colour, int]] = {
    'error': ((255, 96, 92), 0),
    'failure': ((255, 136, 38), 1),
    'success': ((94, 206, 140), 1),
    'end': ((200, 206, 216), 1),
    'takeover': ((190, 140, 240), 2),
    'milestone': ((94, 206, 190), 3),
    'give back': ((190, 140, 240), 4),
    'start': ((120, 128, 144), 5),
}

_SUBPIXEL = 4
_CLEAR = 0.3  # an advantage so strong is put into words
_SILENT_S = 1.0


@dataclass(frozen=True)
class _Mark:
    t: float
    event: str
    label: str


@dataclass(frozen=True)
class _View:
    """What is shown: seconds, and the pixels of the chart."""

    start: float
    end: float
    left: int
    top: int
    right: int
    bottom: int

    def x(self, t: FloatArray | float) -> FloatArray:
        share = (np.asarray(t, np.float64) - self.start) / (self.end - self.start)
        return np.asarray(self.left + (self.right - self.left) * share)

    def y(self, progress: FloatArray | float) -> FloatArray:
        inside = np.clip(np.asarray(progress, np.float64), 0.0, 1.0)
        return np.asarray(self.bottom - (self.bottom - self.top) * inside)


class ValuePlot:
    """Progress over time, as an RGB image.

    Args:
        width: Pixels, at least 160.
        height: Pixels, at least 120.
        window_s: Seconds shown between episodes, and how long one stays after its end.
        least_s: Seconds that the time axis of an episode spans at least.
        threshold: Progress that counts as success, drawn as a dashed line; None for no line.
        title: Text in the upper left corner.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 360,
        *,
        window_s: float = 30.0,
        least_s: float = 10.0,
        threshold: float | None = None,
        title: str = 'progress',
    ) -> None:
        if width < 160 or height < 120:
            raise ValueError(f'a plot needs 160x120 pixels, not {width}x{height}')
        self.width, self.height = width, height
        self.window_s, self.least_s = window_s, least_s
        self.threshold, self.title = threshold, title
        self._history = History()
        self._marks: deque[_Mark] = deque(maxlen=500)
        self._began: float | None = None
        self._ended: float | None = None
        scale = min(width / 640, height / 360)
        self._small = max(10, round(17 * scale))
        self._large = max(18, round(40 * scale))
        self._line = max(1, round(2.4 * scale))
        self._strip = max(4, round(10 * scale))
        self._blank = np.full((height, width, 3), PAPER, np.uint8)

    def clear(self) -> None:
        """Forget everything."""
        self._history.clear()
        self._marks.clear()
        self._began = self._ended = None

    def push(
        self,
        t: float,
        progress: float,
        uncertainty: float = math.nan,
        advantage: float = math.nan,
    ) -> None:
        """Add a value.

        Args:
            t: Seconds; a time before the last one starts the plot anew.
            progress: 0 to 1; a value that is not finite interrupts the curve.
            uncertainty: Half the width of the band around the curve, in progress; NaN for none.
            advantage: In the model's unit; NaN for none.
        """
        newest = self._history.newest
        if newest is not None and t < newest[0]:
            self.clear()
        self._history.append(t, progress, uncertainty, advantage)

    def mark(self, t: float, event: str, label: str = '') -> None:
        """Add an event.

        Args:
            t: Seconds.
            event: One of `EVENTS`; 'start' forgets what was before, an 'end', 'success' or
                'failure' ends the episode.
            label: Written at the line instead of the event's name.
        """
        if event == 'start':
            self.clear()
            self._began = t
        elif event in ('end', 'success', 'failure'):
            self._ended = t
        self._marks.append(_Mark(t, event, label or event))

    def draw(self, silent_s: float = 0.0) -> Pixels:
        """Return the plot, uint8 RGB (height, width, 3).

        Args:
            silent_s: For how long no value has come; from a second on the plot says so.
        """
        image = self._blank.copy()
        view = self._view()
        rows = self._history.since(view.start)
        gains = strength(rows[:, 3])
        marks = [m for m in self._marks if m.t >= view.start]
        self._human(image, view)
        self._axes(image, view)
        for piece in _pieces(rows):
            self._curve(image, view, piece)
        self._advantages(image, view, rows[:, 0], gains)
        self._events(image, view, marks)
        self._header(image, view, rows, gains, silent_s)
        return image

    # -- what is shown -----------------------------------------------------------------------

    def _view(self) -> _View:
        newest = self._history.newest
        now = max([m.t for m in self._marks] + ([] if newest is None else [newest[0]]), default=0.0)
        lingers = self._ended is None or now - self._ended <= self.window_s
        if self._began is not None and lingers:
            start, end = self._began, max(now, self._began + self.least_s)
        else:
            start, end = now - self.window_s, now
        left = text_width('0.5', self._small) + self._small
        under = self._strip + round(1.7 * self._small) + 4
        return _View(
            start=start,
            end=end,
            left=left,
            top=round(1.25 * self._large) + round(1.5 * self._small),
            right=self.width - round(0.8 * self._small),
            bottom=self.height - under - 4,
        )

    # -- parts -------------------------------------------------------------------------------

    def _axes(self, image: Pixels, view: _View) -> None:
        for value in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = round(float(view.y(value)))
            cv2.line(image, (view.left, y), (view.right, y), GRID, 1)
            if value in (0.0, 0.5, 1.0):
                label = f'{value:g}'
                at = (view.left - 0.45 * self._small, y + 0.36 * self._small)
                write(image, label, at, self._small, TEXT, 'r')
        span = view.end - view.start
        room = text_width('100 s', self._small) * 2.2
        tick = nice_step(span * room / (view.right - view.left))
        # In an episode seconds count from its start, between episodes back from now.
        counts_up = view.start == self._began
        origin = view.start if counts_up else view.end
        first = math.ceil((view.start - origin) / tick - 1e-6)
        last = math.floor((view.end - origin) / tick + 1e-6)
        base = self.height - 0.45 * self._small
        for i in range(first, last + 1):
            x = float(view.x(origin + i * tick))
            label = f'{i * tick:g}' + (' s' if i == first else '')
            label = 'now' if i == last and not counts_up else label
            half = text_width(label, self._small) / 2
            x = min(max(x, half + 2), self.width - half - 2)
            write(image, label, (x, base), self._small, TEXT, 'm')
        if self.threshold is not None:
            y = round(float(view.y(self.threshold)))
            for x in range(view.left, view.right, 14):
                cv2.line(image, (x, y), (min(x + 7, view.right), y), LIMIT, 1)

    def _human(self, image: Pixels, view: _View) -> None:
        """Shade the time under human control."""
        taken: float | None = None
        spans: list[tuple[float, float]] = []
        for mark in self._marks:
            if mark.event == 'takeover' and taken is None:
                taken = mark.t
            elif taken is not None and mark.event in ('give back', 'end', 'success', 'failure'):
                spans.append((taken, mark.t))
                taken = None
        newest = self._history.newest
        if taken is not None and newest is not None:
            spans.append((taken, max(taken, float(newest[0]))))
        for span in spans:
            x = np.clip(np.round(view.x(np.array(span))), view.left, view.right).astype(int)
            image[view.top : view.bottom, x[0] : x[1] + 1] = HUMAN

    def _curve(self, image: Pixels, view: _View, rows: FloatArray) -> None:
        rows = _thin(rows, view)
        x, y = view.x(rows[:, 0]), view.y(rows[:, 1])
        wide = np.isfinite(rows[:, 2])
        if wide.sum() > 1:
            around = rows[wide]
            upper = np.stack([x[wide], view.y(around[:, 1] + around[:, 2])], 1)
            lower = np.stack([x[wide], view.y(around[:, 1] - around[:, 2])], 1)
            outline = _fixed(np.concatenate([upper, lower[::-1]]))
            cv2.fillPoly(image, [outline], BAND, cv2.LINE_AA, _SUBPIXEL)
        line = _fixed(np.stack([x, y], 1))
        cv2.polylines(image, [line], False, CURVE, self._line, cv2.LINE_AA, _SUBPIXEL)

    def _advantages(self, image: Pixels, view: _View, times: FloatArray, gains: FloatArray) -> None:
        top = view.bottom + 4
        image[top : top + self._strip, view.left : view.right] = GRID
        if not len(times):
            return
        x = np.clip(np.round(view.x(times)), view.left, view.right).astype(int)
        # Each value fills the columns since the one before.
        columns = np.arange(view.left, x[-1])
        at = np.clip(np.searchsorted(x, columns, side='left'), 0, len(x) - 1)
        seen = np.isfinite(gains)[at]
        colours = advantage_colours(gains[at[seen]])
        image[top : top + self._strip, columns[seen]] = colours

    def _events(self, image: Pixels, view: _View, marks: list[_Mark]) -> None:
        size, base = self._small, view.top - round(0.5 * self._small)
        shown = sorted(
            (m for m in marks if view.start <= m.t <= view.end), key=lambda m: EVENTS[m.event][1]
        )
        for mark in reversed(shown):  # what matters most lies on top
            column = round(float(view.x(mark.t)))
            colour, width = EVENTS[mark.event][0], max(1, self._line - 1)
            cv2.line(image, (column, view.top), (column, view.bottom), colour, width)
        taken: list[tuple[float, float]] = []
        for mark in shown:
            x = float(view.x(mark.t))
            label = shorten(mark.label, 0.45 * self.width, size)
            width = text_width(label, size)
            # Two labels on top of each other help nobody: what matters less keeps its line only.
            for wanted in (x - width / 2, x + 2, x - width - 2):
                left = min(max(wanted, 2), self.width - width - 2)
                if all(left > end or left + width < begin for begin, end in taken):
                    write(image, label, (left, base), size, EVENTS[mark.event][0])
                    taken.append((left - 0.5 * size, left + width + 0.5 * size))
                    break

    def _header(
        self, image: Pixels, view: _View, rows: FloatArray, gains: FloatArray, silent_s: float
    ) -> None:
        base, room = round(1.02 * self._large), view.right
        newest = rows[-1] if len(rows) else None
        word, colour = 'waiting for values', TEXT
        if newest is not None and math.isfinite(newest[1]):
            center = _fixed(np.stack([view.x(newest[0]), view.y(newest[1])]))
            radius = (self._line + 2) << _SUBPIXEL
            cv2.circle(image, center.tolist(), radius, BRIGHT, -1, cv2.LINE_AA, _SUBPIXEL)
            number = f'{newest[1]:.2f}'
            bright = BRIGHT if silent_s < _SILENT_S else TEXT
            write(image, number, (room, base), self._large, bright, 'r')
            room -= text_width(number, self._large) + self._small
            word = ''
            gain = float(gains[-1])
            if abs(gain) > _CLEAR and self.width >= 320:
                word, colour = ('better', BETTER) if gain > 0 else ('worse', WORSE)
        if newest is not None and silent_s >= _SILENT_S:
            word, colour = f'{silent_s:.0f} s ago', LIMIT
            if self.width >= 320:
                word = f'no value for {silent_s:.0f} s'
        elif newest is not None and not math.isfinite(newest[1]):
            word = 'no value'
        write(image, word, (room, base), self._small, colour, 'r')
        # As much room as the usual words take, so that the title does not jump about.
        room -= max(text_width(word, self._small), text_width('better', self._small))
        left = round(0.6 * self._small)
        title = shorten(self.title, room - left - self._small, self._small)
        write(image, title, (left, base), self._small, TEXT)


def advantage_colours(strengths: FloatArray) -> Pixels:
    """Colours (N, 3) of advantages: orange at -1, grey at 0 and where unknown, blue at 1."""
    s = np.nan_to_num(np.asarray(strengths, np.float64))[:, None]
    far = np.where(s < 0, np.array(WORSE, np.float64), np.array(BETTER, np.float64))
    # The root lets small differences be seen, too.
    share = np.sqrt(np.abs(s))
    return np.asarray(np.array(EVEN) * (1 - share) + far * share, np.uint8)


def nice_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-9)))
    return next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= step * (1 - 1e-9))


def _pieces(rows: FloatArray) -> list[FloatArray]:
    """The stretches (N, 4) of rows with finite progress, none of them bridging a silence."""
    good = np.isfinite(rows[:, 1])
    apart = np.diff(rows[:, 0])
    silence = max(_SILENT_S, 5.0 * float(np.median(apart))) if len(apart) else _SILENT_S
    edges = np.flatnonzero(np.diff(good) | (apart > silence)) + 1
    return [part for part in np.split(rows, edges) if len(part) and np.isfinite(part[0, 1])]


def _thin(rows: FloatArray, view: _View) -> FloatArray:
    """At most two rows for each pixel column, its lowest and its highest: no drop gets lost."""
    if len(rows) <= 2 * (view.right - view.left):
        return rows
    column = np.floor(view.x(rows[:, 0])).astype(int)
    starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    thin = np.repeat(rows[starts], 2, axis=0)
    thin[::2, 1] = np.minimum.reduceat(rows[:, 1], starts)
    thin[1::2, 1] = np.maximum.reduceat(rows[:, 1], starts)
    return thin


def _fixed(points: FloatArray) -> npt.NDArray[np.int32]:
    return np.round(points * (1 << _SUBPIXEL)).astype(np.int32)
