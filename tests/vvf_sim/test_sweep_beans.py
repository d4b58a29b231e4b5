# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.sweep_beans import SweepBeansExpert
from vvf_sim.mj import mujoco
from vvf_sim.worlds.sweep_beans import SweepBeansConfig, SweepBeansWorld

SMALL = SweepBeansConfig(image_size=16)


@pytest.fixture
def world():
    result = SweepBeansWorld(SMALL)
    yield result
    result.close()


def put(world, index, xyz):
    """Put a bean somewhere, at rest."""
    joint = world.model.body(f'bean_{index}').jntadr[0]
    at, speeds = world.model.jnt_qposadr[joint], world.model.jnt_dofadr[joint]
    world.data.qpos[at : at + 3] = xyz
    world.data.qvel[speeds : speeds + 6] = 0.0
    mujoco.mj_forward(world.model, world.data)


def put_in_pan(world, count):
    """Put the first beans in rows into the dustpan."""
    yaw = world.layout.pan_yaw
    along, across = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    for index in range(count):
        row, column = divmod(index, 5)
        place = world.layout.pan_xy + (0.02 + 0.02 * row) * along + 0.03 * (column - 2) * across
        put(world, index, (*place, 0.012))


def wait(world, ticks=25):
    for _ in range(ticks):
        world.step_physics(world.start_joints)


def names(episode):
    return [str(name) for name in episode.event_names]


def test_equal_seeds_are_equal_to_the_bit():
    first, again = (collect_episode('sweep_beans', 5, SMALL, max_steps=12) for _ in range(2))
    np.testing.assert_array_equal(first.state, again.state)
    np.testing.assert_array_equal(first.event_names, again.event_names)
    for camera, frames in first.images.items():
        np.testing.assert_array_equal(frames, again.images[camera])


@pytest.mark.parametrize('arm', ['wx250s', 'fr3', 'fer'])
def test_the_expert_sweeps_the_beans_into_the_dustpan(arm):
    for seed in (1, 2):
        episode = collect_episode('sweep_beans', seed, replace(SMALL, arm=arm))
        assert episode.success
        assert names(episode)[:3] == ['tool_grasped', 'half_swept', 'success']


@pytest.mark.parametrize('mistake', SweepBeansExpert.MISTAKES)
def test_a_designed_mistake_leads_to_its_own_error(mistake):
    expert = ExpertConfig().with_mistake(mistake)
    event = 'closed_empty' if mistake == 'missed_grasp' else mistake
    for seed in range(2):
        episode = collect_episode('sweep_beans', seed, SMALL, expert)
        assert not episode.success
        assert episode.failure_kind == mistake
        kinds = dict(zip(names(episode), episode.event_kinds, strict=True))
        assert kinds[event] == 'error'


@pytest.mark.parametrize('mistake', ['missed_grasp', 'tool_dropped'])
def test_what_went_wrong_can_be_made_good(mistake):
    expert = replace(ExpertConfig().with_mistake(mistake), recovery_probability=1.0)
    done = [collect_episode('sweep_beans', seed, SMALL, expert) for seed in range(3)]
    assert sum(episode.success for episode in done) >= 2
    for episode in done:
        assert 'closed_empty' in names(episode) or 'tool_dropped' in names(episode)


def test_beans_come_to_rest_and_stay(world):
    world.reset(3)
    before = world.bean_places()
    wait(world, 50)
    assert np.abs(world.bean_places() - before).max() < 1e-3
    assert not world.success()
    assert not world.events
    assert world.failure_kind() == 'timeout'


def test_success_needs_enough_beans_at_rest(world):
    world.reset(3)
    put_in_pan(world, world.enough - 1)
    wait(world)
    assert world.in_pan().sum() == world.enough - 1
    assert [event.name for event in world.events] == ['half_swept']
    assert not world.success()
    put_in_pan(world, world.enough)
    world.step_physics(world.start_joints)
    assert not world.success(), 'they have hardly landed'
    wait(world)
    assert world.success()
    assert [event.name for event in world.events] == ['half_swept', 'success']
    assert world.failure_kind() == ''


def test_a_bean_off_the_mat_is_lost_once_and_too_many_are_a_failure(world):
    world.reset(3)
    lost = len(world.bean_places()) - world.enough + 1
    for index in range(lost):
        put(world, index, (0.16 + 0.03 * index, -0.3 * np.sin(world.layout.pan_yaw), 0.007))
    wait(world)
    assert [event.name for event in world.events] == ['beans_lost'] * lost
    assert len({event.kind for event in world.events}) == lost
    assert world.lost().sum() == lost
    assert world.failure_kind() == 'beans_lost'


def test_reset_after_use_equals_a_fresh_world(world):
    world.reset(4)
    put_in_pan(world, 8)
    wait(world, 5)
    world.reset(7)
    other = SweepBeansWorld(SMALL)
    other.reset(7)
    np.testing.assert_array_equal(world.data.qpos, other.data.qpos)
    assert world.events == []


@pytest.mark.parametrize('axis', ['distractors', 'objects'])
def test_an_axis_changes_what_is_seen_and_not_where_the_beans_lie(world, axis):
    world.reset(2)
    plain = world.images()['shoulder'], world.layout.beans
    changed = SweepBeansWorld(replace(SMALL, axes=(axis,)))
    changed.reset(2)
    assert (changed.images()['shoulder'] != plain[0]).any()
    np.testing.assert_array_equal(changed.layout.beans, plain[1])
    changed.close()


@pytest.mark.parametrize('wrong', [{'n_beans': (5, 40)}, {'share': 0.0}])
def test_silly_numbers_are_refused(wrong):
    with pytest.raises(UserError):
        SweepBeansConfig(**wrong)
