# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from vvf_sim.controllers import CartesianTarget, JointRamp
from vvf_sim.robots.arm import Workspace, arm_model
from vvf_sim.robots.widowx import FINGER_RANGE, JOINT_LOWER, JOINT_UPPER, VELOCITY_LIMITS, WX250S
from vvf_sim.rotations import rotation_exp

OVER_TABLE = np.array([0.0, -0.6, 0.7, 0.0, 1.4, 0.0, FINGER_RANGE[1]])


@pytest.fixture
def target():
    result = CartesianTarget()
    result.reset(OVER_TABLE)
    return result


def test_displacements_add_to_the_commanded_pose(target):
    before = target.pose
    for _ in range(3):
        joints = target.apply([0.01, -0.02, 0.005, 0.0, 0.0, 0.1, 1.0])
    moved = WX250S.kinematics().forward(joints[:6])
    np.testing.assert_allclose(moved[:3, 3] - before[:3, 3], [0.03, -0.06, 0.015], atol=1e-5)
    turned = rotation_exp(np.array([0.0, 0.0, 0.3])) @ before[:3, :3]
    np.testing.assert_allclose(moved[:3, :3], turned, atol=1e-4)


def test_gripper_opens_above_one_half(target):
    assert target.apply([0, 0, 0, 0, 0, 0, 0.2])[6] == FINGER_RANGE[0]
    assert target.opening == 0.0
    assert target.apply([0, 0, 0, 0, 0, 0, 0.8])[6] == FINGER_RANGE[1]
    assert target.opening == 1.0


def test_commands_stay_in_the_workspace_and_within_limits(target):
    for _ in range(40):
        joints = target.apply([0.05, 0.05, -0.05, 0.0, 0.0, 0.0, 1.0])
        assert (joints[:6] >= JOINT_LOWER).all()
        assert (joints[:6] <= JOINT_UPPER).all()
    box = WX250S.workspace
    position = target.pose[:3, 3]
    assert (position <= np.array(box.high) + 0.01).all()
    assert (position >= np.array(box.low) - 0.01).all()


def test_an_unreachable_command_does_not_run_away(target):
    far = Workspace((-2.0, -2.0, -2.0), (2.0, 2.0, 2.0))
    for _ in range(40):
        target.apply([0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], far)
    reached = target.pose[:3, 3]
    np.testing.assert_allclose(
        reached, WX250S.kinematics().forward(target.joints[:6])[:3, 3], atol=6e-3
    )
    back = target.apply([-0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], far)
    assert WX250S.kinematics().forward(back[:6])[0, 3] < reached[0] - 0.02


@pytest.mark.parametrize('bad', [[np.nan] * 7, [np.inf, 0, 0, 0, 0, 0, 0], [0.0] * 6])
def test_a_bad_action_changes_nothing(target, bad):
    before = target.joints
    with pytest.raises(ValueError, match='7 finite'):
        target.apply(bad)
    np.testing.assert_array_equal(target.joints, before)


def test_ramp_is_straight_and_ends_at_the_goal():
    goal = OVER_TABLE + 0.1
    ramp = JointRamp(OVER_TABLE, goal, 0.14, VELOCITY_LIMITS)
    np.testing.assert_array_equal(ramp.at(-1.0), OVER_TABLE)
    np.testing.assert_allclose(ramp.at(0.07), OVER_TABLE + 0.05)
    np.testing.assert_allclose(ramp.at(9.0), goal)
    assert ramp.done(0.14)
    assert not ramp.done(0.13)


def test_ramp_never_exceeds_the_velocity_limits():
    goal = OVER_TABLE.copy()
    goal[3] += 2.0
    ramp = JointRamp(OVER_TABLE, goal, 0.14, VELOCITY_LIMITS)
    assert ramp.duration == pytest.approx(2.0 / np.pi)
    speed = (ramp.at(0.2) - ramp.at(0.1)) / 0.1
    assert np.abs(speed).max() == pytest.approx(np.pi)


@pytest.mark.parametrize('name', ['fer', 'fr3'])
def test_an_arm_of_seven_joints_moves_by_the_same_actions(name):
    arm = arm_model(name)
    target = CartesianTarget(arm)
    assert target.joints.shape == (8,)
    before = target.pose
    for _ in range(3):
        joints = target.apply([0.01, -0.02, 0.005, 0.0, 0.0, 0.1, 0.0])
    moved = arm.kinematics().forward(joints[:-1])
    np.testing.assert_allclose(moved[:3, 3] - before[:3, 3], [0.03, -0.06, 0.015], atol=1e-5)
    turned = rotation_exp(np.array([0.0, 0.0, 0.3])) @ before[:3, :3]
    np.testing.assert_allclose(moved[:3, :3], turned, atol=1e-4)
    assert joints[-1] == arm.finger_range[0]
    assert target.opening == 0.0
    with pytest.raises(ValueError, match='8 finite'):
        target.reset(np.zeros(7))
    ramp = JointRamp(np.append(arm.home, 0.04), np.append(arm.home, 0.0), 0.1, arm.velocity_limits)
    assert ramp.duration == pytest.approx(0.04 / arm.velocity_limits[-1])
