# SPDX-License-Identifier: Apache-2.0
"""Mazes of gymnasium-robotics, and the one sentence where it is not installed."""

import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vvf_sim.errors import UserError
from vvf_sim.worlds.maze import SUCCESS_RADIUS, MazeEnv, make_ant_maze
from vvf_sim.worlds.maze_data import collect_maze_episode, load_maze_episodes, maze_episodes
from vvf_sim.worlds.maze_walkers import shortest_path

WALLS = np.array(
    [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]], bool
)


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gymnasium_robotics', None)
    for name in list(sys.modules):
        if name.startswith('gymnasium_robotics.'):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match='run `pip install --no-deps gymnasium-robotics=='):
        make_ant_maze()


@pytest.mark.parametrize('agent', ['point', 'ant'])
def test_nothing_is_left_on_disk(agent, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    env = MazeEnv(agent, size='umaze')
    env.reset(seed=0)
    env.close()
    assert not list(tmp_path.iterdir())


def test_paths_are_short_and_keep_out_of_what_is_avoided():
    assert shortest_path(WALLS, (1, 1), (3, 1)) == [(1, 1), (2, 1), (3, 1)]
    around = shortest_path(WALLS, (1, 1), (3, 1), avoid={(2, 1)})
    assert len(around) == 7
    assert (2, 1) not in around
    assert shortest_path(WALLS, (1, 1), (3, 1), avoid={(2, 1), (2, 3)}) == []


@pytest.mark.parametrize(('agent', 'size'), [('horse', 'umaze'), ('point', 'endless')])
def test_unknown_mazes_are_refused(agent, size):
    with pytest.raises(UserError, match='unknown'):
        MazeEnv(agent, size)


def test_a_folder_without_trips_is_refused(tmp_path):
    with pytest.raises(UserError, match='no trips'):
        load_maze_episodes(tmp_path)


def test_a_trip_that_was_cut_off_is_refused(tmp_path):
    np.savez(tmp_path / 'episode_0.npz', state=np.zeros((50, 4)))
    trip = tmp_path / 'episode_0.npz'
    trip.write_bytes(trip.read_bytes()[:200])
    with pytest.raises(UserError, match=r'episode_0\.npz is not a trip'):
        load_maze_episodes(tmp_path)


@pytest.mark.parametrize(('name', 'dim'), [('PointMaze', 4), ('AntMaze', 29)])
def test_the_mazes_are_gymnasiums(name, dim):
    env = gym.make(f'vvf_sim.worlds.maze:vvf/{name}-v0')
    observation, _ = env.reset(seed=3)
    assert observation['state'].shape == (dim,)
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(observation['state'], again['state'])
    other, _ = env.reset(seed=4)
    assert (observation['state'] != other['state']).any()
    check_env(env.unwrapped)
    env.close()


@pytest.fixture
def maze():
    result = MazeEnv('point', 'medium')
    yield result
    result.close()


def test_cells_and_places_belong_together(maze):
    for cell in maze.free_cells:
        assert maze.cell_of(maze.middle_of(cell)) == cell
    observation, _ = maze.reset(seed=0, options={'start_cell': (1, 1), 'goal_cell': (6, 6)})
    assert maze.cell_of(observation['state'][:2]) == (1, 1)
    assert maze.cell_of(observation['goal']) == (6, 6)


@pytest.mark.parametrize('cell', [(0, 0), (-1, 3), (99, 1)])
def test_walls_are_no_goals(maze, cell):
    with pytest.raises(UserError, match='wall'):
        maze.reset(options={'goal_cell': cell})


def test_reward_is_for_being_at_the_goal(maze):
    for seed in range(4):
        trip = collect_maze_episode(maze, seed)
        distance = np.linalg.norm(trip.state[:, :2] - trip.goal, axis=1)
        assert trip.success
        np.testing.assert_array_equal(trip.reward[1:] > 0, distance[1:] <= SUCCESS_RADIUS)
        assert (trip.reward[:-1] == 0).all()
        assert len(trip.state) == len(trip.action) == len(trip.reward)


def test_doing_nothing_reaches_no_goal(maze):
    maze.reset(seed=0, options={'start_cell': (1, 1), 'goal_cell': (6, 6)})
    for _ in range(50):
        _, reward, terminated, _, info = maze.step(np.zeros(2, np.float32))
        assert (reward, terminated, info['success']) == (0.0, False, False)


def test_corrupted_data_never_sees_the_region_and_plain_data_does(maze, tmp_path):
    region = {(3, 3), (3, 4)}
    folders = {'plain': (), 'corrupted': region}
    visits = {}
    for name, avoid in folders.items():
        list(maze_episodes(maze, 12, tmp_path / name, avoid))
        trips = load_maze_episodes(tmp_path / name)
        visits[name] = sum(maze.cell_of(xy) in region for t in trips for xy in t.state[:, :2])
        assert sum(trip.success for trip in trips) >= 10
    assert visits['plain'] > 0
    assert visits['corrupted'] == 0


def test_collecting_goes_on_where_it_stopped(maze, tmp_path):
    (first,) = maze_episodes(maze, 1, tmp_path)
    stamp = first.stat().st_mtime_ns
    paths = list(maze_episodes(maze, 3, tmp_path))
    assert first.stat().st_mtime_ns == stamp
    assert len(load_maze_episodes(tmp_path)) == len(paths) == 3
    again = collect_maze_episode(maze, 2)
    np.testing.assert_array_equal(load_maze_episodes(tmp_path)[2].state, again.state)


def test_the_ant_walks_to_its_goal_upright():
    env = MazeEnv('ant', 'umaze')
    trip = collect_maze_episode(env, 1)
    env.close()
    assert trip.success
    assert np.linalg.norm(trip.state[-1, :2] - trip.state[0, :2]) > 2.0
    assert not any(env.fallen(state) for state in trip.state)


def test_an_ant_on_its_back_has_fallen():
    env = MazeEnv('ant', 'umaze')
    state = env.reset(seed=0)[0]['state']
    assert not env.fallen(state)
    state[3:7] = [0.0, 1.0, 0.0, 0.0]
    assert env.fallen(state)
    env.close()
