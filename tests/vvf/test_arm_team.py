# SPDX-License-Identifier: Apache-2.0
"""Arms behind their gates, without ROS: faults, ways home, who has the arm, and two as one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from tests.vvf.motors import LIMITS, Motors, RigMotors
from vvf.arbitration import Arbiter
from vvf.arm_team import ArmTeam, make_team
from vvf.arm_trouble import TroubleWatch
from vvf.drivers import DRIVERS, make_drivers
from vvf.errors import UserError
from vvf.rig import load_rig
from vvf.safety import Command, MaxAges, Mode, Reason
from vvf.task import load_task

DT = 0.02
UP = np.array([[0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 1.0]])
FRESH = {'action': None, 'image': None, 'joint_state': 0.25}


class Table:
    """A team and its motors, run by hand."""

    def __init__(self, task: str = 'pick_place', **how: object) -> None:
        sides = ('left', 'right') if task == 'shirt_folding' else ('',)
        self.motors = [Motors() for _ in sides]
        drivers = dict(zip(sides, self.motors, strict=True))
        self.team: ArmTeam = make_team(load_task(task), LIMITS, MaxAges(**FRESH), drivers, **how)
        self.now = 10.0

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += DT
            for motors in self.motors:
                motors.clock = self.now
            self.team.sense(self.now, self.now)
            self.team.act(self.now, DT)

    def until(self, done: Callable[[], bool], seconds: float = 10.0) -> None:
        end = self.now + seconds
        while not done():
            assert self.now < end
            self.tick()

    def play(self, rows: np.ndarray = UP) -> Reason | None:
        return self.team.play(rows, 0.2, image_age=0.0, now=self.now)

    @property
    def mode(self) -> Mode:
        return self.team.mode


def smooth(commands: list[Command]) -> None:
    """Commands keep the limits of velocity and acceleration, at every seam."""
    q = np.array([c.position for c in commands])
    velocity = np.diff(q, axis=0) / DT
    assert (np.abs(velocity) <= LIMITS.velocity + 1e-6).all()
    assert (np.abs(np.diff(velocity, axis=0)) <= LIMITS.acceleration * DT + 1e-6).all()


# -- one arm -------------------------------------------------------------------------------------


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


# -- who has the arm -----------------------------------------------------------------------------


def test_while_a_human_has_the_arm_the_policy_has_not() -> None:
    arbiter = Arbiter()
    assert arbiter.refusal(1.0, human=False) is Reason.NO_EPISODE
    arbiter.begin('one', 2.0)
    assert arbiter.refusal(1.9, human=False) is Reason.OUTDATED
    assert arbiter.refusal(2.0, human=False) is None
    arbiter.take_over(3.0)
    assert arbiter.refusal(3.5, human=False) is Reason.HUMAN
    assert arbiter.refusal(2.9, human=True) is None
    arbiter.give_back(4.0)
    assert arbiter.refusal(3.9, human=False) is Reason.OUTDATED
    assert arbiter.refusal(4.0, human=False) is None
    assert arbiter.refusal(4.1, human=True) is Reason.NO_TAKEOVER, 'nobody acts with the policy'
    arbiter.end(5.0)
    assert arbiter.refusal(4.1, human=True) is None, 'to clear the table, nobody need take over'


def test_a_human_keeps_the_arm_when_an_episode_ends_and_another_begins() -> None:
    arbiter = Arbiter()
    arbiter.begin('one', 1.0)
    arbiter.take_over(2.0)
    arbiter.end(3.0)
    arbiter.begin('two', 4.0)
    assert arbiter.refusal(5.0, human=False) is Reason.HUMAN
    arbiter.give_back(6.0)
    assert arbiter.refusal(6.1, human=False) is None


def test_changing_hands_brakes_and_sets_out_without_a_jerk() -> None:
    table = Table()
    motors, player = table.motors[0], table.team.units[0].player
    table.tick()
    for rows in (UP * [1, 1, 1.6, 1, 1, 1, 1], UP * [1, 1, -1.6, 1, 1, 1, 1]) * 3:
        assert table.play(rows) is None
        table.tick(5)
        assert table.mode is Mode.RUNNING
        table.team.end_motion()  # what a change of hands does, in the middle of a step
        table.tick()
        assert table.mode is Mode.HOLDING
        np.testing.assert_array_equal(player.joints[:-1], motors.commands[-1].position)
        table.tick(2)
    smooth(motors.commands)


# -- two arms ------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Table:
    table = Table('shirt_folding')
    table.tick()
    return table


def tips(table: Table) -> np.ndarray:
    pairs = zip(table.team.units, table.motors, strict=True)
    return np.array([unit.kinematics.forward(m.position)[:3, 3] for unit, m in pairs])


def test_each_arm_plays_its_own_half(pair: Table) -> None:
    before = tips(pair)
    rows = np.array([[0.0, 0.0, 0.03, 0, 0, 0, 0.0, 0.0, 0.02, 0.0, 0, 0, 0, 1.0]])
    assert pair.play(rows) is None
    pair.tick(25)
    np.testing.assert_allclose(tips(pair) - before, [[0, 0, 0.03], [0, 0.02, 0]], atol=1e-3)
    left, right = pair.motors
    assert left.gripper == pytest.approx(LIMITS.gripper_lower)
    assert right.gripper == pytest.approx(LIMITS.gripper_upper)
    for motors in pair.motors:
        smooth(motors.commands)


def test_an_action_counts_for_both_or_for_neither(pair: Table) -> None:
    rows = np.tile(UP, 2)
    rows[0, 9] = np.nan
    before = tips(pair)
    assert pair.play(rows) is Reason.NON_FINITE
    pair.tick(10)
    np.testing.assert_array_equal(tips(pair), before)
    assert pair.play(UP) is Reason.WRONG_SHAPE, 'half an action'
    assert pair.team.refusals == {Reason.NON_FINITE: 1, Reason.WRONG_SHAPE: 1}


@pytest.mark.parametrize('side', [0, 1])
@pytest.mark.parametrize('what', ['trouble', 'silent', 'heard', 'stop'])
def test_what_holds_one_arm_holds_the_other(pair: Table, side: int, what: str) -> None:
    assert pair.play(np.tile(UP * [1, 1, 1.6, 1, 1, 1, 1], 2)) is None
    pair.tick(4)
    assert pair.mode is Mode.RUNNING
    if what == 'stop':
        pair.team.emergency_stop()
    else:
        value = {'trouble': 'limp', 'silent': True, 'heard': False}[what]
        setattr(pair.motors[side], what, value)
    pair.tick(20)
    held = pair.motors[1 - side].commands[-1].position
    pair.tick(10)
    np.testing.assert_array_equal(pair.motors[1 - side].commands[-1].position, held)
    smooth(pair.motors[1 - side].commands)
    if what == 'trouble':
        assert pair.team.fault == f'{("left", "right")[side]} arm: limp'
        assert pair.play(np.tile(UP, 2)) is Reason.FAULT


def test_a_fault_of_one_ends_the_other_ones_way_home(pair: Table) -> None:
    for motors in pair.motors:
        motors.position = LIMITS.sleep.copy()
    pair.team.prepare()
    pair.motors[0].trouble = 'limp'
    pair.tick()
    pair.motors[0].trouble = ''
    pair.tick(2)
    pair.team.move_home()
    pair.tick(20)
    pair.motors[0].trouble = 'limp'
    pair.tick(20)
    assert [unit.gate.mode for unit in pair.team.units] == [Mode.FAULT, Mode.HOLDING]
    assert pair.team.at_rest, 'both may be left as they are'


def test_trouble_of_one_halts_what_the_other_does_by_itself(pair: Table) -> None:
    left, right = pair.motors
    for motors in pair.motors:
        motors.trouble, motors.prepares = 'moves home', True
    pair.tick(3)
    left.trouble, left.prepares = '', False
    pair.tick(3)
    assert (left.halts, right.halts) == (0, 0), 'who is ready first does not halt the other'
    left.trouble = 'limp'
    pair.tick(3)
    assert (left.halts, right.halts) == (0, 1), 'what is halted once needs no more'
    left.trouble = ''
    pair.tick(3)
    left.trouble = 'limp'
    pair.tick(3)
    assert (left.halts, right.halts) == (0, 2)


def test_an_emergency_stop_halts_what_drivers_do_by_themselves(pair: Table) -> None:
    pair.motors[0].trouble, pair.motors[0].prepares = 'moves home', True
    pair.tick()
    pair.team.emergency_stop()
    assert [motors.halts for motors in pair.motors] == [1, 1]


def test_a_task_of_another_width_is_refused() -> None:
    with pytest.raises(UserError, match='2 x wx250s has 14 numbers'):
        make_team(load_task('pick_place'), LIMITS, MaxAges(), {'left': Motors(), 'right': Motors()})


# -- what is said --------------------------------------------------------------------------------


def test_each_trouble_is_one_line_and_its_end_another() -> None:
    watch = TroubleWatch(park_after_s=5.0)
    stale = {Reason.STALE_IMAGE}
    lines = []
    for k in range(100):
        away = stale if k < 60 else set()
        lines += watch.news(k * 0.02, Mode.HOLDING, away, 'no new image', acting=True)
    assert lines == [('warning', 'no new image: the arm holds'), ('info', 'all inputs are back')]
    lines = []
    for mode, reason in (
        *[(Mode.FAULT, 'limp')] * 5,
        (Mode.WAITING, 'no joint state'),
        (Mode.FAULT, 'limp'),
        *[(Mode.HOLDING, '')] * 5,
    ):
        lines += watch.news(3.0, mode, set(), reason, acting=False)
    assert [level for level, _ in lines] == ['error', 'info']


@pytest.mark.parametrize('mode', [Mode.PARKING, Mode.STOPPED, Mode.HOLDING])
def test_what_is_missed_no_more_is_not_said_to_be_back(mode: Mode) -> None:
    watch = TroubleWatch(park_after_s=5.0)
    for now in (0.0, 1.0):
        said = watch.news(now, Mode.HOLDING, {Reason.STALE_IMAGE}, 'no new image', acting=True)
    assert [level for level, _ in said] == ['warning']
    assert watch.news(2.0, mode, set(), '', acting=False) == []


def test_joint_states_that_are_back_on_the_way_home_are_said_to_be() -> None:
    watch = TroubleWatch(park_after_s=5.0)
    away = {Reason.STALE_JOINT_STATE}
    for now in (0.0, 1.0):
        watch.news(now, Mode.MOVING, away, 'no new joint state', acting=False)
    lines = watch.news(2.0, Mode.MOVING, set(), '', acting=False)
    assert lines == [('info', 'all inputs are back')]


def test_inputs_that_stay_away_send_the_arm_to_sleep() -> None:
    watch = TroubleWatch(park_after_s=5.0)
    stale = {Reason.STALE_VALUE}
    watch.news(0.0, Mode.HOLDING, stale, 'no new value', acting=True)
    assert not watch.parks(4.9, Mode.HOLDING)
    assert watch.parks(5.1, Mode.HOLDING)
    assert not watch.parks(5.1, Mode.PARKING)
    watch.forget()
    assert not watch.parks(9.0, Mode.HOLDING)


# -- the motors of a rig -------------------------------------------------------------------------


def test_a_rig_says_which_motors_each_arm_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRIVERS, 'widowx', 'tests.vvf.motors:RigMotors')
    task = load_task('shirt_folding', rig='wx250s_pair')
    node = SimpleNamespace(publishers=())
    drivers = make_drivers(node, task, LIMITS, rig='wx250s_pair')
    assert list(drivers) == ['left', 'right']
    rig = load_rig('wx250s_pair')
    for arm in rig.arms:
        made = drivers[arm.side]
        assert isinstance(made, RigMotors)
        assert (made.options, made.side) == (arm.options, arm.side)
