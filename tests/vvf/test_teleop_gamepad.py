# SPDX-License-Identifier: Apache-2.0
"""A pad's messages to motion and commands; what is wrong, old or silent moves nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vvf.errors import UserError
from vvf.paths import config_path
from vvf.teleop.commands import AXES, Command
from vvf.teleop.gamepad import Gamepad, load_mapping

PADS = sorted(p.stem for p in config_path('teleop').glob('*.yaml'))
AXIS_COUNT, BUTTON_COUNT = 8, 16


def pad() -> Gamepad:
    return Gamepad(load_mapping('controller'), timeout_s=0.3)


def message(*pressed: int, **axes: float) -> tuple[list[float], list[int]]:
    values = [0.0] * AXIS_COUNT
    for name, value in axes.items():
        values[int(name[1:])] = value
    return values, [int(i in pressed) for i in range(BUTTON_COUNT)]


@pytest.mark.parametrize('name', PADS)
def test_every_shipped_pad_has_all_axes_and_the_commands_that_matter(name: str) -> None:
    mapping = load_mapping(name)
    assert set(mapping.motion) == set(AXES)
    assert set(mapping.commands) >= {c.value for c in Command} - {'recover'}
    pairs = [mapping.buttons(c) for c in mapping.commands]
    assert len(set(pairs)) == len(pairs), 'two commands on the same buttons'
    assert mapping.buttons('estop')[0] == -1


def test_a_stick_moves_an_axis_while_the_deadman_button_is_held() -> None:
    made = pad()
    made.take(*message(a1=1.0), 0.0)
    assert not made.direction(0.01).any(), 'without the button'
    made.take(*message(9, a1=1.0, a0=-0.55), 0.02)
    assert made.direction(0.03).tolist() == [1.0, pytest.approx(-0.5), 0, 0, 0, 0]
    made.take(*message(9, 11, 13), 0.04)
    assert made.direction(0.05).tolist() == [0, 0, 0, -1, 1, 0]
    made.take(*message(9, a1=0.05), 0.06)
    assert not made.direction(0.07).any(), 'the dead zone'


def test_a_pad_that_falls_silent_moves_nothing() -> None:
    made = pad()
    made.take(*message(9, a1=1.0), 0.0)
    assert made.direction(0.29).any()
    assert not made.direction(0.31).any()
    assert not made.deadman(0.31)
    assert not made.alive(0.31)


@pytest.mark.parametrize(
    ('axes', 'age', 'words'),
    [
        ({'a1': np.nan}, 0.0, 'no numbers'),
        ({'a1': 1.5}, 0.0, 'no numbers'),
        ({'a1': 1.0}, 0.5, '0.50 s old'),
        ({'a1': 1.0}, -1.0, 'old'),
        ({'a1': 1.0}, np.nan, 'old'),
    ],
)
def test_a_bad_message_changes_nothing(axes: dict[str, float], age: float, words: str) -> None:
    made = pad()
    commands, why = made.take(*message(9, 0, 3, **axes), 0.0, age)
    assert words in why
    assert (commands, made.refused) == ([], 1)
    assert not made.direction(0.0).any()


def test_a_pad_with_too_few_axes_is_told_apart() -> None:
    _, why = pad().take([0.0, 0.0], [0] * 4, 0.0)
    assert why.startswith('the gamepad has 2 axes and 4 buttons, the mapping names axis 3')


def test_buttons_are_commands_when_they_go_down() -> None:
    made = pad()

    def press(*buttons: int) -> list[Command]:
        commands, why = made.take(*message(*buttons), 0.0)
        assert not why
        return commands

    assert press(0, 3) == [], 'what is down in the first message was not pressed'
    assert press() == []
    assert press(3) == [Command.INTERVENE]
    assert press(3) == [], 'held'
    assert press(10) == []
    assert press(10, 0) == [Command.SUCCESS], 'and not the gripper'
    assert press(10, 0, 1) == [Command.STOP], 'whatever else is held'
    assert press(10, 11) == [Command.FASTER]
    made.take(*message(9, 10, 11), 0.0)
    assert not made.direction(0.0).any(), 'the cross changes the speed and turns nothing'


def test_a_stop_that_is_held_down_counts_from_the_first_message_on() -> None:
    assert pad().take(*message(1), 0.0)[0] == [Command.STOP]


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('deadman: 9\nmotion: {w: {axis: 1}}\ncommands: {}', "motion has no 'w'"),
        ('deadman: 9\nmotion: {}\ncommands: {jump: 1}', "commands has no 'jump'"),
        ('deadman: 9\nmotion: {}\ncommands: {estop: [1, 2, 3]}', 'commands.estop is a button'),
        ('deadman: 9\nmotion: {}\ncommands: {estop: [1]}', 'commands.estop is a button'),
        ('deadman: -1\nmotion: {}\ncommands: {}', 'deadman must be a button'),
        ('motion: {}\ncommands: {}', "entry 'deadman' is missing"),
        ('deadman: [', 'cannot be read'),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / 'pad.yaml'
    file.write_text(text)
    with pytest.raises(UserError, match='gamepad file') as error:
        load_mapping(str(file))
    assert words in str(error.value)


def test_an_unknown_pad_names_the_known_ones() -> None:
    with pytest.raises(UserError, match='known: controller, playstation, xbox'):
        load_mapping('joystick')
