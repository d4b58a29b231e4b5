# SPDX-License-Identifier: Apache-2.0
"""`vvf rl` in a maze: its task, its offline data, its results; and as a command."""

import json
import math

import numpy as np
import pytest

from vvf.cli.main import main
from vvf.errors import UserError
from vvf.online.curves import draw_curves, steps_to, student, summarise
from vvf.online.experiment import MazeExperiment, PixelExperiment, maze_run
from vvf.online.mazes import MazeTask, offline_transitions, reached
from vvf.online.pixels import PixelTask, pixel_value
from vvf.online.runs import read_experiment
from vvf.online.trainer import OnlineTrainer, RunConfig, Setting
from vvf.online.value_path import stored_value_path, value_path
from vvf.paths import checkpoint_path, config_path
from vvf.stored_results import StoredResult, read_results
from vvf_models.errors import UserError as ModelError
from vvf_models.rl.drq import Drq, DrqConfig
from vvf_models.rl.replay import NAMES
from vvf_models.rl.sac import AgentConfig
from vvf_models.rl.shaping import RewardConfig
from vvf_sim.worlds.maze_data import MazeEpisode


@pytest.fixture(scope='module')
def task():
    result = MazeTask('point_umaze')
    yield result
    result.close()


def test_start_and_goal_are_at_the_ends_of_the_maze(task):
    assert {task.start_cell, task.goal_cell} == {(1, 1), (3, 1)}
    starts = [task.reset(seed=seed)[0][:2] for seed in range(5)]
    assert {task.maze.cell_of(start) for start in starts} == {task.start_cell}
    assert len({tuple(start) for start in starts}) == 5
    assert not reached(np.array(starts), task.goal).any()
    assert reached(task.goal_state(), task.goal)


def test_unknown_mazes_are_refused():
    with pytest.raises(UserError, match='use one of point_umaze'):
        MazeTask('point_endless')


def trip(places):
    state = np.zeros((len(places), 4), np.float32)
    state[:, :2] = places
    zeros = np.zeros(len(places), np.float32)
    return MazeEpisode(state, np.zeros((len(places), 2), np.float32), zeros, zeros[:2])


def test_trips_end_where_they_first_come_to_the_goal():
    goal = np.array([2.0, 0.0])
    through = trip([[x, 0.0] for x in range(6)])
    past = trip([[x, 2.0] for x in range(4)])
    data = offline_transitions([through, past], goal).rows
    assert data['reward'].tolist() == [0, 1, 0, 0, 0]
    assert data['mask'].tolist() == [1, 0, 1, 1, 1]
    assert data['next_observation'][:, 0].tolist() == [1, 2, 1, 2, 3]


def result(seed, success, **changes):
    numbers = {
        'curve_steps': [10.0, 20.0, 30.0],
        'curve_success': success,
        'steps_to_80': steps_to(0.8, [10, 20, 30], success),
    }
    return StoredResult('online_rl', 'viva', 'maze', seed, 'maze', '', 10, 0, numbers, **changes)


def test_steps_to_success_are_those_of_the_first_trial_that_has_it():
    assert steps_to(0.8, [10, 20, 30], [0.0, 0.8, 0.1]) == 20
    assert math.isnan(steps_to(0.8, [10, 20, 30], [0.0, 0.7, 0.7]))


def test_a_seed_that_never_came_there_counts_with_all_its_steps():
    summary = summarise([result(0, [0.0, 0.9, 1.0]), result(1, [0.0, 0.0, 0.5])])
    # Of two seeds, Student's interval is wider than what steps can be.
    assert (summary.steps.value, summary.steps.low, summary.steps.high) == (25, 0, 30)
    assert (summary.reached, summary.seeds, summary.last.value) == (1, 2, 0.75)


