# SPDX-License-Identifier: Apache-2.0
"""What the WidowX driver knows without ROS: joints, motors' registers, a gripper's grip."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from vvf.drivers.widowx_gripper import GripperGuard
from vvf.drivers.widowx_joints import JointTranslator, check_robot
from vvf.drivers.widowx_motors import ERRORS, TORQUE, MotorHealth, explain
from vvf.pytest_environment import VENDORS
from vvf.safety_limits import load_limits

LIMITS = load_limits('wx250s')
NAMES = [*LIMITS.joint_names, 'gripper', 'left_finger', 'right_finger']
POSE = [0.1, -1.0, 1.2, 0.2, 0.8, -0.3, 0.6, 0.026, -0.026]
# Of the definitions in interbotix_ros_core, branch jazzy, as rosidl computes them: names, order and
# types of all fields.
HASHES = {
    'msg/JointGroupCommand': 'c43821d89bd439eeca1db1f2b48778277e465bde9daad1b0839077bcfbdb3e3b',
    'msg/JointSingleCommand': 'ed9575e22584aa1f25c9e13a546641d38066caa37454ced810f165d66d842e4d',
    'srv/OperatingModes': '006b1919361b253d5209ffd72af5bccde63077414cd486f5bf6c5d0c7d4fcfcf',
    'srv/Reboot': 'c892fd6da07e6769f6e5b5a702d0febd37da6c625f0a6c8931cc5d1804d42c2e',
    'srv/RegisterValues': '5c08210e4c4eed0f54076dc65f207c4167f8f21721d3cd4e55fe850c98df418d',
    'srv/RobotInfo': '6ec9c54cdd4045e906ae53d4ac3c6c086688da1c03b89309c390d68a49592972',
    'srv/TorqueEnable': 'a1f771ba053ecafffab1f663f68ad554f7daf86d83ce2a5c512a8905356a678b',
}


@pytest.mark.parametrize('name', HASHES)
def test_the_messages_of_the_stand_in_are_the_vendors(name: str) -> None:
    described = json.loads(
        (VENDORS / 'share' / 'interbotix_xs_msgs' / f'{name}.json').read_text('utf-8')
    )
    hashes = {entry['type_name']: entry['hash_string'] for entry in described['type_hashes']}
    assert hashes[f'interbotix_xs_msgs/{name}'] == f'RIHS01_{HASHES[name]}'


def test_joints_are_taken_by_name_in_our_order() -> None:
    order = [8, 3, 0, 7, 6, 1, 5, 2, 4]
    reading = JointTranslator(LIMITS).translate(
        [NAMES[i] for i in order], [POSE[i] for i in order], [float(i) for i in order], 12.5
    )
    assert not isinstance(reading, str)
    np.testing.assert_allclose(reading.position, POSE[:6])
    np.testing.assert_allclose(reading.velocity, range(6))
    assert (reading.gripper, reading.stamp) == (0.026, 12.5)


def test_a_sender_without_velocities_stands_still() -> None:
    reading = JointTranslator(LIMITS).translate(NAMES, POSE, [], 0.0)
    assert not isinstance(reading, str)
    np.testing.assert_array_equal(reading.velocity, np.zeros(6))


@pytest.mark.parametrize('angle', [-math.pi, math.nan, 1.6057 + 0.3])
def test_what_no_joint_can_be_is_no_pose(angle: float) -> None:
    said = JointTranslator(LIMITS).translate(NAMES, [*POSE[:2], angle, *POSE[3:]], [], 0.0)
    assert isinstance(said, str)
    assert 'do not answer' in said


def test_a_message_with_too_few_positions_is_no_pose() -> None:
    said = JointTranslator(LIMITS).translate(NAMES, POSE[:-1], [], 0.0)
    assert said == 'its joint states have 9 names and 8 positions'


def test_another_robot_is_told_by_its_limits() -> None:
    lower, upper = LIMITS.lower.copy(), LIMITS.upper.copy()
    assert not check_robot(LIMITS, LIMITS.joint_names, lower, upper)
    assert not check_robot(LIMITS, LIMITS.joint_names, [], [])
    upper[1] -= 0.2
    said = check_robot(LIMITS, LIMITS.joint_names, lower, upper)
    assert 'its shoulder ends at 1.790 rad' in said
    assert 'allows 1.990' in said


def test_bits_of_an_error_are_explained() -> None:
    assert explain(0x20) == ('overload', 'take away what it pushes against')
    assert explain(0x11)[0] == 'input voltage, electrical shock or too little power'
    assert explain(0x11)[1] == 'check the power supply'
    assert explain(0x40)[0] == 'error 0x40'


def test_one_lost_answer_is_none_and_two_are_a_fault() -> None:
    health = MotorHealth()
    health.saw(ERRORS, ['waist', 'shoulder'], [0])
    assert not health.problem()
    health.saw(ERRORS, ['waist', 'shoulder'], [0])
    assert 'motor shoulder does not answer' in health.problem()
    health.saw(ERRORS, ['waist', 'shoulder'], [0, 0])
    health.saw(TORQUE, ['waist', 'shoulder'], [1, 1])
    assert not health.problem()
    health.saw(ERRORS, ['waist', 'shoulder'], [4, 4])
    assert 'motor waist (and shoulder) is limp after an error (overheating)' in health.problem()


def close_on(guard: GripperGuard, stop: float, start: float = 0.03, seconds: float = 3.0) -> float:
    """Tell a gripper to close whose fingers an object stops; the last opening that was sent."""
    measured, sent = start, start
    for tick in range(int(50 * seconds)):
        sent = guard.command(0.015, measured, 0.02 * tick)
        measured = max(stop, measured - 0.044 * 0.02, sent)
    return sent


def test_a_gripper_that_is_stopped_squeezes_a_little() -> None:
    guard = GripperGuard()
    assert close_on(guard, stop=0.022) == pytest.approx(0.021)
    assert guard.holding
    assert guard.command(0.03, 0.022, 9.0) == 0.03
    assert not guard.holding


def test_a_gripper_closes_whole_where_nothing_is() -> None:
    guard = GripperGuard()
    assert close_on(guard, stop=0.0155) == 0.015
    assert not guard.holding


def test_a_gripper_that_is_told_to_stay_where_it_is_measured_keeps_its_grip() -> None:
    guard = GripperGuard()
    held = close_on(guard, stop=0.022)
    assert guard.command(0.022, 0.022, 4.0) == held, 'as after a stop'
    for measured in (0.0231, 0.0221):  # limp for a moment, then pressed again
        assert guard.command(0.0231, measured, 5.0) == held
    assert guard.command(0.0236, 0.0221, 6.0) == 0.0236, 'an opening that begins'


def test_a_gripper_that_somebody_opened_does_not_close_by_itself() -> None:
    guard = GripperGuard()
    close_on(guard, stop=0.022)
    assert guard.command(0.030, 0.030, 4.0) == 0.030


def test_an_object_that_slips_out_is_not_held_any_more() -> None:
    guard = GripperGuard()
    close_on(guard, stop=0.022)
    assert guard.command(0.015, 0.021, 4.0) == 0.015
    assert not guard.holding
