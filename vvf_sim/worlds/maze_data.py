# SPDX-License-Identifier: Apache-2.0
"""Offline trajectories of mazes: random starts and goals, and a variant that never sees a region.

    python -m vvf_sim.worlds.maze_data --agent ant --size medium --episodes 200 --out DIR
    python -m vvf_sim.worlds.maze_data ... --avoid 6,6 --out DIR

The second is the corrupted data of ViVa-ICVF's sanity check: no trajectory enters the goal's
region, so a value that leads there has been put together from other trips.
"""

import argparse
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from vvf_sim.errors import UserError
from vvf_sim.worlds.maze import Cell, MazeEnv
from vvf_sim.worlds.maze_walkers import make_walker, shortest_path

_ARRAYS = ('state', 'action', 'reward', 'goal')


@dataclass(frozen=True)
class MazeEpisode:
    """A trip of T steps.

    Attributes:
        state: (T + 1, D) float32, as of `MazeEnv`.
        action: (T + 1, A) float32, what was done; the last is zero.
        reward: (T + 1,) float32, for having come to the state; 1 at the goal.
        goal: (2,) float32, m.
    """

    state: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    goal: NDArray[np.float32]

    @property
    def success(self) -> bool:
        """Whether the goal was reached."""
        return bool(self.reward[-1] > 0.0)


def collect_maze_episode(
    env: MazeEnv,
    seed: int,
    avoid: Collection[Cell] = (),
    noise: float = 0.2,
    max_steps: int = 0,
) -> MazeEpisode:
    """One trip from a random start to a random goal; equal arguments give equal arrays.

    Of the ants one in forty or so falls on its back at a wall, which ends its trip.

    Args:
        env: the maze; its own goal and start cells are not used.
        seed: of start, goal and noise.
        avoid: cells that are never entered.
        noise: standard deviation of the noise on actions, which end at -1 and 1.
        max_steps: of the trip; 0 for `MazeEnv.max_steps`.

    Raises:
        UserError: what is not avoided holds no two cells with a way between them.
    """
    rng = np.random.default_rng([seed, 17])
    path = _draw_path(env, rng, set(avoid))
    cells = {'start_cell': path[0], 'goal_cell': path[-1]}
    observation, _ = env.reset(seed=seed, options=cells)
    goal = observation['goal']
    walker = make_walker(env, path, goal)
    states, actions, rewards = [observation['state']], [], [0.0]
    low, high = env.action_space.low, env.action_space.high
    for _ in range(max_steps or env.max_steps):
        action = walker.act(states[-1])
        action = np.clip(action + noise * rng.normal(size=action.shape), low, high)
        observation, reward, terminated, _, _ = env.step(action.astype(np.float32))
        if env.cell_of(observation['state'][:2]) in avoid:
            # Slipped around a corner: the trip ends before it.
            break
        states.append(observation['state'])
        actions.append(action)
        rewards.append(reward)
        if terminated or env.fallen(states[-1]):
            break
    actions.append(np.zeros(env.action_space.shape))
    return MazeEpisode(
        np.stack(states), np.array(actions, np.float32), np.array(rewards, np.float32), goal
    )


def _draw_path(env: MazeEnv, rng: np.random.Generator, avoid: set[Cell]) -> list[Cell]:
    cells = [cell for cell in env.free_cells if cell not in avoid]
    pairs = [(start, goal) for start in cells for goal in cells if start != goal]
    for index in rng.permutation(len(pairs)):
        start, goal = pairs[index]
        path = shortest_path(env.walls, start, goal, avoid)
        if path:
            return path
    raise UserError('nothing of the maze is left to walk in: avoid fewer cells.')


def maze_episodes(
    env: MazeEnv, episodes: int, folder: Path, avoid: Collection[Cell] = (), noise: float = 0.2
) -> Iterator[Path]:
    """Collect trips into files of a folder, `episode_000000.npz` and on; what is there stays.

    Raises:
        UserError: see `collect_maze_episode`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(episodes):
        path = folder / f'episode_{seed:06d}.npz'
        if not path.exists():
            episode = collect_maze_episode(env, seed, avoid, noise)
            partial = path.with_suffix('.part')
            with partial.open('wb') as stream:
                np.savez_compressed(stream, **{n: getattr(episode, n) for n in _ARRAYS})
            partial.replace(path)
        yield path


def load_maze_episodes(folder: str | Path) -> list[MazeEpisode]:
    """Trips of a folder.

    Raises:
        UserError: there are none, or one is broken.
    """
    paths = sorted(Path(folder).glob('episode_*.npz'))
    if not paths:
        raise UserError(f'{folder} holds no trips: collect some with vvf_sim.worlds.maze_data.')
    result = []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as archive:
                result.append(MazeEpisode(*(archive[name] for name in _ARRAYS)))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f'{path} is not a trip through a maze: delete it.') from error
    return result


def _cell(text: str) -> Cell:
    row, column = (int(part) for part in text.split(','))
    return row, column


def main() -> None:
    """Collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--agent', choices=('point', 'ant'), default='point')
    parser.add_argument('--size', choices=('umaze', 'medium', 'large'), default='medium')
    parser.add_argument('--episodes', type=int, default=200)
    parser.add_argument('--noise', type=float, default=0.2, help='on actions [0.2]')
    parser.add_argument(
        '--avoid', type=_cell, nargs='*', default=[], help='cells never entered: ROW,COLUMN'
    )
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    try:
        env = MazeEnv(args.agent, args.size)
        paths = maze_episodes(env, args.episodes, args.out, args.avoid, args.noise)
        for _ in track(paths, 'trips', args.episodes):
            pass
        trips = load_maze_episodes(args.out)
    except UserError as error:
        raise SystemExit(str(error)) from error
    reached = sum(trip.success for trip in trips)
    print(f'{len(trips)} trips, {reached} at their goal, {sum(len(t.state) for t in trips)} states')


if __name__ == '__main__':
    main()
