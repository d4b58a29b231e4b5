# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from vvf_sim.errors import UserError
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


@pytest.mark.parametrize('wrong', [{'n_beans': (5, 40)}, {'share': 0.0}])
def test_silly_numbers_are_refused(wrong):
    with pytest.raises(UserError):
        SweepBeansConfig(**wrong)
