# SPDX-License-Identifier: Apache-2.0
"""Meta-World lives in an environment of its own; in the project's, one is told how to make it."""

import importlib.util
import sys

import gymnasium as gym
import numpy as np
import pytest

from vvf_sim.errors import UserError
from vvf_sim.worlds.metaworld import CAMERAS, SawyerWindowEnv


def test_without_metaworld_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'metaworld', None)
    with pytest.raises(UserError, match=r'run `python3 -m venv .*requirements.txt`'):
        SawyerWindowEnv()


def test_it_is_gymnasiums_too():
    assert gym.spec('vvf/SawyerWindowOpen-v0').max_episode_steps == 200


if importlib.util.find_spec('metaworld') is not None:

    @pytest.fixture(scope='module')
    def env():
        result = SawyerWindowEnv()
        yield result
        result.close()

    def test_the_expert_opens_the_window(env):
        from gymnasium.utils.env_checker import check_env

        check_env(env, skip_render_check=True)
        env.reset(seed=50_003)
        assert any(env.advance(env.expert_action()) for _ in range(200))

    def test_views_leave_out_the_robot_or_the_opening(env):
        first, _ = env.reset(seed=1)
        for _ in range(200):
            if env.advance(env.expert_action()):
                break
        pictures = {view: env.images(view) for view in ('', '_bare', '_shut')}
        for camera in CAMERAS:
            full = pictures[''][camera].astype(int)
            assert (np.abs(full - pictures['_bare'][f'{camera}_bare']) > 20).any()
            assert (np.abs(full - pictures['_shut'][f'{camera}_shut']) > 20).any()
            assert (first[camera] != pictures[''][camera]).any()
        again, _ = env.reset(seed=1)
        for camera in CAMERAS:
            np.testing.assert_array_equal(first[camera], again[camera])