def test_intervals_over_seeds_are_students():
    found = student(np.array([0.2, 0.3, 0.4, 0.5, 0.6]))
    # t of 4 degrees of freedom at 97.5 % is 2.776; the standard error is sqrt(.025 / 5).
    assert found.value == pytest.approx(0.4)
    assert (found.low, found.high) == pytest.approx((0.4 - 0.1963, 0.4 + 0.1963), abs=1e-4)
    assert student(np.array([0.0, 0.1])).low == 0
    assert math.isnan(student(np.array([0.3])).low)
    rng = np.random.default_rng(0)
    draws = [student(rng.normal(0.5, 0.05, 5)) for _ in range(2000)]
    covered = np.mean([e.low <= 0.5 <= e.high for e in draws])
    assert covered == pytest.approx(0.95, abs=0.015)


class Ramp:
    """A value that rises along the U-maze, apart from a dip."""

    def __init__(self, dip=0.0):
        self.dip = dip

    def values(self, states, goal):
        # From (1, 1) over the right side to (3, 1), by the angle around the middle.
        x, y = states[..., 0], states[..., 1]
        rise = -np.arctan2(y, x + 1.01)
        return (rise - self.dip * (abs(y) < 0.3)).astype(np.float32)


def test_a_value_is_looked_at_along_the_way_to_the_goal(task, tmp_path):
    good, bad = value_path(task, Ramp()), value_path(task, Ramp(0.9))
    assert (good.cells[0], good.cells[-1]) == (task.start_cell, task.goal_cell)
    assert good.rank_correlation == pytest.approx(1)
    assert good.fall == 0
    assert len(good.in_words()) == 1
    assert bad.rank_correlation < 0.99
    assert 0.5 < bad.fall < 0.9
    assert good.cells[round(bad.trough)] == (2, 3)
    assert 'warning: from cell (1, 3) to (2, 3)' in bad.in_words()[1]
    assert stored_value_path(tmp_path, task, Ramp(0.9)) == bad
    assert stored_value_path(tmp_path, task, Ramp()) == bad, 'read, and not judged again'


@pytest.mark.parametrize('name', ['tiny', 'small', 'full', 'pixels'])
def test_shipped_experiments_can_be_read(name):
    kind = PixelExperiment if name == 'pixels' else MazeExperiment
    experiment = read_experiment(kind, config_path('experiments', f'online_{name}.yaml'))
    assert experiment.run.steps >= experiment.run.evaluate_every


@pytest.mark.parametrize(
    ('key', 'value', 'match'),
    [('speed', 1, 'SECTION.KEY'), ('agent.speed', 1, 'unknown key'), ('run.steps', 'x', 'steps')],
)
def test_wrong_changes_are_one_sentence(key, value, match):
    with pytest.raises((UserError, ModelError), match=match):
        read_experiment(
            MazeExperiment, config_path('experiments', 'online_tiny.yaml'), {key: value}
        )


