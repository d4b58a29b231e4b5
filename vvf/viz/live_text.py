# SPDX-License-Identifier: Apache-2.0
"""Text on live images: Pillow's letters, kept as masks, since a plot says the same words again.

OpenCV's own letters are strokes that nobody can read in a small pane.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import ImageFont

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@lru_cache(maxsize=512)
def _mask(text: str, size: int) -> npt.NDArray[np.float32]:
    """How much of each pixel the text covers, (H, W, 1) in [0, 1]; its base line is fixed."""
    font = _font(size)
    ascent, descent = font.getmetrics()
    core, (left, top) = font.getmask2(text, 'L', anchor='ls')
    width, height = core.size
    mask = np.zeros((ascent + descent, max(0, left) + width, 1), np.float32)
    ink = np.array(core, np.float32).reshape(height, width) / 255.0
    above = ascent + top  # rows between the top of the mask and the first one with ink
    cut = max(0, -above)
    rows = ink[cut : cut + len(mask) - max(0, above)]
    mask[max(0, above) : max(0, above) + len(rows), max(0, left) :, 0] = rows
    return mask


def plain(text: str) -> str:
    """Pillow's own font has Latin letters only: others become question marks."""
    return text.encode('latin-1', 'replace').decode('latin-1')


@lru_cache(maxsize=512)
def text_width(text: str, size: int) -> int:
    """Width of a text in pixels."""
    return int(_font(size).getlength(plain(text)) + 0.5)


def shorten(text: str, width: float, size: int) -> str:
    """Cut a text so that it is at most so many pixels wide; '' where not even a letter fits."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + '...', size) > width:
        text = text[:-1]
    return text.rstrip() + '...' if text else ''


def write(
    image: Pixels,
    text: str,
    at: tuple[float, float],
    size: int,
    colour: Colour,
    anchor: str = 'l',
) -> None:
    """Write a line of text.

    Args:
        image: RGB uint8 (height, width, 3), written to; what lies outside is cut off.
        text: Anything; see `plain`.
        at: x of the anchor and y of the base line, pixels.
        size: Of the letters, pixels.
        colour: RGB.
        anchor: 'l', 'm' or 'r': whether x is the left end, the middle or the right end.
    """
    text = plain(text)
    if not text.strip():
        return
    mask = _mask(text, size)
    ascent, _ = _font(size).getmetrics()
    x = round(at[0] - {'l': 0.0, 'm': 0.5, 'r': 1.0}[anchor] * mask.shape[1])
    y = round(at[1]) - ascent
    top, left = max(0, -y), max(0, -x)
    part = image[max(0, y) : y + mask.shape[0], max(0, x) : x + mask.shape[1]]
    seen = mask[top : top + part.shape[0], left : left + part.shape[1]]
    part = part[: seen.shape[0], : seen.shape[1]]
    part[:] = (part + (np.asarray(colour, np.float32) - part) * seen).astype(np.uint8)
