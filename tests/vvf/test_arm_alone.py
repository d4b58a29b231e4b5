# SPDX-License-Identifier: Apache-2.0
"""One arm behind its gate, without ROS: faults, what it holds, ways home and to sleep."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vvf.arm_table import DT, UP, Table, smooth
from tests.vvf.motors import LIMITS
from vvf.safety import Mode, Reason


def test_before_the_first_reading_it_waits_and_refuses() -> None:
    table = Table()
    motors = table.motors[0]
    motors.heard = False
    table.tick(5)
    assert table.mode is Mode.WAITING
    assert not motors.commands
    assert table.play() is Reason.WAITING
    assert 'no joint state' in table.team.reason(table.now)
    motors.heard = True
    table.tick()
    assert table.mode is Mode.HOLDING
    np.testing.assert_allclose(motors.commands[-1].position, LIMITS.home)


def test_an_old_first_reading_is_none() -> None:
    table = Table()
    table.motors[0].stamp, table.motors[0].silent = table.now - 5.0, True
    table.tick()
    assert table.mode is Mode.WAITING


def test_a_fault_stops_commands_and_the_arm_goes_on_from_where_it_is_found() -> None:
    table = Table()
    motors = table.motors[0]
    table.tick()
    assert table.play() is None
    table.tick(3)
    assert table.mode is Mode.RUNNING
    motors.trouble = 'elbow is limp'
    sent = len(motors.commands)
    table.tick(3)
    assert (table.mode, len(motors.commands)) == (Mode.FAULT, sent)
    assert table.team.reason(table.now) == 'elbow is limp'
    assert table.play() is Reason.FAULT
    fallen = LIMITS.home + 0.5
    motors.position = fallen
    motors.trouble = ''
    table.tick(3)
    assert table.mode is Mode.HOLDING
    for command in motors.commands[sent:]:
        np.testing.assert_allclose(command.position, fallen)
    assert table.play() is None
    table.tick(5)
    assert table.mode is Mode.RUNNING
    smooth(motors.commands[sent:])


def test_an_arm_that_does_not_follow_is_a_fault_until_a_human_has_looked() -> None:
    table = Table()
    motors = table.motors[0]
    table.tick()
    motors.stuck = True
    table.team.move_home()
    motors.position = LIMITS.home + np.array([0, 0, 0.5, 0, 0, 0])  # somebody pushed it
    table.tick(20)
    assert table.mode is not Mode.FAULT, 'a moment is not long enough'
    table.tick(20)
    assert table.mode is Mode.FAULT
    assert table.team.fault.startswith('elbow does not follow')
    motors.stuck = False
    table.tick(50)
    assert table.mode is Mode.FAULT
    table.team.recover()
    table.tick()
    assert (table.mode, motors.recoveries) == (Mode.HOLDING, 1)
    np.testing.assert_allclose(motors.commands[-1].position[2], LIMITS.home[2] + 0.5)


def test_a_dry_run_holds_the_arm_and_does_not_take_that_for_a_fault() -> None:
    table = Table(dry_run=True)
    table.tick()
    for _ in range(20):
        assert table.play() is None
        table.tick(10)
    assert table.mode is Mode.RUNNING
    for command in table.motors[0].commands:
        np.testing.assert_array_equal(command.position, LIMITS.home)


@pytest.mark.parametrize('simulated', [False, True])
def test_a_dry_run_lets_no_driver_move_real_motors(simulated: bool) -> None:
    table = Table(dry_run=True)
    motors = table.motors[0]
    motors.said, motors.simulated = 'home, by the vendor', simulated
    table.tick()
    assert table.team.prepare() == (motors.said if simulated else None)
    assert motors.preparations == int(simulated)


def test_a_gripper_that_an_action_does_not_name_stays_as_it_was_told() -> None:
    table = Table()
    motors = table.motors[0]
    table.tick()
    assert table.team.openings == [pytest.approx(0.23, abs=0.01)], 'as it was found'
    assert table.play(UP * [1, 1, 1, 1, 1, 1, 0]) is None
    table.tick(20)
    motors.trouble = 'limp'
    table.tick()
    motors.trouble, motors.gripper = '', 0.035  # as wide as what it holds
    table.tick()
    assert table.mode is Mode.HOLDING
    assert table.team.openings == [0.0]
    table.team.move_home(opens=True)
    table.until(lambda: table.mode is Mode.HOLDING)
    assert table.team.openings == [1.0]


def test_a_joint_far_beyond_its_limits_is_a_fault() -> None:
    table = Table()
    motors = table.motors[0]
    motors.position = LIMITS.home + np.array([0, 0, 0, 0, 2.0, 0])
    table.tick(2)
    assert table.mode is Mode.FAULT
    assert table.team.fault.startswith('wrist_angle stands at 3.40 rad')
    motors.position = LIMITS.home
    table.tick(2)
    assert table.mode is Mode.HOLDING


@pytest.mark.parametrize('dry_run', [False, True])
def test_a_joint_a_little_beyond_its_limits_is_held_there_and_led_back(dry_run: bool) -> None:
    table = Table(dry_run=dry_run)
    motors = table.motors[0]
    found = motors.position = LIMITS.sleep.copy()
    found[1] = LIMITS.lower[1] - 0.09
    table.tick(3)
    assert table.mode is Mode.HOLDING
    table.team.move_home()
    table.until(lambda: table.mode is Mode.HOLDING)
    np.testing.assert_array_equal(motors.commands[0].position, found)
    np.testing.assert_allclose(motors.position, found if dry_run else LIMITS.home, atol=1e-3)
    smooth(motors.commands)


def test_it_moves_home_smoothly_and_opens_on_the_way() -> None:
    table = Table()
    motors = table.motors[0]
    motors.position = LIMITS.sleep.copy()
    table.tick()
    assert table.team.prepare() is None, 'this driver leaves it to us'
    table.team.move_home(opens=True)
    table.tick()
    assert table.play() is Reason.MOVING
    table.until(lambda: table.mode is Mode.HOLDING)
    np.testing.assert_allclose(motors.position, LIMITS.home, atol=1e-3)
    assert motors.gripper == pytest.approx(LIMITS.gripper_upper)
    smooth(motors.commands)
    q = np.array([c.position for c in motors.commands])
    assert np.abs(np.diff(q, axis=0) / DT).max() <= LIMITS.park_velocity + 1e-6


def test_on_the_way_it_waits_for_joint_states() -> None:
    table = Table()
    motors = table.motors[0]
    motors.position = LIMITS.sleep.copy()
    table.tick()
    table.team.move_home()
    table.tick(20)
    motors.silent = True
    table.tick(30)
    held = motors.commands[-1].position
    table.tick(30)
    np.testing.assert_array_equal(motors.commands[-1].position, held)
    assert np.abs(held - LIMITS.home).max() > 0.1
    assert 'no new joint state' in table.team.reason(table.now)
    motors.silent = False
    table.until(lambda: table.mode is Mode.HOLDING)
    np.testing.assert_allclose(motors.position, LIMITS.home, atol=1e-3)
    smooth(motors.commands)


def test_it_parks_from_the_middle_of_a_motion_and_may_then_be_left() -> None:
    table = Table()
    table.tick()
    table.play()
    table.tick(5)
    table.team.park()
    assert not table.team.at_rest
    table.until(lambda: table.team.at_rest)
    np.testing.assert_allclose(table.motors[0].position, LIMITS.sleep, atol=2e-3)
    smooth(table.motors[0].commands)


def test_parking_takes_no_longer_than_is_said() -> None:
    table = Table()
    table.motors[0].position = np.where(
        LIMITS.upper - LIMITS.sleep > LIMITS.sleep - LIMITS.lower, LIMITS.upper, LIMITS.lower
    )
    table.tick()
    table.team.park()
    table.until(lambda: table.team.at_rest, LIMITS.park_time_s)


def test_a_stop_is_left_to_itself_once_it_stands() -> None:
    table = Table()
    table.tick()
    table.play(UP * 1.6)
    table.tick(5)
    table.team.emergency_stop()
    assert not table.team.at_rest, 'it brakes yet'
    table.until(lambda: table.team.at_rest, 1.0)
    table.team.reset()
    table.tick()
    assert table.mode is Mode.HOLDING
    smooth(table.motors[0].commands)
