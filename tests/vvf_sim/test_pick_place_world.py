# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.controllers import CartesianTarget
from vvf_sim.experts.pick_place import PickPlaceExpert
from vvf_sim.worlds.layout import PickPlaceConfig
from vvf_sim.worlds.objects import CONTAINERS, OBJECTS
from vvf_sim.worlds.pick_place import PickPlaceWorld


@pytest.fixture
def world():
    result = PickPlaceWorld()
    yield result
    result.close()


def drive(world, steps):
    """Move by the expert without any environment, as a real-time loop would."""
    arm = CartesianTarget()
    arm.reset(world.start_joints)
    expert = PickPlaceExpert(world, [arm])
    for _ in range(steps):
        joints = arm.apply(expert.act()[0])
        for _ in range(10):
            world.step_physics(joints, 5)


def test_the_arm_starts_where_it_is_commanded(world):
    world.reset(3)
    np.testing.assert_allclose(world.joints(), world.start_joints, atol=2e-3)
    assert world.time == 0.0
    assert not world.success()
    assert world.failure_kind() == 'timeout'
    assert world.held == -1


def test_state_is_joints_and_tip(world):
    world.reset(3)
    state = world.state()
    assert state.shape == (16,)
    assert state.dtype == np.float32
    np.testing.assert_allclose(state[:7], world.joints(), atol=1e-6)
    tip = world.arms[0].kinematics.forward(world.joints()[:6])
    np.testing.assert_allclose(state[7:10], tip[:3, 3], atol=1e-6)
    np.testing.assert_allclose(state[10:13], [0.0, 0.0, -1.0], atol=0.02)


def test_grasping_is_by_contact_and_leaves_a_trace_of_events(world):
    world.reset(1)
    assert world.model.neq == 1, 'only the two fingers are coupled'
    drive(world, 34)
    names = [event.name for event in world.events]
    assert names[:2] == ['grasped', 'lifted']
    assert 'placed' in names
    assert names[-1] == 'success'
    times = [event.time for event in world.events]
    assert times == sorted(times)
    assert world.success()
    assert world.failure_kind() == ''


def test_joint_targets_are_clipped_to_the_limits(world):
    world.reset(0)
    for _ in range(150):
        world.step_physics([0.0, -1.0, -9.0, 0.0, 0.5, 0.0, 9.0])
    assert world.joints()[2] > -2.2
    assert world.joints()[6] == pytest.approx(0.037, abs=1e-3)


@pytest.mark.parametrize('bad', [[np.nan] * 7, [0.0] * 6])
def test_bad_joint_targets_are_refused(world, bad):
    world.reset(0)
    with pytest.raises(ValueError, match='7 finite'):
        world.step_physics(bad)


@pytest.mark.parametrize('container', CONTAINERS)
def test_every_container_takes_objects_and_every_object_is_taken(container):
    number = list(CONTAINERS).index(container)
    # Each container sees other objects, so that together they see all of them.
    kinds = list(OBJECTS)[number :: len(CONTAINERS)]
    for seed, kind in enumerate(kinds, 100):
        config = PickPlaceConfig(
            targets=(kind,), containers=(container,), n_distractors=0, image_size=16
        )
        episode = collect_episode('pick_place', seed, config)
        assert episode.success, (kind, episode.failure_kind)


def test_reset_after_use_equals_a_fresh_world(world):
    world.reset(4)
    drive(world, 5)
    world.reset(7)
    other = PickPlaceWorld()
    other.reset(7)
    np.testing.assert_array_equal(world.data.qpos, other.data.qpos)
    for camera, image in world.images().items():
        np.testing.assert_array_equal(image, other.images()[camera])
    other.close()