def test_the_command_trains_stores_draws_and_reads(tmp_path, capsys):
    command = [
        *('rl', 'point_umaze', '--config', 'online_tiny', '--seeds', '0', '1'),
        *('--reward', 'viva', 'none', '--data', 'corrupted', '--out', str(tmp_path / 'runs')),
        *('--figure', str(tmp_path / 'curves.png'), '--json', str(tmp_path / 'numbers.json')),
    ]
    assert main(command) == 0
    results = read_results([tmp_path / 'runs'])
    runs = {(r.experiment, r.method, r.condition, r.seed) for r in results}
    expected = {
        ('online_rl', method, 'point_umaze corrupted', seed)
        for method in ('viva', 'none')
        for seed in (0, 1)
    }
    assert runs == expected
    assert all(r.numbers['curve_steps'] == [30, 60] for r in results)
    assert (tmp_path / 'curves.png').is_file()
    numbers = json.loads((tmp_path / 'numbers.json').read_text())
    assert numbers['corrupted_viva']['seeds'] == 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'runs').rglob('*.*')}
    assert main(command) == 0
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / 'runs').rglob('*.*')}
    assert after == before
    capsys.readouterr()
    assert main([*command, '--set', 'agent.batch_size=4']) == 2
    assert 'holds another run' in capsys.readouterr().err
    assert (tmp_path / 'runs/point_umaze_corrupted/value/path.json').is_file()
    # Nor is a folder taken for one of other data.
    (tmp_path / 'runs/point_umaze_corrupted').rename(tmp_path / 'runs/point_umaze_clean')
    command[command.index('corrupted')] = 'clean'
    assert main(command) == 2
    assert 'holds another run' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'match'),
    [
        (['--seeds', '0', '-1'], 'must not be negative'),
        (['--set', 'agent.hidden=[64'], 'not valid YAML'),
        (['--set', 'data=5'], 'SECTION.KEY'),
        (['--config', 'online_nowhere'], 'cannot be read'),
    ],
)
def test_wrong_words_are_one_sentence_before_anything_is_made(words, match, tmp_path, capsys):
    command = ['rl', 'point_umaze', '--config', 'online_tiny', '--out', str(tmp_path / 'runs')]
    assert main([*command, *words]) == 2
    told = capsys.readouterr().err
    assert match in told
    assert told.count('\n') == 1
    assert not (tmp_path / 'runs').exists()


@pytest.mark.parametrize(
    'change', ['images.cameras=[]', 'images.max_steps=0', 'images.image_size=30']
)
def test_agents_of_images_need_a_camera_time_and_pixels(change, tmp_path, capsys):
    command = ['rl', 'vvf/WindowOpen-v0', '--reward', 'none', '--out', str(tmp_path)]
    assert main([*command, '--set', change]) == 2
    assert change.split('.')[1].split('=')[0] in capsys.readouterr().err


@pytest.mark.parametrize('text', ['data: 5', 'data: [trips]', 'agent: {a: [', '5', 'nothing: {}'])
def test_wrong_files_are_one_sentence(text, tmp_path, capsys):
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    command = ['rl', 'point_umaze', '--config', str(path), '--out', str(tmp_path / 'runs')]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert str(path) in told
    assert told.count('\n') == 1


