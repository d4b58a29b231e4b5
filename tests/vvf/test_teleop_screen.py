# SPDX-License-Identifier: Apache-2.0
"""`vvf teleop` in a real terminal, with a teleop node of its own."""

from __future__ import annotations

import os
import pty
import sys
import termios
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest
from std_msgs.msg import Header

from tests.vvf.test_episode_keys import Terminal
from vvf.cli.main import main
from vvf.environment import ros_environment
from vvf.errors import UserError
from vvf.own_node import OwnNode
from vvf.processes import PARENT
from vvf.teleop.commands import KEYS_TOPIC
from vvf.teleop.screen import TeleopClient, run_screen

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


def test_a_teleop_node_that_dies_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Header] = []
    mine, theirs = pty.openpty()
    with (
        FileIO(mine),
        FileIO(theirs) as stdin,
        OwnNode('teleop', DOMAIN) as teleop,
        TeleopClient(DOMAIN) as client,
    ):
        monkeypatch.setattr(sys, 'stdin', stdin)
        teleop._node.create_subscription(Header, KEYS_TOPIC, heard.append, 50)
        client.teleop = {'drives': 'human'}

        def alive() -> bool:  # until it hears that the terminal is there
            teleop._executor.spin_once(timeout_sec=0.0)
            return not heard

        with pytest.raises(UserError, match='the teleop node ended'):
            run_screen(client, alive)
    assert 'a human has the arm: it holds until' in capsys.readouterr().out
