# SPDX-License-Identifier: Apache-2.0
"""`vvf teleop` in a real terminal, with a teleop node of its own."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vvf.test_episode_keys import Terminal
from vvf.cli.main import main
from vvf.environment import ros_environment
from vvf.processes import PARENT

DOMAIN = 67


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    env = ros_environment() | {'ROS_DOMAIN_ID': str(DOMAIN), PARENT: str(os.getpid())}
    made = Terminal(env, 'teleop', '--task', 'pick_place', folder=tmp_path)
    yield made
    made.close()


def test_a_human_takes_over_and_is_asked_to_give_back_before_leaving(terminal: Terminal) -> None:
    terminal.wait('NOBODY', 60.0)
    terminal.wait('i takes over')
    terminal.wait('q quit')
    terminal.press('i')
    terminal.wait('HUMAN')
    terminal.wait('taken over')
    terminal.press('\t')
    terminal.wait('there is one arm')
    terminal.press('s')
    terminal.wait('no episode node answers')
    terminal.press('q')
    terminal.wait('you have the arm: i gives it back')
    terminal.press('i')
    terminal.wait('given back')
    terminal.press('q')
    assert terminal.process.wait(20) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before, 'the terminal is as it was'


def test_without_a_terminal_one_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['teleop', '--task', 'pick_place']) == 2
    assert capsys.readouterr().err == 'vvf: `vvf teleop` needs a terminal, and a human before it.\n'
