# SPDX-License-Identifier: Apache-2.0
"""Several pictures on one sheet, each with its name above it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]

_WIDTH, _HEIGHT, _LABEL, _GAP = 400, 300, 26, 8
_COLUMNS = 3
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.45


def contact_sheet(pictures: Sequence[tuple[str, RgbImage]]) -> RgbImage:
    """Draw pictures in rows of three.

    Args:
        pictures: name and RGB uint8 (height, width, 3) of each; at least one.

    Returns:
        RGB uint8 (height, width, 3).
    """
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    cell_w, cell_h = _WIDTH + _GAP, _HEIGHT + _LABEL + _GAP
    sheet = np.full((rows * cell_h + _GAP, columns * cell_w + _GAP, 3), 24, np.uint8)
    for number, (name, picture) in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = _GAP + row * cell_h, _GAP + column * cell_w
        cv2.putText(
            sheet, _fitting(name), (left, top + 17), _FONT, _SCALE, (230, 230, 230), 1, cv2.LINE_AA
        )
        tile = _fit(picture)
        y = top + _LABEL + (_HEIGHT - tile.shape[0]) // 2
        x = left + (_WIDTH - tile.shape[1]) // 2
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


def _fit(picture: RgbImage) -> RgbImage:
    height, width = picture.shape[:2]
    scale = min(_WIDTH / width, _HEIGHT / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _fitting(name: str) -> str:
    """The end of a name that is too long: that is where names differ."""
    while len(name) > 1 and cv2.getTextSize(name, _FONT, _SCALE, 1)[0][0] > _WIDTH:
        name = '..' + name[3:]
    return name
