# SPDX-License-Identifier: Apache-2.0

import pytest

from vvf_sim.errors import UserError
from vvf_sim.worlds.open_microwave import AJAR, OPEN, OpenMicrowaveConfig, OpenMicrowaveWorld

SMALL = OpenMicrowaveConfig(image_size=16)


@pytest.fixture
def world():
    result = OpenMicrowaveWorld(SMALL)
    result.reset(3)
    yield result
    result.close()


def put(world, angle, speed=0.0):
    joint = world.model.joint('door')
    world.data.qpos[joint.qposadr[0]], world.data.qvel[joint.dofadr[0]] = angle, speed


def wait(world, ticks):
    for _ in range(ticks):
        world.step_physics(world.start_joints)


@pytest.mark.parametrize(
    ('angle', 'open_'), [(0.0, False), (0.5, False), (1.0, False), (1.2, True)]
)
def test_success_is_a_wide_open_door(world, angle, open_):
    put(world, angle)
    wait(world, 2)
    assert world.success() is open_
    assert world.happened('success') is open_
    assert (world.failure_kind() == '') is open_


def test_a_door_in_full_swing_is_no_success_yet(world):
    put(world, OPEN + 0.05, 3.0)
    assert not world.success()


def test_the_latch_holds_an_almost_shut_door_and_lets_go_of_one_ajar(world):
    put(world, 0.05)
    wait(world, 30)
    assert world.angle < 0.01
    put(world, AJAR + 0.05)
    wait(world, 30)
    assert world.angle == pytest.approx(AJAR + 0.05, abs=0.02)
    assert [event.name for event in world.events] == ['ajar']


def test_a_door_that_falls_shut_is_noticed_once(world):
    for angle in (0.5, 0.02):
        put(world, angle)
        wait(world, 5)
    assert [event.name for event in world.events] == ['ajar', 'door_shut_again']
    assert world.failure_kind() == 'door_shut_again'


def test_a_reset_leaves_nothing_of_the_last_episode(world):
    put(world, 1.3)
    wait(world, 3)
    world.reset(3)
    assert (world.events, world.failure_kind(), world.success()) == ([], 'timeout', False)
    assert world.angle == pytest.approx(0.0, abs=5e-3)


@pytest.mark.parametrize('entries', [{'hinge': 'top'}, {'n_distractors': 9}])
def test_bad_entries_are_refused(entries):
    with pytest.raises(UserError):
        OpenMicrowaveConfig(**entries)
