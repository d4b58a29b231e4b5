# SPDX-License-Identifier: Apache-2.0
"""The image that still figures are drawn on.

OpenCV draws the shapes and Pillow, with the font that it brings along, the text; so a figure looks
the same on every machine, and there is no plotting library to install. The font has Latin letters
only: other characters become question marks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Spots = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]

# RGB. Blue and orange stay apart for most colour-blind people.
BLUE: Colour = (37, 99, 201)
ORANGE: Colour = (217, 115, 13)
GREEN: Colour = (23, 122, 76)
PURPLE: Colour = (128, 74, 178)
GREY: Colour = (120, 126, 138)
INK: Colour = (26, 31, 41)
SOFT: Colour = (98, 107, 122)
LINE: Colour = (226, 226, 222)
PAPER: Colour = (255, 255, 255)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)

SCALE = 2  # pixels per unit of length: sharp on fine screens
_FRACTION = 4  # binary digits of OpenCV's coordinates


class Figure:
    """An image under construction.

    Args:
        width: Units.
        height: Units.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = np.empty((height * SCALE, width * SCALE, 3), np.uint8)
        self.pixels[:] = PAPER
        self._texts: list[tuple[float, float, str, float, Colour, str]] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 13.0,
        colour: Colour = INK,
        anchor: str = 'ls',
    ) -> None:
        """Write text; the anchor is Pillow's: left, middle or right, then base line or middle."""
        self._texts.append((x, y, _latin(text), size, colour, anchor))

    def image(self) -> npt.NDArray[np.uint8]:
        """Return the figure, uint8 RGB."""
        picture = Image.fromarray(self.pixels)
        pen = ImageDraw.Draw(picture)
        for x, y, text, size, colour, anchor in self._texts:
            pen.text((x * SCALE, y * SCALE), text, colour, _font(size * SCALE), anchor)
        return np.asarray(picture, np.uint8)

    def save(self, path: Path) -> Path:
        """Write the figure as PNG; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.image()).save(path, 'png')
        return path

    def polygon(self, points: Spots, colour: Colour, strength: float = 1.0) -> None:
        """Fill an area (N, 2)."""

        def fill(layer: Pixels, spots: npt.NDArray[np.int32]) -> None:
            cv2.fillPoly(layer, [spots], colour, cv2.LINE_AA, _FRACTION)

        self._mix(points, 2.0, strength, fill)

    def polyline(self, points: Spots, colour: Colour, width: float, strength: float = 1.0) -> None:
        """Draw a line through points (N, 2)."""
        thick = max(1, round(width * SCALE))

        def trace(layer: Pixels, spots: npt.NDArray[np.int32]) -> None:
            cv2.polylines(layer, [spots], False, colour, thick, cv2.LINE_AA, _FRACTION)

        self._mix(points, width + 2.0, strength, trace)

    def _mix(
        self,
        points: Spots,
        air: float,
        strength: float,
        draw: Callable[[Pixels, npt.NDArray[np.int32]], None],
    ) -> None:
        """Draw on a copy of the part around some points, and mix that in."""
        low = np.maximum(np.floor((points.min(0) - air) * SCALE), 0).astype(int)
        high = np.ceil((points.max(0) + air) * SCALE).astype(int)
        part = self.pixels[low[1] : high[1], low[0] : high[0]]
        if not part.size:
            return
        layer = part.copy()
        spots = (np.asarray(points) * SCALE - low) * (1 << _FRACTION)
        draw(layer, np.round(spots).astype(np.int32))
        part[:] = cv2.addWeighted(layer, strength, part.copy(), 1 - strength, 0)


def text_width(text: str, size: float) -> float:
    """Width of a text, in units."""
    return float(_font(size * SCALE).getlength(_latin(text))) / SCALE


def shorten(text: str, width: float, size: float = 12.0) -> str:
    """Cut a text so that it is at most so wide."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + '...', size) > width:
        text = text[:-1]
    return text.rstrip() + '...'


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _latin(text: str) -> str:
    return text.encode('latin-1', 'replace').decode('latin-1')


def circle(centre: npt.NDArray[np.floating], radius: float) -> npt.NDArray[np.floating]:
    """Points of a circle, for `Figure.polygon`."""
    angles = np.linspace(0, 2 * math.pi, 32)
    return np.asarray(centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1))
