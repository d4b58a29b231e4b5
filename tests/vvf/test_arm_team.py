# SPDX-License-Identifier: Apache-2.0
"""Arms behind their gates, without ROS: who has the arm, two as one, and what is said of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.vvf.arm_table import UP, Table, smooth
from tests.vvf.motors import LIMITS, Motors, RigMotors
from vvf.arbitration import Arbiter
from vvf.arm_team import make_team
from vvf.arm_trouble import TroubleWatch
from vvf.drivers import DRIVERS, make_drivers
from vvf.errors import UserError
from vvf.rig import load_rig
from vvf.safety import MaxAges, Mode, Reason
from vvf.task import load_task

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


def test_an_action_right_after_a_change_of_hands_counts_from_where_the_arm_is() -> None:
    table = Table()
    unit = table.team.units[0]
    table.tick()
    assert table.play(UP) is None
    table.tick(5)
    held = unit.gate.position
    table.team.end_motion()
    assert table.play(UP * [0, 0, 0, 0, 0, 0, 1]) is None, 'before the next tick: no displacement'
    table.tick(25)
    np.testing.assert_allclose(unit.gate.position, held, atol=1e-3)
    smooth(table.motors[0].commands)


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
