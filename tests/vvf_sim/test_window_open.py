# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.window_open import WindowOpenExpert
from vvf_sim.robots.arm import ARMS
from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.window_open import CAUGHT, WindowOpenConfig, WindowOpenWorld

SMALL = WindowOpenConfig(image_size=16)
ERRORS = [m for m in WindowOpenExpert.MISTAKES if m != 'timeout']


def collect(seed, expert=None, **entries):
    return collect_episode('window_open', seed, replace(SMALL, **entries), expert)


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


@pytest.mark.parametrize('arm', ARMS)
@pytest.mark.parametrize('side', ['left', 'right'])
def test_every_arm_slides_it_open(arm, side):
    for seed in (0, 5):
        episode = collect(seed, arm=arm, side=side)
        assert episode.success
        assert list(episode.event_names) == ['handle_reached', 'half_open', 'success']
        assert (np.diff(episode.event_indices) >= 0).all()
        assert episode.success_index < 20


@pytest.mark.parametrize('mistake', ERRORS)
@pytest.mark.parametrize('arm', ['wx250s', 'fr3'])
def test_a_designed_mistake_is_its_own_error(mistake, arm):
    # Of the two the fingers pass over the handle once, and once before it.
    for seed in (5, 6):
        episode = collect(seed, ExpertConfig().with_mistake(mistake), arm=arm)
        assert not episode.success
        assert episode.failure_kind == mistake
        kinds = dict(zip(episode.event_names, episode.event_kinds, strict=True))
        assert kinds[mistake] == 'error'


@pytest.mark.parametrize('mistake', ERRORS)
def test_a_mistake_that_is_noticed_is_made_good(mistake):
    expert = replace(ExpertConfig().with_mistake(mistake), recovery_probability=1.0)
    episode = collect(6, expert)
    assert episode.success
    names = list(episode.event_names)
    assert names.index(mistake) < names.index('success')


@pytest.mark.parametrize('mistake', ERRORS)
def test_a_person_can_take_over_from_where_things_stand(mistake):
    expert = ExpertConfig().with_mistake(mistake)
    episode = collect_episode('window_open', 4, SMALL, expert, patience=3)
    assert episode.success
    assert episode.interventions.any()


def test_who_never_touches_it_runs_out_of_time():
    episode = collect(2, ExpertConfig().with_mistake('timeout'))
    assert (episode.failure_kind, len(episode.event_names)) == ('timeout', 0)


def test_noise_alone_is_overcome():
    expert = replace(ExpertConfig.from_noise(1.0), mistake_probability=0.0)
    assert all(collect(seed, expert).success for seed in range(3))


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


def test_other_looks_leave_the_scene_where_it_was(world):
    plain = world.window
    other = WindowOpenWorld(replace(SMALL, axes=('objects', 'distractors')))
    other.reset(3)
    changed = other.window
    other.close()
    assert (changed.xy, changed.yaw, changed.width) == (plain.xy, plain.yaw, plain.width)
    assert changed.looks == plain.looks
    assert changed.frame_colour != plain.frame_colour
    assert (len(changed.others), len(plain.others)) == (3, 0)


@pytest.mark.parametrize('entries', [{'side': 'up'}, {'n_distractors': 0}])
def test_bad_entries_are_refused(entries):
    with pytest.raises(UserError):
        WindowOpenConfig(**entries)
