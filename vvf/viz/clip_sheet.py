# SPDX-License-Identifier: Apache-2.0
"""A picture of some clips: a row each, with what is done in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vvf.viz.canvas import SCALE, Figure, shorten
from vvf.viz.film import save_few_colours
from vvf_sim.clips import Clip

_TEXT, _LINE = 6.5, 10


def write_sheet(path: Path, clips: Sequence[Clip], moments: int = 8) -> None:
    """Write moments of clips of one size as a PNG.

    Args:
        path: its folder is made.
        clips: at least one.
        moments: of each clip.
    """
    size = clips[0].frames.shape[1]
    cell = size / SCALE
    figure = Figure(round(moments * (cell + 1) - 1), round(len(clips) * (cell + _LINE)))
    for row, clip in enumerate(clips):
        top = row * (cell + _LINE)
        spots = np.linspace(0, len(clip.frames) - 1, moments).round().astype(int)
        for column, spot in enumerate(spots):
            y, x = round((top + _LINE) * SCALE), round(column * (cell + 1)) * SCALE
            figure.pixels[y : y + size, x : x + size] = clip.frames[spot]
        seconds = len(clip.frames) / clip.fps
        title = f'{clip.instruction} ({seconds:.0f} s)'
        figure.text(1, top + _LINE - 2, shorten(title, figure.width - 2, _TEXT), _TEXT)
    save_few_colours(figure.image(), path)
