# SPDX-License-Identifier: Apache-2.0
"""Point and ant mazes of gymnasium-robotics, as ViVa-ICVF's paper uses them: states, sparse reward.

`vvf/PointMaze-v0` and `vvf/AntMaze-v0`; importing this module registers them. The library is
loaded when an environment is made.
"""

import contextlib
import io
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vvf_sim.errors import UserError

Agent = Literal['point', 'ant']
Size = Literal['umaze', 'medium', 'large']
Cell = tuple[int, int]
Observation = dict[str, NDArray[np.float32]]

# Without what it asks for: that would put another MuJoCo over the one that is installed.
INSTALL = (
    'pip install --no-deps gymnasium-robotics==1.4.2 pettingzoo==1.27.0 imageio==2.38.1 '
    'glfw==2.11.0'
)
# The library's, m.
SUCCESS_RADIUS = 0.45
_STATE_DIM = {'point': 4, 'ant': 29}
_MAX_STEPS = {'umaze': 300, 'medium': 600, 'large': 800}
_ANT_STEPS = 3


class MazeEnv(gym.Env[Observation, NDArray[np.float32]]):  # type: ignore[misc]
    """A maze to be crossed.

    Observation: `state` float32, which is x, y and the velocity (4,) of the point, or x, y and
    the joints, orientation and velocities (29,) of the ant; and `goal` (2,) in m. Reward 1 within
    .45 m of the goal, which ends the episode, else 0.

    Args:
        agent: point or ant. A cell is 1 m wide for the point and 4 m for the ant.
        size: umaze, medium or large.
        goal_cell: row and column of the goal; drawn from the free cells if not given.
        start_cell: row and column of the start; drawn from the others if not given.
        jitter: largest shift of start and goal from the middle of their cells, in cells.

    Attributes:
        walls: (rows, columns) bool.
        cell_m: width of a cell, m.

    Raises:
        UserError: the library is not installed, a name is unknown, a cell is a wall.
    """

    metadata: ClassVar[dict[str, Any]] = {'render_modes': []}

    def __init__(
        self,
        agent: Agent = 'point',
        size: Size = 'umaze',
        goal_cell: Cell | None = None,
        start_cell: Cell | None = None,
        jitter: float = 0.25,
    ) -> None:
        if agent not in get_args(Agent) or size not in get_args(Size):
            raise UserError(
                f'maze {agent!r}, {size!r} is unknown: use {" or ".join(get_args(Agent))}, and '
                f'{", ".join(get_args(Size))}.'
            )
        self.agent, self.size = agent, size
        self._env: Any = _make(agent, size, jitter)
        maze = self._env.maze
        self.walls = np.array([[cell == 1 for cell in row] for row in maze.maze_map])
        self.cell_m = float(maze.maze_size_scaling)
        self.goal_cell, self.start_cell = goal_cell, start_cell
        for cell in (goal_cell, start_cell):
            self._check_free(cell)
        box, inf = gym.spaces.Box, np.inf
        self.observation_space = gym.spaces.Dict(
            {
                'state': box(-inf, inf, (_STATE_DIM[agent],), np.float32),
                'goal': box(-inf, inf, (2,), np.float32),
            }
        )
        actions = self._env.action_space
        self.action_space = box(-1.0, 1.0, actions.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: of start and goal.
            options: `goal_cell` and `start_cell` for this episode.

        Raises:
            UserError: a cell is a wall.
        """
        super().reset(seed=seed)
        options = options or {}
        goal = options.get('goal_cell') or self.goal_cell
        start = options.get('start_cell') or self.start_cell
        for cell in (goal, start):
            self._check_free(cell)
        goal = goal or self.draw_cell(self.np_random, without=start)
        start = start or self.draw_cell(self.np_random, without=goal)
        cells = {'goal_cell': np.array(goal), 'reset_cell': np.array(start)}
        raw, info = self._env.reset(seed=int(self.np_random.integers(2**31)), options=cells)
        return self._observe(raw), {'success': info['success']}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act for one step, .01 s for the point and .05 s for the ant."""
        clipped = np.clip(action, self.action_space.low, self.action_space.high)
        raw, reward, terminated, _, info = self._env.step(clipped.astype(np.float64))
        return (
            self._observe(raw),
            float(reward),
            bool(terminated),
            False,
            {'success': bool(info['success'])},
        )

    def close(self) -> None:
        """Free the library's environment."""
        self._env.close()

    @property
    def free_cells(self) -> list[Cell]:
        """Rows and columns that are no walls."""
        return [(int(row), int(column)) for row, column in np.argwhere(~self.walls)]

    @property
    def max_steps(self) -> int:
        """Steps that suffice to cross it: the library's, three times as many for the ant."""
        return _MAX_STEPS[self.size] * (_ANT_STEPS if self.agent == 'ant' else 1)

    def draw_cell(self, rng: np.random.Generator, without: Cell | None = None) -> Cell:
        """A free cell that is not the other one."""
        cells = [cell for cell in self.free_cells if cell != without]
        return cells[int(rng.integers(len(cells)))]

    def cell_of(self, xy: NDArray[Any]) -> Cell:
        """Row and column of a place (2,) in m."""
        row, column = self._env.maze.cell_xy_to_rowcol(np.asarray(xy, np.float64))
        return int(row), int(column)

    def middle_of(self, cell: Cell) -> NDArray[np.float64]:
        """Place (2,) in m of a cell's middle."""
        return np.asarray(self._env.maze.cell_rowcol_to_xy(np.array(cell)), np.float64)

    def fallen(self, state: NDArray[Any]) -> bool:
        """Whether the ant of a state lies on its back; it does not get up again."""
        return self.agent == 'ant' and 2 * float(state[4] ** 2 + state[5] ** 2) > 1.0

    def _check_free(self, cell: Cell | None) -> None:
        if cell is None:
            return
        rows, columns = self.walls.shape
        inside = 0 <= cell[0] < rows and 0 <= cell[1] < columns
        if not inside or self.walls[cell[0], cell[1]]:
            raise UserError(f'cell {tuple(cell)} of the maze is a wall: use a free one.')

    def _observe(self, raw: dict[str, Any]) -> Observation:
        state = raw['observation']
        if self.agent == 'ant':
            state = np.concatenate([raw['achieved_goal'], state])
        return {'state': state.astype(np.float32), 'goal': raw['desired_goal'].astype(np.float32)}


def make_point_maze(**kwargs: Any) -> MazeEnv:
    """`vvf/PointMaze-v0`; arguments as of `MazeEnv`."""
    return MazeEnv('point', **kwargs)


def make_ant_maze(**kwargs: Any) -> MazeEnv:
    """`vvf/AntMaze-v0`; arguments as of `MazeEnv`."""
    return MazeEnv('ant', **kwargs)


def _make(agent: Agent, size: Size, jitter: float) -> Any:
    library = 'gymnasium_robotics.envs.maze'
    try:
        # It prints advice about other environments of its own.
        with contextlib.redirect_stderr(io.StringIO()):
            maps = import_module(f'{library}.maps')
            ants = import_module(f'{library}.ant_maze_v5')
            points = import_module(f'{library}.point_maze')
    except ImportError as error:
        raise UserError(f'mazes need gymnasium-robotics ({error}): run `{INSTALL}`.') from error
    shape = {'umaze': maps.U_MAZE, 'medium': maps.MEDIUM_MAZE, 'large': maps.LARGE_MAZE}[size]
    common = {'maze_map': shape, 'reward_type': 'sparse', 'continuing_task': False}
    env = (
        points.PointMazeEnv(**common)
        if agent == 'point'
        else ants.AntMazeEnv(include_cfrc_ext_in_observation=False, **common)
    )
    # As an argument it is handed on to the agent, which does not know it.
    env.position_noise_range = jitter
    Path(env.tmp_xml_file_path).unlink(missing_ok=True)  # loaded, and nobody else removes it
    return env


for _id, _factory in (('PointMaze', make_point_maze), ('AntMaze', make_ant_maze)):
    gym.register(f'vvf/{_id}-v0', entry_point=_factory)
