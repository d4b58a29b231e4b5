# SPDX-License-Identifier: Apache-2.0
"""Mazes as tasks for online RL: one start, one goal, states; and their offline data.

ViVa-ICVF's sanity check (arXiv 2503.18210) is an AntMaze whose data never come near the goal; here
that is `corrupted`: trips that never enter the goal's cell, so that none of them has a reward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from vvf.errors import UserError
from vvf_models.rl.replay import OfflineData
from vvf_sim.worlds.maze import SUCCESS_RADIUS, MazeEnv
from vvf_sim.worlds.maze_data import MazeEpisode, load_maze_episodes, maze_episodes
from vvf_sim.worlds.maze_walkers import shortest_path

States = npt.NDArray[np.float32]
DataKind = Literal['clean', 'corrupted']
MAZES = tuple(
    f'{agent}_{size}' for agent in ('point', 'ant') for size in ('umaze', 'medium', 'large')
)


class MazeTask(gym.Env[States, npt.NDArray[np.float32]]):  # type: ignore[misc]
    """From the start to the goal, which are as far apart as the maze allows.

    Observation (D,) float32: the state of `MazeEnv`; the goal is always the same, so it is no part
    of it. Reward 1 within .45 m of the goal's middle, which ends the episode, else 0. The start is
    drawn within a quarter of a cell's width around the start cell's middle.

    Args:
        name: one of `MAZES`.

    Attributes:
        maze: the environment beneath.
        start_cell: row and column.
        goal_cell: row and column.
        goal: (2,) in m.

    Raises:
        UserError: the name is unknown, or gymnasium-robotics is not installed.
    """

    metadata: ClassVar[dict[str, Any]] = {'render_modes': []}

    def __init__(self, name: str) -> None:
        if name not in MAZES:
            raise UserError(f'maze {name!r} is unknown: use one of {", ".join(MAZES)}.')
        agent, size = name.split('_')
        self.maze = MazeEnv(agent, size)  # type: ignore[arg-type]
        self.start_cell, self.goal_cell = farthest_cells(self.maze)
        self.goal = self.maze.middle_of(self.goal_cell)
        self.max_steps = self.maze.max_steps
        self.observation_space = self.maze.observation_space['state']
        self.action_space = self.maze.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[States, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        cells = {'start_cell': self.start_cell, 'goal_cell': self.goal_cell}
        observation, _ = self.maze.reset(seed=int(self.np_random.integers(2**31)), options=cells)
        return observation['state'], {'success': False}

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[States, float, bool, bool, dict[str, Any]]:
        """Act for one step of the maze."""
        # The maze beneath draws its goal around the cell's middle; only ours counts.
        state = self.maze.step(action)[0]['state']
        success = bool(reached(state, self.goal))
        return state, float(success), success, False, {'success': success}

    def close(self) -> None:
        """Free the maze."""
        self.maze.close()

    def goal_state(self) -> States:
        """The goal as a state: its place, and zeros that a value of states does not look at."""
        state = np.zeros(self.observation_space.shape, np.float32)
        state[:2] = self.goal
        return state


def reached(states: States, goal: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether states (..., D) lie at a goal (2,)."""
    return np.asarray(np.linalg.norm(states[..., :2] - goal, axis=-1) <= SUCCESS_RADIUS)


def farthest_cells(maze: MazeEnv) -> tuple[tuple[int, int], tuple[int, int]]:
    """Start and goal with the longest way between them."""
    cells = maze.free_cells
    pairs = [(start, goal) for start in cells for goal in cells]
    return max(pairs, key=lambda pair: len(shortest_path(maze.walls, *pair)))


def maze_data(
    task: MazeTask,
    kind: DataKind,
    episodes: int,
    folder: Path,
    on_episode: Callable[[], None] = lambda: None,
) -> list[MazeEpisode]:
    """Trips between random cells, collected where the folder lacks them.

    Args:
        task: of the maze.
        kind: clean, or corrupted: none enters the goal's cell.
        episodes: how many.
        folder: where they are kept.
        on_episode: called after each.
    """
    avoid = [task.goal_cell] if kind == 'corrupted' else []
    for _ in maze_episodes(task.maze, episodes, folder, avoid):
        on_episode()
    return load_maze_episodes(folder)[:episodes]


def offline_transitions(episodes: Sequence[MazeEpisode], goal: npt.NDArray[Any]) -> OfflineData:
    """Trips as transitions towards one goal: reward 1 and an end where a trip comes to it.

    A trip that has come to the goal is not followed further.
    """
    rows: dict[str, list[npt.NDArray[np.float32]]] = {}
    for episode in episodes:
        done = reached(episode.state[1:], goal)
        # Trips through the goal come to it more than once, if not cut.
        end = int(np.argmax(done)) + 1 if done.any() else len(done)
        arrived = done[:end].astype(np.float32)
        parts: dict[str, npt.NDArray[np.float32]] = {
            'observation': episode.state[:end],
            'action': episode.action[:end],
            'reward': arrived,
            'mask': 1 - arrived,
            'next_observation': episode.state[1 : end + 1],
        }
        for name, part in parts.items():
            rows.setdefault(name, []).append(part)
    return OfflineData({name: np.concatenate(parts) for name, parts in rows.items()})
