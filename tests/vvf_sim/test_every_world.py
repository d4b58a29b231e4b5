# SPDX-License-Identifier: Apache-2.0
"""What holds for every simulated task, with its default arm."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vvf_sim.errors import UserError
from vvf_sim.registry import TASKS
from vvf_sim.worlds.domain import AXES
from vvf_sim.worlds.env import TaskEnv

SMALL = {'image_size': 24}


@pytest.fixture(params=list(TASKS))
def env(request):
    entry = TASKS[request.param]
    result = gym.make(f'vvf_sim:{entry.env_id}', config=entry.make_config(**SMALL))
    yield result
    result.close()


def rollout(env, seed, steps):
    rng = np.random.default_rng(0)
    trace = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        action = rng.uniform(env.action_space.low, env.action_space.high)
        trace.append(env.step(action.astype(np.float32))[0])
    return trace


def test_gymnasium_finds_nothing_to_complain_about(env, recwarn):
    check_env(env.unwrapped, skip_render_check=True)
    assert not [w for w in recwarn if 'env_checker' in str(w.filename)]


def test_a_seed_is_one_scene_and_no_other(env):
    first, again = rollout(env, 5, 2), rollout(env, 5, 2)
    for a, b in zip(first, again, strict=True):
        for key, value in a.items():
            np.testing.assert_array_equal(value, b[key])
    other = rollout(env, 6, 0)[0]
    assert any((first[0][key] != other[key]).any() for key in other)


def test_physics_that_fail_end_the_episode_as_an_error(env):
    plain = env.unwrapped
    env.reset(seed=1)
    plain.world.data.qvel[:] = 1e12
    observation, reward, terminated, _, info = env.step(np.zeros(env.action_space.shape, 'f4'))
    assert terminated
    assert reward == 0.0
    assert 'velocity' in info['error'] or 'position' in info['error']
    assert not info['success']
    assert plain.world.events[-1].name == 'physics_failed'
    assert env.observation_space.contains(observation)
    observation, info = env.reset(seed=1)
    assert 'error' not in info
    assert plain.world.events == []


def test_doing_nothing_is_no_success(env):
    env.reset(seed=2)
    action = np.zeros(env.action_space.shape, np.float32)
    action[6::7] = 1.0
    for _ in range(8):
        _, reward, terminated, _, info = env.step(action)
        assert reward == 0.0
        assert not terminated
        assert not info['success']
    kinds = [env.unwrapped.world.event_kind(event) for event in env.unwrapped.world.events]
    assert 'milestone' not in kinds
    assert env.unwrapped.world.failure_kind()
    assert env.unwrapped.world.instruction


@pytest.mark.parametrize('axis', AXES)
@pytest.mark.parametrize('task', list(TASKS))
def test_each_axis_is_seen_and_leaves_the_robot_alone(task, axis):
    entry = TASKS[task]
    plain = TaskEnv(task, entry.make_config(image_size=64))
    changed = TaskEnv(task, entry.make_config(image_size=64, axes=(axis,)))
    try:
        before, after = plain.reset(seed=4)[0], changed.reset(seed=4)[0]
        again = changed.reset(seed=4)[0]
    finally:
        plain.close()
        changed.close()
    cameras = plain.world.CAMERAS
    assert any((before[camera] != after[camera]).any() for camera in cameras)
    for camera in cameras:
        np.testing.assert_array_equal(after[camera], again[camera])
    np.testing.assert_allclose(before['state'], after['state'], atol=2e-3)


def test_unknown_names_are_one_sentence():
    with pytest.raises(UserError, match='there is no simulated task'):
        TaskEnv('sneeze')
    with pytest.raises(UserError, match='has no colours'):
        TASKS['pick_place'].make_config(colours=True)
    with pytest.raises(UserError, match='domain axis'):
        TASKS['pick_place'].make_config(axes=('weather',))
    with pytest.raises(UserError, match='arm'):
        TASKS['pick_place'].make_config(arm='ur5')
