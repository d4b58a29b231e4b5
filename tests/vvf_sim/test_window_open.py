# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.errors import UserError
from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.window_open import CAUGHT, WindowOpenConfig, WindowOpenWorld

SMALL = WindowOpenConfig(image_size=16)


@pytest.fixture
def world():
    result = WindowOpenWorld(SMALL)
    result.reset(3)
    yield result
    result.close()


def put(world, part, speed=0.0):
    joint = world.model.joint('sash')
    world.data.qpos[joint.qposadr[0]] = part * world.window.travel
    world.data.qvel[joint.dofadr[0]] = speed


def wait(world, ticks):
    for _ in range(ticks):
        world.step_physics(world.start_joints)


@pytest.mark.parametrize(('part', 'open_'), [(0.0, False), (0.5, False), (0.7, False), (0.9, True)])
def test_success_is_an_open_window(world, part, open_):
    put(world, part)
    wait(world, 2)
    assert world.success() is open_
    assert world.happened('success') is open_


def test_a_sash_in_motion_is_no_success_yet(world):
    put(world, 0.85, 0.5)
    assert not world.success()


def test_the_sash_slides_back_until_it_has_clicked_in(world):
    put(world, 0.6)
    wait(world, 100)
    assert world.opened < 0.05 * world.window.travel
    assert [event.name for event in world.events] == ['half_open', 'slid_back']
    assert world.failure_kind() == 'slid_back'
    put(world, CAUGHT + 0.02)
    wait(world, 100)
    assert world.success()


def test_a_reset_leaves_nothing_of_the_last_episode(world):
    put(world, 0.95)
    wait(world, 3)
    world.reset(3)
    assert (world.events, world.failure_kind(), world.success()) == ([], 'timeout', False)
    assert world.opened == pytest.approx(0.0, abs=1e-3)


def test_two_fixed_cameras_see_the_window_move():
    env = TaskEnv('window_open', replace(SMALL, image_size=64, axes=('robot_invisible',)))
    env.reset(seed=1)
    shut = env.world.images()
    put(env.world, 0.9)
    wait(env.world, 1)
    opened = env.world.images()
    env.close()
    for camera in ('shoulder', 'side'):
        changed = np.abs(shut[camera].astype(int) - opened[camera]).max(axis=2) > 20
        assert changed.sum() > 60


@pytest.mark.parametrize('entries', [{'side': 'up'}, {'n_distractors': 0}])
def test_bad_entries_are_refused(entries):
    with pytest.raises(UserError):
        WindowOpenConfig(**entries)
