# SPDX-License-Identifier: Apache-2.0
"""Garments as flat meshes: a grid from which the cells outside of the outline are cut, and folds.

The garment's own frame, in which it lies flat before anything is folded: u from the hem (or the
ends of the legs) to the collar (or the waist), v to the garment's left, the middle at (0, 0), m.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vvf_sim.rotations import Array

Indices = NDArray[np.intp]

# Side of a cell: fine enough to fold neatly, coarse enough to step faster than real time.
CELL_M = 0.02
_EDGE = 1e-6


@dataclass(frozen=True)
class Fold:
    """What lies beyond a line is turned over onto the other side.

    Attributes:
        name: kind of the milestone.
        axis: 0 if the line is one of equal u, 1 if of equal v.
        line: where it is, m.
        side: 1 if what has more than that moves, -1 if what has less.
        grips: (u, v) that the left and the right arm take hold of, of the garment as folded
            before; they belong to corners.
        inset: how far inside of those corners the fingers close, m, along u and v. A little
            outside, they hold one vertex, about which the cloth turns over freely; inside, they
            hold on to all layers.
        beyond: how far past its place the cloth is brought, m: thick cloth falls short.
    """

    name: str
    axis: int
    line: float
    side: float
    grips: tuple[tuple[float, float], tuple[float, float]]
    inset: tuple[float, float] = (-0.004, -0.004)
    beyond: float = 0.003

    def moves(self, places: Array) -> NDArray[np.bool_]:
        """Which of the places (n, 2) are beyond the line."""
        return np.asarray(self.side * (places[:, self.axis] - self.line) > _EDGE)

    def apply(self, places: Array) -> Array:
        """Where the places (n, 2) are after an ideal fold."""
        folded = places.copy()
        moved = self.moves(places)
        folded[moved, self.axis] = 2 * self.line - places[moved, self.axis]
        return folded


@dataclass(frozen=True)
class Garment:
    """A garment of rows (along u) and columns (along v) of square cells.

    Attributes:
        name: of it, in words.
        cells: rows of characters from the collar down, from left to right as one sees it with
            the collar away; ``.`` is outside, other characters are zones of colour.
        folds: in their order.
        corners: (u, v) of what has to end in its place.
    """

    name: str
    cells: tuple[str, ...]
    folds: tuple[Fold, ...]
    corners: tuple[tuple[float, float], ...]

    @property
    def rows(self) -> int:
        """Number of cells along u."""
        return len(self.cells)

    @property
    def columns(self) -> int:
        """Number of cells along v."""
        return len(self.cells[0])

    def zone(self, row: int, column: int) -> str:
        """Zone of the cell with corner (row, column), counted from the hem and from the right."""
        return self.cells[self.rows - 1 - row][self.columns - 1 - column]

    @cached_property
    def _mesh(self) -> tuple[Array, Indices]:
        index: dict[tuple[int, int], int] = {}
        triangles = []
        for row in range(self.rows):
            for column in range(self.columns):
                if self.zone(row, column) == '.':
                    continue
                ring = [(row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1)]
                a, b, c, d = (index.setdefault(place, len(index)) for place in ring)
                # Diagonals alternate, so that the cloth is as stiff one way as the other.
                if (row + column) % 2:
                    triangles += [(a, b, c), (a, c, d)]
                else:
                    triangles += [(a, b, d), (b, c, d)]
        places = (np.array(list(index)) - [self.rows / 2, self.columns / 2]) * CELL_M
        return places, np.array(triangles)

    @property
    def places(self) -> Array:
        """Vertices (n, 2) of the flat garment, m."""
        return self._mesh[0]

    @property
    def triangles(self) -> Indices:
        """Vertices (m, 3) of each triangle, against the clock seen from above."""
        return self._mesh[1]

    @cached_property
    def stages(self) -> tuple[Array, ...]:
        """Where the vertices (n, 2) are ideally before the first fold, after it, and so on."""
        stages = [self.places]
        for fold in self.folds:
            stages.append(fold.apply(stages[-1]))
        return tuple(stages)

    @cached_property
    def corner_vertices(self) -> Indices:
        """Vertices at `corners`."""
        return np.array([self.nearest(0, place) for place in self.corners])

    def nearest(self, stage: int, place: tuple[float, float]) -> int:
        """The vertex that is ideally nearest to a place when so many folds are done."""
        distance = np.linalg.norm(self.stages[stage] - np.array(place), axis=1)
        return int(distance.argmin())


def _mirrored(rows: list[str]) -> tuple[str, ...]:
    return tuple(row + row[::-1] for row in rows)


SHIRT = Garment(
    name='shirt',
    cells=_mirrored(['ssbbcc', 'ssbbbb', 'ssbbbb', *['..bbbb'] * 6, '..hhhh']),
    folds=(
        Fold('left', 1, 0.04, 1.0, ((0.1, 0.12), (-0.1, 0.08))),
        Fold('right', 1, -0.04, -1.0, ((-0.1, -0.08), (0.1, -0.12))),
        Fold('bottom', 0, 0.0, -1.0, ((-0.1, 0.04), (-0.1, -0.04)), (0.0, 0.008), 0.02),
    ),
    corners=(
        (-0.1, 0.08),
        (-0.1, -0.08),
        (-0.1, 0.04),
        (-0.1, -0.04),
        (0.1, 0.12),
        (0.1, -0.12),
        (0.1, 0.04),
        (0.1, -0.04),
    ),
)

PANTS = Garment(
    name='pants',
    cells=_mirrored(['wwwww', 'bbbbb', 'bbbbb', *['bbbb.'] * 8, 'hhhh.']),
    folds=(
        Fold('leg', 1, 0.0, 1.0, ((0.12, 0.1), (-0.12, 0.1))),
        Fold('half', 0, 0.0, -1.0, ((-0.12, -0.02), (-0.12, -0.1)), (0.0, 0.004), 0.015),
    ),
    corners=(
        (0.12, 0.1),
        (0.12, -0.1),
        (-0.12, 0.1),
        (-0.12, -0.1),
        (-0.12, 0.02),
        (-0.12, -0.02),
    ),
)
