# SPDX-License-Identifier: Apache-2.0
"""The live plot of progress over time, drawn with OpenCV in a few milliseconds."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

# RGB. Blue and orange stay apart for most colour-blind people.
PAPER: Colour = (18, 22, 30)
GRID: Colour = (44, 51, 64)
TEXT: Colour = (160, 170, 186)
BRIGHT: Colour = (236, 240, 246)
CURVE: Colour = (92, 170, 255)
BAND: Colour = (34, 62, 96)
LIMIT: Colour = (255, 170, 70)
EVENT: Colour = (190, 130, 235)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SUBPIXEL = 4
_KEEP = 20_000


@dataclass(frozen=True)
class _Point:
    t: float
    progress: float
    uncertainty: float


class ValuePlot:
    """Progress over the last seconds, as an RGB image.

    Args:
        width: Pixels, at least 160.
        height: Pixels, at least 120.
        window_s: Seconds shown at least; an episode that lasts longer is shown whole.
        threshold: Progress that counts as success, drawn as a dashed line; None for no line.
        title: Text in the upper left corner.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 320,
        *,
        window_s: float = 10.0,
        threshold: float | None = None,
        title: str = 'progress',
    ) -> None:
        if width < 160 or height < 120:
            raise ValueError(f'a plot needs 160x120 pixels, not {width}x{height}')
        self.width, self.height, self.window_s = width, height, window_s
        self.threshold, self.title = threshold, title
        self._points: deque[_Point] = deque(maxlen=_KEEP)
        self._marks: deque[tuple[float, str]] = deque(maxlen=200)
        scale = min(width / 640, height / 320)
        self._size = min(max(0.45 * scale, 0.35), 1.2)
        self._thick = max(1, round(1.6 * scale))
        label = self._text_size('0.0')
        self._left = label[0] + round(18 * max(scale, 0.6))
        self._top = round(label[1] * 4.2)
        self._right = width - round(16 * max(scale, 0.6))
        self._bottom = height - round(label[1] * 2.8)

    def clear(self) -> None:
        """Forget everything: for the start of an episode."""
        self._points.clear()
        self._marks.clear()

    def push(self, t: float, progress: float, uncertainty: float = math.nan) -> None:
        """Add a value.

        Args:
            t: Seconds; a time before the last one starts the plot anew.
            progress: 0 to 1; a value that is not finite interrupts the curve.
            uncertainty: Half the width of the band around the curve, in progress; NaN for none.
        """
        if self._points and t < self._points[-1].t:
            self.clear()
        self._points.append(_Point(t, progress, uncertainty))

    def mark(self, t: float, label: str) -> None:
        """Add an event: a vertical line with a label, at `t` seconds."""
        self._marks.append((t, label))

    def draw(self) -> npt.NDArray[np.uint8]:
        """Return the plot, uint8 RGB (height, width, 3)."""
        image = np.empty((self.height, self.width, 3), np.uint8)
        image[:] = PAPER
        times = [p.t for p in self._points] + [t for t, _ in self._marks]
        start = min(times, default=0.0)
        span = max(self.window_s, max(times, default=0.0) - start)
        self._axes(image, span)
        pieces = self._pieces()
        for piece in pieces:
            self._band(image, piece, start, span)
        if self.threshold is not None:
            self._dashes(image, self._y(self.threshold))
        self._events(image, start, span)
        for piece in pieces:
            line = [self._fixed(self._x(p.t, start, span), self._y(p.progress)) for p in piece]
            points = np.array(line, np.int32)
            cv2.polylines(image, [points], False, CURVE, self._thick, cv2.LINE_AA, _SUBPIXEL)
        self._write(image, self.title, (self._left, round(self._top * 0.62)), TEXT)
        self._newest(image, start, span)
        return image

    def _pieces(self) -> list[list[_Point]]:
        pieces: list[list[_Point]] = [[]]
        for point in self._points:
            if math.isfinite(point.progress):
                pieces[-1].append(point)
            elif pieces[-1]:
                pieces.append([])
        # More points than pixels only cost time.
        step = max(1, len(self._points) // (2 * self.width))
        return [[*piece[:-1:step], piece[-1]] for piece in pieces if piece]

    def _axes(self, image: npt.NDArray[np.uint8], span: float) -> None:
        for value in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = round(self._y(value))
            cv2.line(image, (self._left, y), (self._right, y), GRID, 1)
            if value in (0.0, 0.5, 1.0):
                width, height = self._text_size(f'{value:.1f}')
                self._write(image, f'{value:.1f}', (self._left - width - 7, y + height // 2), TEXT)
        tick = nice_step(span / 6)
        for i in range(int(span / tick + 1e-6) + 1):
            x = round(self._x(i * tick, 0.0, span))
            cv2.line(image, (x, self._bottom), (x, self._bottom + 4), GRID, 1)
            label = f'{i * tick:g}' + (' s' if i == 0 else '')
            width, height = self._text_size(label)
            x = min(max(x - width // 2, 2), self.width - width - 2)
            self._write(image, label, (x, self._bottom + height + 9), TEXT)

    def _band(
        self, image: npt.NDArray[np.uint8], piece: list[_Point], start: float, span: float
    ) -> None:
        wide = [p for p in piece if math.isfinite(p.uncertainty)]
        if len(wide) < 2:
            return
        upper = [(self._x(p.t, start, span), self._y(p.progress + p.uncertainty)) for p in wide]
        lower = [(self._x(p.t, start, span), self._y(p.progress - p.uncertainty)) for p in wide]
        outline = np.array([self._fixed(*xy) for xy in upper + lower[::-1]], np.int32)
        cv2.fillPoly(image, [outline], BAND, cv2.LINE_AA, _SUBPIXEL)

    def _dashes(self, image: npt.NDArray[np.uint8], y: float) -> None:
        for x in range(self._left, self._right, 12):
            end = min(x + 6, self._right)
            cv2.line(image, (x, round(y)), (end, round(y)), LIMIT, 1)

    def _events(self, image: npt.NDArray[np.uint8], start: float, span: float) -> None:
        occupied = -1.0
        for t, label in self._marks:
            x = round(self._x(t, start, span))
            cv2.line(image, (x, self._top), (x, self._bottom), EVENT, 1)
            width, height = self._text_size(label)
            left = min(x + 4, self.width - width - 2)
            # Two labels on top of each other help nobody; the line stays.
            if left > occupied:
                self._write(image, label, (left, self._bottom - height // 2 - 3), EVENT)
                occupied = left + width + 4

    def _newest(self, image: npt.NDArray[np.uint8], start: float, span: float) -> None:
        newest = self._points[-1] if self._points else None
        if newest is None or not math.isfinite(newest.progress):
            text = 'no value' if newest is not None else 'waiting for values'
            width, _ = self._text_size(text)
            self._write(image, text, (self._right - width, round(self._top * 0.62)), TEXT)
            return
        center = self._fixed(self._x(newest.t, start, span), self._y(newest.progress))
        radius = (self._thick + 2) << _SUBPIXEL
        cv2.circle(image, center, radius, BRIGHT, -1, cv2.LINE_AA, _SUBPIXEL)
        text = f'{newest.progress:.2f}'
        width, _ = self._text_size(text, 1.6)
        self._write(image, text, (self._right - width, round(self._top * 0.72)), BRIGHT, 1.6)

    def _x(self, t: float, start: float, span: float) -> float:
        return self._left + (self._right - self._left) * (t - start) / span

    def _y(self, progress: float) -> float:
        inside = min(max(progress, 0.0), 1.0)
        return self._bottom - (self._bottom - self._top) * inside

    @staticmethod
    def _fixed(x: float, y: float) -> tuple[int, int]:
        return round(x * (1 << _SUBPIXEL)), round(y * (1 << _SUBPIXEL))

    def _text_size(self, text: str, factor: float = 1.0) -> tuple[int, int]:
        (width, height), _ = cv2.getTextSize(text, _FONT, self._size * factor, 1)
        return int(width), int(height)

    def _write(
        self,
        image: npt.NDArray[np.uint8],
        text: str,
        at: tuple[int, int],
        colour: Colour,
        factor: float = 1.0,
    ) -> None:
        cv2.putText(image, text, at, _FONT, self._size * factor, colour, 1, cv2.LINE_AA)


def nice_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-9)))
    return next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= step * (1 - 1e-9))
