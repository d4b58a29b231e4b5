# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.errors import UserError
from vvf_sim.mj import mujoco
from vvf_sim.worlds.paper_towel import PaperTowelConfig, PaperTowelWorld
from vvf_sim.worlds.paper_towel_scene import BASE_HEIGHT

SMALL = PaperTowelConfig(image_size=16)


@pytest.fixture
def world():
    result = PaperTowelWorld(SMALL)
    yield result
    result.close()


def put(world, index, xyz, upright=True):
    """Put a roll somewhere, at rest; the arm stays over the table."""
    joint = world.model.body(f'roll_{index}').jntadr[0]
    at = world.model.jnt_qposadr[joint]
    quaternion = [1.0, 0.0, 0.0, 0.0] if upright else [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    world.data.qpos[at : at + 7] = [*xyz, *quaternion]
    speeds = world.model.jnt_dofadr[joint]
    world.data.qvel[speeds : speeds + 6] = 0.0
    mujoco.mj_forward(world.model, world.data)


def wait(world, ticks=25):
    for _ in range(ticks):
        world.step_physics(world.start_joints)


def names(episode):
    return [str(name) for name in episode.event_names]


def test_success_needs_both_rolls_around_the_peg(world):
    world.reset(3)
    wait(world)
    assert not world.success()
    assert world.failure_kind() == 'timeout'
    peg, height = world.layout.peg_xy, world.layout.rolls[0].height
    put(world, 0, (*peg, BASE_HEIGHT + height / 2))
    wait(world)
    assert world.on_peg(0)
    assert not world.success()
    put(world, 1, (*peg, BASE_HEIGHT + 1.5 * height + 0.001))
    wait(world)
    assert world.success()
    assert [event.name for event in world.events] == ['on_peg', 'on_peg', 'success']
    assert world.failure_kind() == ''


def test_a_roll_that_stands_beside_the_peg_is_not_on_it(world):
    world.reset(3)
    peg, height = world.layout.peg_xy, world.layout.rolls[0].height
    put(world, 0, (peg[0] + 0.07, peg[1], height / 2))
    wait(world)
    assert not world.around_peg(0)
    assert not world.events


def test_a_roll_that_falls_over_is_noticed_once(world):
    world.reset(3)
    place = world.roll_pose(0)[0][:2]
    put(world, 0, (*place, world.layout.rolls[0].radius + 0.001), upright=False)
    wait(world)
    assert [(event.name, event.kind) for event in world.events] == [('toppled', 'roll_0')]
    assert world.failure_kind() == 'toppled'


def test_reset_after_use_equals_a_fresh_world(world):
    world.reset(4)
    put(world, 0, (0.3, 0.0, 0.2))
    wait(world, 5)
    world.reset(7)
    other = PaperTowelWorld(SMALL)
    other.reset(7)
    np.testing.assert_array_equal(world.data.qpos, other.data.qpos)
    assert world.events == []


def test_rolls_can_lie(world):
    lying = PaperTowelWorld(replace(SMALL, lying=True))
    lying.reset(0)
    wait(lying)
    assert all(abs(lying.roll_pose(i)[1][2, 2]) < 0.1 for i in range(2))
    assert not lying.events


@pytest.mark.parametrize('arm', ['wx250s', 'fr3'])
def test_lying_rolls_are_turned_upright_on_the_way(arm):
    episode = collect_episode('paper_towel', 1, replace(SMALL, lying=True, arm=arm))
    assert episode.success
    assert 'toppled' not in names(episode)


def test_a_silly_number_of_rolls_is_refused():
    with pytest.raises(UserError, match='1 or 2'):
        PaperTowelConfig(n_rolls=3)
