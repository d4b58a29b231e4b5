# SPDX-License-Identifier: Apache-2.0
"""What a human asks for becomes steps: within limits, from standstill, for one arm and for two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vvf.errors import UserError
from vvf.nodes.teleop import PARAMETERS
from vvf.safety_limits import load_limits
from vvf.task import TaskSpec, load_task
from vvf.teleop.build import action_names, build_operator
from vvf.teleop.commands import Command
from vvf.teleop.operator import Operator
from vvf_sim.robots.arm import arm_model

PERIOD = 0.2
DEFAULTS = {p.name: p.default for p in PARAMETERS}


def make(task: str | TaskSpec = 'pick_place', robot: str = '', **changes: Any) -> Operator:
    spec = load_task(task, robot) if isinstance(task, str) else task
    limits = load_limits(spec.robot)
    return build_operator(spec, limits, limits, {**DEFAULTS, **changes})


@pytest.fixture
def joint_task() -> TaskSpec:
    task = load_task('pick_place')
    assert task.action is not None
    action = replace(task.action, kind='joint_position', low=(), high=())
    return replace(task, action=action)


def hold(operator: Operator, key: str, at: float) -> Any:
    """The step of a moment at which a key is down and the terminal is there."""
    operator.hear_terminal(at)
    operator.keyboard.press(key, at)
    operator.watch(at)
    return operator.step(at, PERIOD)


def test_nothing_moves_before_a_takeover_and_after_giving_back() -> None:
    operator = make()
    assert operator.warning(0.0) == ''
    assert hold(operator, 'up', 0.0) is None
    assert 'take over first: i' in operator.warning(0.5)
    operator.take(1.0)
    assert hold(operator, 'up', 1.5) is not None
    assert operator.warning(1.5) == ''
    operator.give()
    assert hold(operator, 'up', 2.0) is None


def test_a_takeover_begins_from_standstill_and_ends_at_the_chosen_speed() -> None:
    operator = make(speed=0.4)
    operator.keyboard.press('up', 0.99)
    operator.take(1.0)
    speeds = [hold(operator, 'up', 1.0 + t).data[0] / PERIOD for t in (0.0, 0.1, 0.25, 0.5, 2.0)]
    assert speeds == pytest.approx([0.0, 0.02, 0.05, 0.1, 0.1])


@pytest.mark.parametrize('robot', ['wx250s', 'fer', 'fr3'])
def test_no_axis_is_faster_than_its_limit_or_the_task_s(robot: str) -> None:
    operator = make(robot=robot, max_x_m_s=0.1, max_yaw_rad_s=6.0, speed=1.0)
    operator.take(0.0)
    for key in ('up', '6'):
        operator.keyboard.press(key, 1.0)
    step = hold(operator, 'up', 1.0)
    assert step.data.tolist() == pytest.approx([0.02, 0, 0, 0, 0, 0.6]), 'the task allows 0.6 rad'
    assert step.seconds == PERIOD


def test_what_a_key_has_left_takes_its_part_of_the_time() -> None:
    operator = make(speed=1.0)
    operator.take(0.0)
    operator.hear_terminal(1.0)
    operator.keyboard.press('up', 0.82)
    step = operator.step(1.0, PERIOD)
    assert step is not None
    assert step.seconds == pytest.approx(0.1)
    assert step.data[0] == pytest.approx(0.25 * 0.1)


def test_a_human_who_waits_sends_steps_that_stay() -> None:
    operator = make()
    operator.take(0.0)
    operator.hear_terminal(5.0)
    step = operator.step(5.0, PERIOD)
    assert step is not None
    assert not step.data.any()
    assert step.gripper == [], 'the gripper is left alone until it is asked for'


def test_without_a_living_terminal_nothing_is_sent_and_motion_begins_anew() -> None:
    operator = make()
    operator.take(0.0)
    assert hold(operator, 'up', 2.0).data[0] > 0
    operator.watch(3.5)
    assert operator.step(3.5, PERIOD) is None
    assert 'the arm holds' in operator.warning(3.5)
    step = hold(operator, 'up', 3.6)
    assert step.data[0] == pytest.approx(0.2 * 0.3 * 0.25 * PERIOD), (
        'a fifth of the ramp has passed'
    )
    assert operator.warning(3.6) == ''


def test_the_gripper_toggles_from_what_was_commanded_last() -> None:
    operator = make()
    assert operator.obey(Command.GRIPPER, 0.0) == 'take over first'
    operator.saw_grippers([0.0])
    operator.take(0.0)
    assert operator.obey(Command.GRIPPER, 0.0) == 'gripper opens'
    assert hold(operator, '?', 0.1).gripper == [1.0]
    operator.saw_grippers([0.0])
    assert hold(operator, '?', 0.2).gripper == [1.0], 'the policy has no say'


def test_a_gripper_that_may_hold_something_is_opened_by_the_first_toggle() -> None:
    operator = make()
    operator.sides[0].observe(np.zeros(6), 0.030)
    operator.take(0.0)
    assert operator.obey(Command.GRIPPER, 0.0) == 'gripper opens'


def test_speed_stays_within_its_bounds() -> None:
    operator = make()
    for command, last in ((Command.FASTER, 'speed 100%'), (Command.SLOWER, 'speed 5%')):
        assert [operator.obey(command, 0.0) for _ in range(30)][-1] == last


def test_of_two_arms_keys_move_one_and_the_other_stays_shut() -> None:
    operator = make('shirt_folding', speed=1.0, ramp_s=0.0)
    operator.saw_grippers([0.0, 1.0])
    operator.take(0.0)
    step = hold(operator, 'up', 1.0)
    assert step.data.tolist() == pytest.approx([0.05, *[0] * 11])
    assert step.gripper == [0.0, 1.0]
    assert operator.obey(Command.SIDE, 1.0) == 'right arm'
    operator.obey(Command.GRIPPER, 1.0)
    step = hold(operator, 'left', 1.0)
    assert step.data.tolist() == pytest.approx([*[0] * 7, 0.05, *[0] * 4])
    assert step.gripper == [0.0, 0.0]
    task = load_task('shirt_folding')
    names = action_names(task, load_limits('wx250s'))
    assert (names[0], names[6], names[-1], len(names)) == ('left_x', 'right_x', 'right_rz', 12)


def test_joint_targets_begin_where_the_arm_is(joint_task: TaskSpec) -> None:
    operator = make(joint_task, speed=1.0)
    operator.take(0.0)
    assert hold(operator, '?', 0.5) is None, 'nobody knows where the arm is'
    assert operator.warning(0.5) == 'no joint states: the arm holds'
    home = np.array(arm_model('wx250s').home)
    operator.sides[0].observe(home, 0.02)
    np.testing.assert_allclose(hold(operator, '?', 1.0).data, home)
    kinematics = arm_model('wx250s').kinematics()
    moved = kinematics.forward(hold(operator, 'up', 1.5).data)[:3, 3]
    np.testing.assert_allclose(moved - kinematics.forward(home)[:3, 3], [0.05, 0, 0], atol=1e-4)
    operator.interrupt(2.0)
    np.testing.assert_allclose(hold(operator, '?', 2.1).data, home)
    assert action_names(joint_task, load_limits('wx250s')) == list(
        load_limits('wx250s').joint_names
    )


def test_a_leader_is_followed_from_the_takeover_on_and_let_go_when_it_falls_silent() -> None:
    operator = make(source='leader', speed=1.0)
    limits = load_limits('wx250s')
    (side,) = operator.leaders
    assert side.leader is not None
    names = [*limits.joint_names, limits.gripper_name]

    def send(now: float, waist: float) -> None:
        assert side.leader is not None
        assert side.leader.take(names, [waist, *[0.1] * 5, 0.03], now, 0.0, now) == ''
        operator.watch(now)

    assert operator.obey(Command.CLUTCH, 0.0) == 'take over first'
    send(0.0, 0.0)
    operator.take(0.0)
    assert operator.engaged
    send(0.1, 0.1)
    step = operator.step(0.1, PERIOD)
    assert step is not None, 'a leader that moves is a human who is there'
    assert np.abs(step.data[:3]).max() <= 0.25 * PERIOD * 0.1 / 0.5 + 1e-9
    operator.hear_terminal(0.5)
    operator.watch(0.5)
    assert not operator.engaged
    assert operator.warning(0.5) == 'the leader fell silent: engage it again'
    step = operator.step(0.5, PERIOD)
    assert step is not None
    assert not step.data.any()
    assert operator.obey(Command.CLUTCH, 0.5) == 'no leader is heard'
    send(0.6, 0.9)
    assert operator.obey(Command.CLUTCH, 0.6) == 'leader engaged'
    assert operator.obey(Command.CLUTCH, 0.6) == 'leader released'


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda t: {'source': 'mouse'}, 'source: choose keyboard, gamepad, leader'),
        (lambda t: {'task': replace(t, action=None)}, 'has no action for a human'),
        (
            lambda t: {'task': replace(t, action=replace(t.action, dim=8, low=(), high=()))},
            'has 7 numbers with the gripper, not 8',
        ),
        (lambda t: {'source': 'gamepad', 'gamepad': 'wheel'}, "there is no gamepad 'wheel'"),
    ],
)
def test_wrong_settings_are_one_sentence(
    change: Callable[[TaskSpec], dict[str, Any]], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        make(**{'task': load_task('pick_place'), **change(load_task('pick_place'))})
