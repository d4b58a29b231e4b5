# SPDX-License-Identifier: Apache-2.0
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vvf_sim.errors import UserError
from vvf_sim.experts.pick_place import PickPlaceExpert
from vvf_sim.worlds.env import TaskEnv


@pytest.fixture
def env():
    result = gym.make('vvf_sim:vvf/PickPlace-v0', render_mode='rgb_array')
    yield result
    result.close()


def rollout(env, seed, steps=6):
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=seed)
    trace = [observation]
    for _ in range(steps):
        action = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        trace.append(env.step(action)[0])
    return trace


def test_gymnasium_finds_nothing_to_complain_about(env, recwarn):
    check_env(env.unwrapped)
    assert not [w for w in recwarn if 'env_checker' in str(w.filename)]


def test_equal_seeds_are_equal_to_the_bit(env):
    for first, again in zip(rollout(env, 5), rollout(env, 5), strict=True):
        for key, value in first.items():
            np.testing.assert_array_equal(value, again[key])


def test_other_seeds_differ(env):
    a, b = rollout(env, 5, 0)[0], rollout(env, 6, 0)[0]
    assert (a['shoulder'] != b['shoulder']).any()


def test_success_is_rewarded_once_and_ends_the_episode(env):
    plain = env.unwrapped
    env.reset(seed=2)
    expert = PickPlaceExpert(plain.world, plain.targets)
    total = 0.0
    for _ in range(60):
        action = np.clip(expert.act()[0], env.action_space.low, env.action_space.high)
        _, reward, terminated, truncated, info = env.step(action.astype(np.float32))
        total += reward
        if terminated or truncated:
            break
    assert terminated
    assert info['success']
    assert total == 1.0


def test_the_limit_truncates(env):
    env.reset(seed=2)
    hold = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    for step in range(60):
        _, _, terminated, truncated, _ = env.step(hold)
        assert not terminated
        assert truncated == (step == 59)


@pytest.mark.parametrize(('rate', 'ticks'), [(5.0, 10), (10.0, 5)])
def test_control_rates(rate, ticks):
    env = TaskEnv(control_hz=rate)
    assert env.ticks == ticks
    env.reset(seed=0)
    *_, info = env.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    assert info['time'] == pytest.approx(1.0 / rate)
    env.close()


@pytest.mark.parametrize('options', [{'control_hz': 2.0}, {'latency_s': (0.3, 0.1)}])
def test_bad_options(options):
    with pytest.raises(UserError):
        TaskEnv(**options)


def test_a_nan_action_is_refused_and_nothing_moves(env):
    plain = env.unwrapped
    env.reset(seed=0)
    before = plain.world.time
    with pytest.raises(ValueError, match='7 finite'):
        plain.step(np.full(7, np.nan, np.float32))
    assert plain.world.time == before


def test_both_cameras_are_rendered_side_by_side(env):
    env.reset(seed=0)
    assert env.render().shape == (128, 256, 3)
