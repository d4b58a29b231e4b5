# SPDX-License-Identifier: Apache-2.0
"""Scripts that cross mazes: a point that is steered, and an ant that trots.

The library brings no expert. The ant's legs stand at the corners of a square, so the same trot
carries it in any direction: diagonal pairs of legs take turns, and each foot on the ground goes
back along the way. Its numbers were found by a random search for speed along three directions.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vvf_sim.rotations import Array
from vvf_sim.worlds.maze import Cell, MazeEnv

# Part of a cell's width at which the next waypoint is taken.
_REACHED = 0.4
_POINT_GAIN, _POINT_DAMPING = 6.0, 1.2

_ANT_DT = 0.05
# Azimuth of each leg in the torso's frame, which way its ankle bends, and its turn in the trot.
_AZIMUTH = np.pi * np.array([0.25, 0.75, -0.75, -0.25])
_BEND = np.array([1.0, -1.0, -1.0, 1.0])
_TURN = np.array([0.0, 0.5, 0.0, 0.5])
# Actuators are in another order than joints: the fourth leg comes first.
_ACTUATED = [3, 0, 1, 2]
_STEPS_PER_S = 2.6
_STANCE = 0.27
_SWING_RAD = 0.18
_REACH_RAD = 0.315
_ANKLE_RAD = 0.98
_LIFT_RAD = 0.13
_GAIN, _DAMPING = 1.48, 0.11
_HEADING_GAIN, _MAX_TURN = 0.31, 0.3


def shortest_path(
    walls: NDArray[np.bool_], start: Cell, goal: Cell, avoid: Collection[Cell] = ()
) -> list[Cell]:
    """Cells from start to goal, both among them, or none if there is no way.

    Args:
        walls: (rows, columns).
        start: row and column.
        goal: row and column.
        avoid: further cells that are not to be entered.
    """
    before: dict[Cell, Cell] = {start: start}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        if cell == goal:
            break
        for row, column in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            following = (cell[0] + row, cell[1] + column)
            if not walls[following] and following not in before and following not in avoid:
                before[following] = cell
                queue.append(following)
    if goal not in before:
        return []
    path = [goal]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]


class Walker(ABC):
    """Goes along cells to a goal.

    Args:
        env: the maze.
        path: cells from the start to the goal.
        goal: (2,) in m.
    """

    def __init__(self, env: MazeEnv, path: list[Cell], goal: NDArray[Any]) -> None:
        self._waypoints = [env.middle_of(cell) for cell in path[1:-1]]
        self._waypoints.append(np.asarray(goal, np.float64))
        self._near = _REACHED * env.cell_m

    def act(self, state: NDArray[Any]) -> Array:
        """The next action for a state of `MazeEnv`."""
        xy = state[:2]
        while len(self._waypoints) > 1 and np.linalg.norm(self._waypoints[0] - xy) < self._near:
            self._waypoints.pop(0)
        return self._towards(np.asarray(state, np.float64), self._waypoints[0] - xy)

    @abstractmethod
    def _towards(self, state: Array, way: Array) -> Array:
        """The action that goes the way (2,) in m."""


class PointWalker(Walker):
    """Accelerates towards the next waypoint."""

    def _towards(self, state: Array, way: Array) -> Array:
        return np.clip(_POINT_GAIN * way - _POINT_DAMPING * state[2:4], -1.0, 1.0)


class AntWalker(Walker):
    """Trots towards the next waypoint, without turning to it."""

    def __init__(self, env: MazeEnv, path: list[Cell], goal: NDArray[Any]) -> None:
        super().__init__(env, path, goal)
        self._time = 0.0

    def _towards(self, state: Array, way: Array) -> Array:
        w, x, y, z = state[3:7]
        yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        direction = np.arctan2(way[1], way[0]) - yaw
        angles, speeds = state[7:15].reshape(4, 2), state[21:29].reshape(4, 2)
        phase = (_STEPS_PER_S * self._time + _TURN) % 1.0
        self._time += _ANT_DT
        # On the ground from 1 to -1, in the air back to 1.
        air = np.clip((phase - _STANCE) / (1.0 - _STANCE), 0.0, 1.0)
        sweep = np.where(phase < _STANCE, 1.0 - 2.0 * phase / _STANCE, 2.0 * air - 1.0)
        turn = np.clip(-_HEADING_GAIN * yaw, -_MAX_TURN, _MAX_TURN)
        hips = (_SWING_RAD * np.sin(direction - _AZIMUTH) + turn) * sweep
        reach = _REACH_RAD * np.cos(direction - _AZIMUTH) * sweep
        ankles = _BEND * (_ANKLE_RAD - _LIFT_RAD * np.sin(np.pi * air) - reach)
        wanted = np.stack([np.clip(hips, -0.5, 0.5), ankles], axis=1)
        torques = _GAIN * (wanted - angles) - _DAMPING * speeds
        return np.clip(torques[_ACTUATED].ravel(), -1.0, 1.0)


def make_walker(env: MazeEnv, path: list[Cell], goal: NDArray[Any]) -> Walker:
    """The walker of the maze's agent; arguments as of `Walker`."""
    return (PointWalker if env.agent == 'point' else AntWalker)(env, path, goal)
