# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.controllers import CartesianTarget
from vvf_sim.experts.box_assembly import BoxAssemblyExpert
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.worlds.box_assembly import BoxAssemblyConfig, BoxAssemblyWorld

ERROR_OF = {
    'wrong_order': 'wrong_order',
    'missed_flap': 'flap_missed',
    'early_release': 'flap_sprang_open',
    'push': 'box_pushed',
}


def episode(seed, expert=None, arm='wx250s', **options):
    config = BoxAssemblyConfig(arm=arm, image_size=16, **options)
    return collect_episode('box_assembly', seed, config, expert)


def errors(done):
    return [n for n, k in zip(done.event_names, done.event_kinds, strict=True) if k == 'error']


@pytest.mark.parametrize('arm', ['wx250s', 'fer', 'fr3'])
def test_a_clean_expert_closes_the_box_and_all_comes_once_and_in_order(arm):
    for seed in range(2):
        done = episode(seed, arm=arm)
        assert done.success, (seed, list(done.event_names))
        assert list(done.event_names) == ['flap_closed'] * 4 + ['box_closed', 'success']
        assert (np.diff(done.event_indices) >= 0).all()
        assert done.success_index < 60
        assert errors(done) == []


def test_a_clean_fold_leaves_the_carton_where_it_is():
    world = BoxAssemblyWorld(BoxAssemblyConfig(image_size=16))
    world.reset(4)
    arm = CartesianTarget(world.arm_model)
    arm.reset(world.start_joints)
    expert = BoxAssemblyExpert(world, [arm])
    while not expert.finished:
        joints = arm.apply(expert.act()[0])
        for _ in range(10):
            world.step_physics(joints)
    assert world.success()
    middle, _ = world.carton_pose()
    np.testing.assert_allclose(middle[:2], world.layout.carton.xy, atol=0.003)
    world.reset(4)
    assert world.events == []
    assert world.closed == (False,) * 4
    np.testing.assert_allclose(world.angles, world.layout.carton.angles, atol=0.04)
    world.close()


@pytest.mark.parametrize(('seed', 'arm'), [(0, 'wx250s'), (1, 'fr3')])
@pytest.mark.parametrize('mistake', BoxAssemblyExpert.MISTAKES)
def test_a_designed_mistake_fails_in_its_own_way(mistake, seed, arm):
    done = episode(seed, ExpertConfig().with_mistake(mistake), arm)
    assert not done.success
    assert done.mistake == mistake
    assert done.failure_kind == mistake
    if mistake in ERROR_OF:
        assert ERROR_OF[mistake] in errors(done)
    else:
        assert errors(done) == []


@pytest.mark.parametrize(('seed', 'arm'), [(0, 'wx250s'), (1, 'fr3')])
@pytest.mark.parametrize('mistake', ERROR_OF)
def test_mistakes_are_made_good(mistake, seed, arm):
    expert = replace(ExpertConfig().with_mistake(mistake), recovery_probability=1.0)
    done = episode(seed, expert, arm)
    assert ERROR_OF[mistake] in errors(done)
    assert done.success, list(done.event_names)


def test_a_flap_closed_too_early_is_opened_by_the_fingers():
    expert = replace(ExpertConfig().with_mistake('wrong_order'), recovery_probability=1.0)
    names = list(episode(0, expert).event_names)
    assert names.index('wrong_order') < names.index('flap_opened') < names.index('success')


def test_equal_seeds_give_equal_episodes():
    expert = ExpertConfig.from_noise(0.5)
    first, again = episode(6, expert), episode(6, expert)
    np.testing.assert_array_equal(first.executed_action, again.executed_action)
    np.testing.assert_array_equal(first.images['wrist'], again.images['wrist'])
    assert list(first.event_names) == list(again.event_names)


def test_things_beside_the_carton_do_not_hinder():
    assert episode(5, axes=('distractors', 'objects')).success


def test_accidents_leave_flaps_half_bent_and_the_labels_lead_back():
    """Without them no demonstration shows a flap half bent and no finger at it."""
    half_bent = {0.0: 0, 1.0: 0}
    for probability in half_bent:
        expert = replace(ExpertConfig(), accident_probability=probability)
        for seed in range(3):
            done = episode(seed, expert)
            assert done.success, (seed, list(done.event_names))
            astray = np.abs(done.executed_action - done.action).max(1) > 0
            assert astray.any() == (probability > 0)
            assert np.abs(done.action[:, :3]).max() < 0.046
            # Strokes are so short that a flap is let go of where it springs open.
            half_bent[probability] += errors(done).count('flap_sprang_open')
            half_bent[probability] += errors(done).count('flap_missed')
    assert half_bent[0.0] == 0
    assert half_bent[1.0] > 0