def test_a_section_without_entries_takes_changes(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('agent:\nrun:\n')
    experiment = read_experiment(MazeExperiment, path, {'agent.utd': 1})
    assert experiment.agent == AgentConfig(utd=1)
    assert experiment.run == RunConfig()


def test_what_is_named_twice_is_trained_and_counted_once(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        'vvf.online.curves.draw_curves', lambda some: drawn.extend(some) or draw_curves(some)
    )
    command = [
        *('rl', 'point_umaze', '--config', 'online_tiny', '--seeds', '0', '--steps', '30'),
        *('--reward', 'rnd', 'rnd', '--data', 'clean', 'clean', '--out', str(tmp_path / 'runs')),
        *('--figure', str(tmp_path / 'curves.png')),
    ]
    assert main(command) == 0
    assert [(r.method, r.condition, r.seed) for r in drawn] == [('rnd', 'point_umaze clean', 0)]


def test_a_runs_folder_knows_the_networks_of_rnd_only_where_they_are_in_it(tmp_path):
    experiment = read_experiment(MazeExperiment, config_path('experiments', 'online_tiny.yaml'))
    some = [trip([[x, 0.0] for x in range(3)])]
    novel, sparse = (
        maze_run(tmp_path, 'point_umaze', 'clean', kind, experiment, some, None, [0])
        for kind in ('rnd', 'none')
    )
    assert novel.identity['rnd'] == {'layers': [16], 'learning_rate': 3e-4}
    assert novel.setting.rnd == experiment.rnd
    assert 'rnd' not in sparse.identity


def test_rewards_that_images_cannot_have_are_refused_before_the_first_is_trained(
    tmp_path, capsys, monkeypatch
):
    trained = []
    monkeypatch.setattr('vvf.online.runs.train_run', lambda job: trained.append(job.setting.kind))
    command = ['rl', 'vvf/WindowOpen-v0', '--seeds', '0', '--out', str(tmp_path / 'runs')]
    assert main([*command, '--reward', 'none', 'rnd']) == 2
    assert 'RND is for states' in capsys.readouterr().err
    assert main([*command, '--reward', 'none', 'viva']) == 2
    assert 'needs --value' in capsys.readouterr().err
    assert main([*command, '--data', 'clean']) == 2
    assert '--data is of mazes' in capsys.readouterr().err
    assert main(['rl', 'point_umaze', '--value', 'x', '--out', str(tmp_path)]) == 2
    assert '--value and --cameras are for images' in capsys.readouterr().err
    assert trained == []


def test_a_value_of_images_judges_what_an_agent_sees():
    folder = checkpoint_path('icvf_bridge')
    value, discount = pixel_value(folder, ['image_0'], 'fold')
    assert discount == 0.98
    pictures = np.random.default_rng(0).integers(0, 255, (2, 3, 3, 48, 48), np.uint8)
    given = value(pictures)
    assert given.shape == (2, 3)
    np.testing.assert_allclose(value(pictures[1]), given[1], atol=1e-4)
    with pytest.raises(UserError, match='--cameras image_0'):
        pixel_value(folder, ['shoulder'], 'fold')
    with pytest.raises(UserError, match='--no-state'):
        pixel_value(checkpoint_path('icvf_pick_place'), ['shoulder', 'wrist'], '')
    with pytest.raises(UserError, match='no steps to a goal'):
        pixel_value(checkpoint_path('distributional_box_assembly'), ['front'], '')


def test_a_task_with_cameras_is_seen_as_pixels_and_moved_from_minus_one_to_one():
    task = PixelTask('vvf/WindowOpen-v0', ['shoulder'], 32)
    seen, _ = task.reset(seed=0)
    assert seen.shape == (3, 32, 32)
    assert seen.dtype == np.uint8
    given = []

    def step(action):
        given.append(action)
        return {'shoulder': seen.transpose(1, 2, 0)}, 0.0, False, False, {'success': False}

    task.env.step = step
    task.step(np.ones(7, np.float32))
    np.testing.assert_allclose(given[0], task.env.action_space.high)
    task.close()
    with pytest.raises(UserError, match='no camera'):
        PixelTask('vvf/WindowOpen-v0', ['ceiling'], 32)
    with pytest.raises(UserError, match='no task'):
        PixelTask('vvf/Nowhere-v0', ['shoulder'], 32)


class Blowing(PixelTask):
    """Its physics fail in the third step."""

    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 3:
            self.env.world.data.qvel[:] = 1e12
        return super().step(action)


def test_to_break_the_simulator_is_no_way_to_end_an_episode():
    def make():
        return Blowing('vvf/WindowOpen-v0', ['shoulder'], 16)

    agent = DrqConfig(hidden=(8,), num_qs=2, features=(4, 4))
    config = RunConfig(start_steps=100, steps=100, evaluate_episodes=1, replay=100)
    subject = OnlineTrainer(
        lambda rngs: Drq(agent, rngs, (3, 16, 16), 7),
        Setting(make, 20, 'none', RewardConfig()),
        config,
        [0],
    )
    for step in range(4):
        subject.step(step, 1.0)
    kept = subject.replay.tensors()
    rows = {name: kept[name][0].numpy().astype(float) for name in NAMES}
    subject.close()
    # As if time were up: bootstrapped from the last good state, at the cost of any step.
    assert rows['mask'].tolist() == [1, 1, 1, 1]
    assert rows['reward'].tolist() == [-1, -1, -1, -1]
    # The failed step led to where it began, up to shades; the next belongs to another episode.
    np.testing.assert_allclose(rows['next_observation'][2], rows['observation'][2], atol=3)
    assert np.abs(rows['observation'][3] - rows['next_observation'][2]).max() > 10
