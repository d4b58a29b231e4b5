# SPDX-License-Identifier: Apache-2.0
"""Whether a frozen value rises all the way to the goal.

What an agent is paid by it climbs to the next local maximum. A held-out loss averages over pairs of
states and goals and cannot show one, so the value is looked at along the shortest way.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vvf.cli.output import write_json
from vvf.online.mazes import MazeTask
from vvf_models.values.icvf_states import StateIcvf
from vvf_sim.worlds.maze_walkers import shortest_path

PATH_FILE = 'path.json'
_PER_CELL = 4  # places looked at from the middle of a cell to that of the next
_FALL = 0.02  # of the rise from the lowest to the highest value, from where on it is worth a word


@dataclass(frozen=True)
class ValuePath:
    """A value along the shortest way from the start to the goal, at rest.

    Attributes:
        cells: (row, column) of each on the way.
        at: (P,) places, in cells from the start.
        values: (P,) there.
        rank_correlation: Spearman's, of places and values; 1 where the value only rises, 0 where
            it is the same everywhere.
        fall: the largest from one place to a later one, in the value's unit; 0 if there is none.
        peak: place at which that begins.
        trough: and ends.
    """

    cells: list[tuple[int, int]]
    at: list[float]
    values: list[float]
    rank_correlation: float
    fall: float
    peak: float
    trough: float

    def in_words(self) -> list[str]:
        """The values at the cells, the rank correlation, and a warning where it goes backwards."""
        middles = ' '.join(f'{value:.3g}' for value in self.values[::_PER_CELL])
        lines = [f'value on the way to the goal: {middles}; rank correlation '
                 f'{self.rank_correlation:.3f}']  # fmt: skip
        rise = max(self.values) - min(self.values)
        if self.fall > _FALL * rise:
            peak, trough = (self.cells[round(place)] for place in (self.peak, self.trough))
            lines.append(
                f'warning: from cell {peak} to {trough} the value falls by {self.fall:.3g}, '
                f'{self.fall / rise:.0%} of its rise, and pays for turning back there: raise '
                'value.goal_radius, value.hidden or data.trips.'
            )
        return lines


def value_path(task: MazeTask, value: StateIcvf) -> ValuePath:
    """Looks at a value along the shortest way from a maze's start to its goal."""
    from scipy.stats import spearmanr

    cells = shortest_path(task.maze.walls, task.start_cell, task.goal_cell)
    number = np.arange(len(cells))
    at = np.arange((len(cells) - 1) * _PER_CELL + 1) / _PER_CELL
    middles = np.array([task.maze.middle_of(cell) for cell in cells])
    states = np.repeat(task.reset(seed=0)[0][None], len(at), 0)
    for axis in range(2):
        states[:, axis] = np.interp(at, number, middles[:, axis])
    values = value.values(states, task.goal_state()).astype(np.float64)
    peak, trough = _deepest(values)
    return ValuePath(
        cells=cells,
        at=at.tolist(),
        values=values.tolist(),
        rank_correlation=float(spearmanr(at, values).statistic) if np.ptp(values) else 0.0,
        fall=float(values[peak] - values[trough]),
        peak=float(at[peak]),
        trough=float(at[trough]),
    )


def stored_value_path(folder: Path, task: MazeTask, value: StateIcvf) -> ValuePath:
    """The same, kept in the value's folder."""
    file = folder / PATH_FILE
    with suppress(OSError, ValueError, TypeError, KeyError):  # there is none, or it is damaged
        entries: dict[str, Any] = json.loads(file.read_text('utf-8'))
        return ValuePath(**{**entries, 'cells': [tuple(cell) for cell in entries['cells']]})
    found = value_path(task, value)
    write_json(file, vars(found))
    return found


def _deepest(values: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Where the largest fall begins and ends."""
    trough = int(np.argmax(np.maximum.accumulate(values) - values))
    return int(np.argmax(values[: trough + 1])), trough
