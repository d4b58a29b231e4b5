# SPDX-License-Identifier: Apache-2.0
"""What is not known to be good never moves the arm."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import yaml

from vvf.errors import UserError
from vvf.paths import config_path
from vvf.safety import Command, MaxAges, Mode, Reason, RobotLimits, SafetyGate
from vvf.safety_limits import load_limits
from vvf_sim.robots.arm import arm_model

DT = 0.02
HOME = np.array([0.0, -0.6, 0.7, 0.0, 1.4, 0.0])


def limits() -> RobotLimits:
    data = yaml.safe_load(config_path('robots', 'wx250s.yaml').read_text())
    return RobotLimits.from_mapping(data)


def gate(**ages: float | None) -> SafetyGate:
    made = SafetyGate(limits(), MaxAges(**ages), ease_s=0.0)
    made.start_from(HOME, 0.03)
    return made


def accept(g: SafetyGate, now: float) -> Reason | None:
    reason = g.check_action(np.zeros((6, 6)), np.ones(6), dim=6, image_age=0.0)
    if reason is None:
        g.accept_action(now, 0.0)
    return reason


def play(
    g, target, seconds: float, *, start: float = 0.0, fresh: bool = True, joints: bool = False
):
    """Run control ticks; with `fresh`, every input keeps arriving, else at most joint states."""
    commands = []
    for k in range(round(seconds / DT)):
        now = start + k * DT
        if fresh:
            accept(g, now)
            for stream in ('joint_state', 'value', 'recorder'):
                g.saw(stream, now)
        elif joints:
            g.saw('joint_state', now)
        commands.append(g.command(target, 0.03, now, DT))
    return commands


def assert_within_limits(g: SafetyGate, commands: list[Command]) -> None:
    q = np.array([c.position for c in commands])
    velocity = np.diff(q, axis=0) / DT
    acceleration = np.diff(velocity, axis=0) / DT
    assert np.isfinite(q).all()
    assert (q >= g.limits.lower - 1e-9).all()
    assert (q <= g.limits.upper + 1e-9).all()
    assert (np.abs(velocity) <= g.limits.velocity + 1e-6).all()
    assert (np.abs(acceleration) <= g.limits.acceleration + 1e-6).all()


def test_follows_a_good_target_within_all_limits() -> None:
    g = gate()
    target = HOME + np.array([1.0, 0.5, -0.5, 0.4, 0.3, -0.9])
    commands = play(g, target, 3.0)
    assert g.mode is Mode.RUNNING
    np.testing.assert_allclose(commands[-1].position, target, atol=1e-3)
    assert_within_limits(g, commands)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_non_finite_target_never_reaches_the_motor(bad: float) -> None:
    g = gate()
    before = play(g, HOME, 0.2)[-1]
    target = HOME.copy()
    target[2] = bad
    after = play(g, target, 1.0, start=0.2)
    assert all(np.isfinite(c.position).all() and np.isfinite(c.gripper) for c in after)
    np.testing.assert_allclose(after[-1].position, before.position)
    assert g.refusals[Reason.NON_FINITE] > 0
    assert g.mode is Mode.HOLDING


def test_a_non_finite_gripper_keeps_the_last_opening() -> None:
    g = gate()
    accept(g, 0.0)
    g.saw('joint_state', 0.0)
    assert g.command(HOME, float('nan'), 0.0, DT).gripper == pytest.approx(0.03)


@pytest.mark.parametrize(
    ('data', 'gripper', 'age', 'reason'),
    [
        (np.full((6, 6), np.nan), np.ones(6), 0.0, Reason.NON_FINITE),
        (np.zeros((6, 6)), np.full(6, np.inf), 0.0, Reason.NON_FINITE),
        (np.zeros((6, 5)), np.ones(6), 0.0, Reason.WRONG_SHAPE),
        (np.zeros(36), np.ones(6), 0.0, Reason.WRONG_SHAPE),
        (np.zeros((6, 6)), np.ones(5), 0.0, Reason.WRONG_SHAPE),
        (np.zeros((0, 6)), np.ones(0), 0.0, Reason.WRONG_SHAPE),
        (np.zeros((6, 6)), np.ones(6), 1.0, Reason.STALE_IMAGE),
        (np.zeros((6, 6)), np.ones(6), -1.0, Reason.FUTURE_STAMP),
        (np.zeros((6, 6)), np.ones(6), float('nan'), Reason.FUTURE_STAMP),
    ],
)
def test_bad_actions_are_refused_and_counted(data, gripper, age, reason) -> None:
    g = gate()
    assert g.check_action(data, gripper, dim=6, image_age=age) is reason
    assert g.refusals[reason] == 1
    # Nothing was accepted, so nothing moves.
    command = g.command(HOME + 0.5, 0.0, 10.0, DT)
    np.testing.assert_allclose(command.position, HOME)


@pytest.mark.parametrize(
    ('stream', 'reason'),
    [
        ('action', Reason.STALE_ACTION),
        ('image', Reason.STALE_IMAGE),
        ('joint_state', Reason.STALE_JOINT_STATE),
        ('value', Reason.STALE_VALUE),
        ('recorder', Reason.STALE_RECORDER),
    ],
)
def test_holds_when_an_input_goes_stale_and_moves_on_when_it_is_back(stream, reason) -> None:
    ages = {'action': None, 'image': None, 'joint_state': None, 'value': None, 'recorder': None}
    g = gate(**{**ages, stream: 0.2})
    target = HOME + np.array([2.0, 0, 0, 0, 0, 0])
    play(g, target, 0.3)
    held = play(g, target, 2.0, start=0.3, fresh=False)
    assert reason in g.stale(2.3)
    assert g.refusals[reason] == 1, 'one refusal for one fault, however many ticks it lasts'
    assert g.mode is Mode.HOLDING
    np.testing.assert_allclose(held[-1].position, held[-20].position)
    assert abs(held[-1].position[0] - target[0]) > 0.1, 'it stopped on the way'
    assert_within_limits(g, held)
    play(g, target, 3.0, start=2.3)
    assert g.mode is Mode.RUNNING
    np.testing.assert_allclose(g.command(target, 0.03, 5.28, DT).position, target, atol=1e-3)


def test_a_target_beyond_the_joint_limits_is_clamped() -> None:
    g = gate()
    commands = play(g, np.full(6, 50.0), 5.0)
    assert_within_limits(g, commands)
    np.testing.assert_allclose(commands[-1].position, g.limits.upper, atol=1e-3)
    assert g.refusals[Reason.JOINT_LIMIT] > 0


def test_the_gripper_stays_within_its_range() -> None:
    g = gate()
    for k in range(50):
        accept(g, k * DT)
        g.saw('joint_state', k * DT)
        command = g.command(HOME, -5.0 if k < 25 else 5.0, k * DT, DT)
        assert g.limits.gripper_lower <= command.gripper <= g.limits.gripper_upper


def test_emergency_stop_latches_until_reset() -> None:
    g = gate()
    target = HOME + 0.5
    play(g, target, 0.1)
    g.emergency_stop()
    stopped = play(g, target, 1.0, start=0.1)
    assert g.mode is Mode.STOPPED
    np.testing.assert_allclose(stopped[-1].position, stopped[10].position)
    assert accept(g, 1.2) is Reason.E_STOP
    g.park()
    assert g.mode is Mode.STOPPED, 'parking is motion, too'
    g.reset()
    assert g.mode is Mode.WAITING
    assert g.command(target, 0.03, 1.25, DT) is None, 'nobody knows where the arm is now'
    g.start_from(stopped[-1].position, 0.03)
    play(g, target, 2.0, start=1.3)
    assert g.mode is Mode.RUNNING


def test_parks_slowly_and_stays_parked() -> None:
    g = gate()
    g.park()
    commands = play(g, None, 5.0, fresh=False, joints=True)
    assert g.mode is Mode.PARKED
    q = np.array([c.position for c in commands])
    np.testing.assert_allclose(q[-1], g.limits.sleep, atol=2e-3)
    assert np.abs(np.diff(q, axis=0) / DT).max() <= g.limits.park_velocity + 1e-6


def test_a_late_tick_does_not_become_a_leap() -> None:
    g = gate()
    play(g, HOME + 1.0, 0.2)
    before = g.command(HOME + 1.0, 0.03, 0.2, DT).position
    accept(g, 5.2)
    g.saw('joint_state', 5.2)
    moved = np.abs(g.command(HOME + 1.0, 0.03, 5.2, 5.0).position - before).max()
    assert 0.1 < moved <= g.limits.velocity.max() * 0.1 + 1e-6


def test_without_a_start_pose_there_is_no_command() -> None:
    g = SafetyGate(limits())
    assert g.command(HOME, 0.0, 0.0, DT) is None
    assert accept(g, 0.0) is Reason.WAITING


def test_robot_files_are_checked() -> None:
    data = yaml.safe_load(config_path('robots', 'wx250s.yaml').read_text())
    for change in (
        {'lower': [0.0] * 5},
        {'lower': [9.0] * 6},
        {'sleep': [float('nan')] * 6},
        {'colour': 'black'},
        {'home': [4.0] * 6},
        {'acceleration': [0.0] * 6},
        {'park_velocity': 0.0},
    ):
        with pytest.raises(UserError):
            RobotLimits.from_mapping({**data, **change})
    assert dataclasses.is_dataclass(RobotLimits.from_mapping(data))


@pytest.mark.parametrize('dt', [-1.0, 0.0, float('inf')])
def test_a_clock_that_jumps_moves_nothing_out_of_bounds(dt: float) -> None:
    g = gate()
    before = play(g, HOME + 0.5, 0.2)[-1]
    command = g.command(HOME + 0.5, 0.02, 0.2, dt)
    furthest = g.limits.velocity.max() * (0.1 if dt > 0 else 1e-4)
    assert np.abs(command.position - before.position).max() <= furthest + 1e-6
    assert g.limits.gripper_lower <= command.gripper <= g.limits.gripper_upper
    assert (command.position >= g.limits.lower).all()
    assert (command.position <= g.limits.upper).all()


def test_a_stream_from_the_future_is_not_believed() -> None:
    g = gate(value=0.5)
    play(g, HOME, 0.1)
    assert Reason.STALE_VALUE not in g.stale(0.55)
    g.saw('value', 0.3, age=-300.0)
    assert Reason.STALE_VALUE in g.stale(0.65), 'the last one that is believed is from 0.08 s'
    g.saw('value', 0.3)
    assert Reason.STALE_VALUE not in g.stale(0.65)


@pytest.mark.parametrize('parked', [False, True])
def test_while_it_parks_and_sleeps_actions_are_refused(parked: bool) -> None:
    g = gate()
    g.park()
    play(g, None, 5.0 if parked else 0.1, fresh=False, joints=True)
    assert g.mode is (Mode.PARKED if parked else Mode.PARKING)
    assert accept(g, 6.0) is Reason.PARKED
    g.renew()
    g.start_from(HOME, 0.03)
    assert accept(g, 6.1) is None


def test_an_emergency_stop_ends_parking() -> None:
    g = gate()
    g.park()
    play(g, None, 0.3, fresh=False, joints=True)
    g.emergency_stop()
    still = play(g, None, 1.0, start=0.3, fresh=False, joints=True)
    np.testing.assert_allclose(still[-1].position, still[10].position)


def test_an_arm_that_is_found_beyond_a_limit_is_led_back_and_does_not_leap() -> None:
    g = SafetyGate(limits(), MaxAges(), ease_s=0.0)
    found = HOME.copy()
    found[2] = g.limits.upper[2] + 0.1
    g.start_from(found, 0.03)
    np.testing.assert_array_equal(g.command(None, 0.03, 0.0, DT).position, found)
    commands = play(g, np.where(found > g.limits.upper, 9.0, HOME), 2.0)
    q = np.vstack([found, [c.position for c in commands]])
    velocity = np.diff(q, axis=0, prepend=q[:1]) / DT
    assert (np.abs(velocity) <= g.limits.velocity + 1e-6).all()
    assert (np.abs(np.diff(velocity, axis=0)) / DT <= g.limits.acceleration + 1e-6).all()
    assert (np.diff(q[:, 2]) <= 0.0).all(), 'inwards only'
    assert q[-1][2] == pytest.approx(g.limits.upper[2], abs=1e-3)


@pytest.mark.parametrize('ease_s', [0.0, 0.3])
def test_all_joints_keep_to_the_line_that_was_checked(ease_s: float) -> None:
    g = SafetyGate(limits(), MaxAges(), ease_s=ease_s)
    g.start_from(HOME, 0.03)
    way = np.array([0.9, 0.4, -0.5, 0.05, 0.3, -0.1])
    q = np.array([c.position for c in play(g, HOME + way, 2.0)]) - HOME
    along = q @ way / (way @ way)
    assert along[-1] == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(q, along[:, None] * way, atol=1e-6)


def test_a_reset_waits_until_the_arm_has_braked() -> None:
    g = gate()
    play(g, HOME + 0.8, 0.2)
    g.emergency_stop()
    g.reset()
    assert g.mode is Mode.STOPPED
    while not g.still:
        g.command(None, 0.03, 1.0, DT)
    g.reset()
    assert g.mode is Mode.WAITING


def test_at_home_already_the_gripper_opens_before_it_has_arrived() -> None:
    g = SafetyGate(limits(), MaxAges())
    g.start_from(g.limits.home, 0.016)
    g.move_home(opens=True)
    g.move_home()  # as somebody else asks on the way: the gripper was promised to open
    commands = play(g, None, 3.0, fresh=False, joints=True)
    assert g.mode is Mode.HOLDING
    assert commands[-1].gripper == pytest.approx(g.limits.gripper_upper)
    g.park()
    g.move_home()
    closed = SafetyGate(limits(), MaxAges())
    closed.start_from(g.limits.home, 0.016)
    closed.move_home()
    assert play(closed, None, 1.0, fresh=False, joints=True)[-1].gripper == 0.016


@pytest.mark.parametrize('robot', ['wx250s', 'fer', 'fr3'])
def test_home_and_sleep_are_those_of_the_model(robot: str) -> None:
    known, model = load_limits(robot), arm_model(robot)
    np.testing.assert_allclose(known.home, model.home, atol=1e-4)
    np.testing.assert_allclose(known.sleep, model.sleep, atol=1e-4)
    np.testing.assert_allclose(known.velocity, model.velocity_limits[:-1], atol=1e-4)


def test_a_tolerance_may_be_left_out_or_be_one_number() -> None:
    data = yaml.safe_load(config_path('robots', 'wx250s.yaml').read_text())
    del data['tracking_tolerance']
    np.testing.assert_array_equal(RobotLimits.from_mapping(data).tracking_tolerance, [0.3] * 6)
    data['tracking_tolerance'] = 0.2
    np.testing.assert_array_equal(RobotLimits.from_mapping(data).tracking_tolerance, [0.2] * 6)
