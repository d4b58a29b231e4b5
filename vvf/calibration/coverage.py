# SPDX-License-Identifier: Apache-2.0
"""How well views of a board cover a camera, and what is missing, in words.

Position, size and skew are measured as in ROS's camera_calibration (X, Y, Size, Skew, all from 0
to 1), so that whoever knows that tool knows these bars; where its tool would say that they are
wide enough, this one does, too. On top there are the places of the image that no corner has been
in, and the four sides to which a board can be tilted: one of them is enough for Skew, but not to
tell the focal length from the distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from vvf.calibration.board import Board, Detection

#: Columns and rows of the grid over the image.
CELLS = (9, 6)
MEASURES = ('X', 'Y', 'Size', 'Skew')
#: How far apart the least and the greatest of a measure must be.
RANGES = {'X': 0.7, 'Y': 0.7, 'Size': 0.4, 'Skew': 0.5}
#: The least distance (sum of the differences) of a new view to every other one.
NEW = 0.2
ENOUGH_VIEWS = 15
_COVERED = 0.5  # of the cells of a ninth of the image: its very edge is hard to reach
_TILT = math.radians(12.0)
_NAMES_X = ('left', '', 'right')
_NAMES_Y = ('top', '', 'bottom')
#: What to do -> the direction (x, y in the image) to which the board's front then looks.
_TILTS = {
    'its left edge away from the camera': (-1, 0),
    'its right edge away from the camera': (1, 0),
    'its top edge away from the camera': (0, -1),
    'its bottom edge away from the camera': (0, 1),
}


@dataclass(frozen=True)
class Look:
    """One view, measured.

    Attributes:
        measures: X, Y, Size and Skew, from 0 to 1.
        tilt: (2,) to which side the board's front looks, radians to the right and down.
        points: (N, 2) its corners, pixels.
        outline: (4, 2) the corners of the whole board, pixels.
    """

    measures: npt.NDArray[np.float64]
    tilt: npt.NDArray[np.float64]
    points: npt.NDArray[np.float32]
    outline: npt.NDArray[np.float64]


def look(board: Board, detection: Detection, size: tuple[int, int]) -> Look:
    """Measure a view; the camera is taken for one of an ordinary angle of view.

    Args:
        board: what is seen.
        detection: its corners.
        size: width and height of the image.
    """
    flat = board.corners[:, :2].astype(np.float64)
    homography, _ = cv2.findHomography(flat[detection.ids], detection.points.astype(np.float64))
    low, high = flat.min(0), flat.max(0)
    sides = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    outline = cv2.perspectiveTransform(sides[:, None], homography).reshape(4, 2)
    width, height = size
    area = abs(float(cv2.contourArea(outline.astype(np.float32))))
    border = math.sqrt(area)
    centre = outline.mean(0)
    measures = np.array(
        [
            (centre[0] - border / 2) / max(1.0, width - border),
            (centre[1] - border / 2) / max(1.0, height - border),
            math.sqrt(area / (width * height)),
            2 * _skew(outline),
        ]
    )
    return Look(np.clip(measures, 0, 1), _tilt(homography, size), detection.points, outline)


def _skew(outline: npt.NDArray[np.float64]) -> float:
    """How far the angle at the board's second corner is from a right one, radians."""
    a, b = outline[0] - outline[1], outline[2] - outline[1]
    cosine = float(a @ b) / max(1e-9, float(np.linalg.norm(a) * np.linalg.norm(b)))
    return abs(math.pi / 2 - math.acos(max(-1.0, min(1.0, cosine))))


def _tilt(homography: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    width, height = size
    matrix = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    plane = np.linalg.solve(matrix, homography)
    normal = np.cross(plane[:, 0], plane[:, 1])
    # Of the two normals that of the printed side: it looks at the camera.
    place = plane[:, 2]
    normal *= -np.sign(normal @ place) / max(1e-12, float(np.linalg.norm(normal)))
    return np.asarray(np.arctan2(normal[:2], -normal[2]), np.float64)


@dataclass
class Coverage:
    """What the views so far cover.

    Args:
        board: what is seen.
        size: width and height of the images.
    """

    board: Board
    size: tuple[int, int]
    looks: list[Look] = field(default_factory=list)

    def add(self, detection: Detection) -> None:
        """Count a view."""
        self.looks.append(look(self.board, detection, self.size))

    def nearest(self, new: Look) -> tuple[int, float]:
        """The view (counted from 0) that is most like another one, and their distance."""
        if not self.looks:
            return -1, math.inf
        apart = [float(np.abs(new.measures - old.measures).sum()) for old in self.looks]
        # A tilt to the other side has the same Skew, and yet it is a new view.
        turned = [float(np.abs(new.tilt - old.tilt).sum()) for old in self.looks]
        total = np.array(apart) + 0.5 * np.array(turned)
        return int(total.argmin()), float(total.min())

    def progress(self) -> dict[str, float]:
        """For each measure, the part of the range that is wanted, from 0 to 1."""
        if not self.looks:
            return dict.fromkeys(MEASURES, 0.0)
        seen = np.array([view.measures for view in self.looks])
        low, high = seen.min(0), seen.max(0)
        low[2:] = 0.0  # near is wanted, and far comes by itself, as in ROS's tool
        reached = (high - low) / np.array([RANGES[name] for name in MEASURES])
        return {name: float(min(1.0, x)) for name, x in zip(MEASURES, reached, strict=True)}

    def cells(self) -> npt.NDArray[np.int64]:
        """(rows, columns) how many corners have been in each cell of the image."""
        return count_cells([view.points for view in self.looks], self.size)

    def missing(self) -> list[str]:
        """What to do next, the most important first; empty where nothing is missing."""
        hints = []
        progress = self.progress()
        places = uncovered(self.cells())
        if places:
            hints.append(f'move the board to the {" and the ".join(places[:3])} of the image')
        elif progress['X'] < 1 or progress['Y'] < 1:
            ways = 'left and right' if progress['X'] < progress['Y'] else 'up and down'
            hints.append(f'move it farther {ways}, to the very edge of the image')
        if progress['Size'] < 1:
            hints.append('bring it nearer')
        tilts = np.array([view.tilt for view in self.looks]).reshape(-1, 2)
        for what, towards in _TILTS.items():
            if not (tilts @ np.array(towards) > _TILT).any():
                hints.append(f'tilt {what}')
        if progress['Skew'] < 1 and len(hints) < 2:
            hints.append('tilt it more')
        if not hints and len(self.looks) < ENOUGH_VIEWS:
            hints.append(f'{ENOUGH_VIEWS - len(self.looks)} more views, wherever it has not been')
        return hints


def count_cells(
    points: Sequence[npt.NDArray[np.floating]], size: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """(rows, columns) how many points there are in each cell of an image."""
    spots = np.concatenate([*points, np.zeros((0, 2))])
    counts, _, _ = np.histogram2d(
        spots[:, 1], spots[:, 0], CELLS[::-1], ((0, size[1]), (0, size[0]))
    )
    return np.asarray(counts, np.int64)


def uncovered(cells: npt.NDArray[np.int64]) -> list[str]:
    """Names of the ninths of an image of which too many cells are empty."""
    names = []
    for y, rows in enumerate(np.array_split(cells > 0, 3)):
        for x, part in enumerate(np.array_split(rows, 3, axis=1)):
            if part.mean() < _COVERED:
                names.append(' '.join(filter(None, (_NAMES_Y[y], _NAMES_X[x]))) or 'middle')
    return names
