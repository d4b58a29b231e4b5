# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.open_microwave import OpenMicrowaveExpert
from vvf_sim.robots.arm import ARMS
from vvf_sim.worlds.open_microwave import AJAR, OPEN, OpenMicrowaveConfig, OpenMicrowaveWorld

SMALL = OpenMicrowaveConfig(image_size=16)
ERRORS = [m for m in OpenMicrowaveExpert.MISTAKES if m != 'timeout']


def collect(seed, expert=None, **entries):
    return collect_episode('open_microwave', seed, replace(SMALL, **entries), expert)


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


@pytest.mark.parametrize('arm', ARMS)
@pytest.mark.parametrize('hinge', ['left', 'right'])
def test_every_arm_pulls_it_ajar_and_swings_it_open(arm, hinge):
    for seed in (0, 1):
        episode = collect(seed, arm=arm, hinge=hinge)
        assert episode.success
        assert list(episode.event_names) == ['handle_grasped', 'ajar', 'success']
        assert (np.diff(episode.event_indices) >= 0).all()
        assert episode.success_index < 30


@pytest.mark.parametrize('mistake', ERRORS)
@pytest.mark.parametrize('arm', ['wx250s', 'fr3'])
def test_a_designed_mistake_is_its_own_error(mistake, arm):
    expert = ExpertConfig().with_mistake(mistake)
    episode = collect(5, expert, arm=arm)
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
    episode = collect_episode('open_microwave', 4, SMALL, expert, patience=3)
    assert episode.success
    assert episode.interventions.any()


def test_who_never_touches_it_runs_out_of_time():
    episode = collect(2, ExpertConfig().with_mistake('timeout'))
    assert (episode.failure_kind, len(episode.event_names)) == ('timeout', 0)


def test_noise_alone_is_overcome():
    expert = replace(ExpertConfig.from_noise(1.0), mistake_probability=0.0)
    assert all(collect(seed, expert).success for seed in range(3))


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


def test_other_looks_leave_the_scene_where_it_was(world):
    plain = world.microwave
    other = OpenMicrowaveWorld(replace(SMALL, axes=('objects', 'distractors')))
    other.reset(3)
    changed = other.microwave
    other.close()
    assert (changed.xy, changed.yaw, changed.size) == (plain.xy, plain.yaw, plain.size)
    assert changed.looks == plain.looks
    assert changed.body_colour != plain.body_colour
    assert (len(changed.others), len(plain.others)) == (3, 0)


@pytest.mark.parametrize('entries', [{'hinge': 'top'}, {'n_distractors': 9}])
def test_bad_entries_are_refused(entries):
    with pytest.raises(UserError):
        OpenMicrowaveConfig(**entries)
