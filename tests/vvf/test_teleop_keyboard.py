# SPDX-License-Identifier: Apache-2.0
"""Keys to motion and commands, and the pace of the steps: without ROS, without waiting."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from io import FileIO
from typing import Any

import numpy as np
import pytest

from vvf.teleop.commands import AXES, Command
from vvf.teleop.handover import Handover
from vvf.teleop.keyboard import COMMAND_KEYS, MOTION_KEYS, STOP_S, Keyboard
from vvf.teleop.pacing import Pacing
from vvf.terminal import names_of, pressed
from vvf_sim.controllers import RAMP_FRACTION

NS = 1_000_000_000


@pytest.mark.parametrize('period', [0.2, 0.1, 1 / 30])
@pytest.mark.parametrize('phase', np.linspace(0.0, 0.2, 9))
def test_motion_is_over_a_quarter_of_a_second_after_the_last_key(
    period: float, phase: float
) -> None:
    keys = Keyboard()
    keys.press('up', 0.0)
    end = 0.0
    for tick in range(20):
        now = phase + tick * period
        share = float(keys.shares(now, period)[0])
        if share > 0:
            end = now + RAMP_FRACTION * period * share
    assert 0.0 < end <= STOP_S + 1e-9


def test_a_key_that_repeats_moves_at_full_speed() -> None:
    keys = Keyboard()
    for i in range(60):
        now = i / 30
        keys.press('k', now)
        assert keys.shares(now + 0.03, 0.2)[AXES.index('z')] == 1.0


def test_opposite_keys_cancel_and_axes_add() -> None:
    keys = Keyboard()
    for key in ('up', 'down', 'left', '6'):
        keys.press(key, 0.0)
    assert keys.shares(0.01, 0.2).tolist() == [0, 1, 0, 0, 0, 1]
    keys.release_all()
    assert not keys.shares(0.01, 0.2).any()


def test_no_key_has_two_meanings_and_every_command_has_a_key() -> None:
    assert not MOTION_KEYS.keys() & COMMAND_KEYS.keys()
    assert set(COMMAND_KEYS.values()) == set(Command)
    assert {axis for axis, _ in MOTION_KEYS.values()} == set(AXES)
    assert Keyboard().press('i', 0.0) is Command.INTERVENE
    assert Keyboard().press('?', 0.0) is None


@pytest.mark.parametrize(
    ('text', 'keys'),
    [
        ('\x1b[A\x1b[5~', ['up', 'pageup']),
        ('\x1bOD', ['left']),
        ('k\x1b', ['k', 'esc']),
        ('\x7f\t ', ['backspace', 'tab', ' ']),
        ('\x1b[1;5C', []),  # Ctrl and an arrow: no name, and no letter of it counts
        ('\x1b[2~s', ['s']),
        ('\x1b[[C', []),  # F3 of a console
        ('\x1b\x1b', ['esc', 'esc']),  # a stop is a stop, whatever comes with it
        ('\x1bk', ['esc', 'k']),
        ('\x1b\x1b[C', ['esc', 'right']),
    ],
)
def test_what_a_terminal_sends_becomes_names(text: str, keys: list[str]) -> None:
    assert names_of(text) == keys


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileIO]:
    """What is written to it, `pressed` reads."""
    theirs, mine = os.pipe()
    with FileIO(theirs) as stdin, FileIO(mine, 'w') as terminal:
        monkeypatch.setattr(sys, 'stdin', stdin)
        yield terminal


def test_a_key_that_was_held_for_long_is_not_cut_into_others(terminal: FileIO) -> None:
    terminal.write(b'k' + 3000 * b'\x1b[C')
    assert list(pressed()) == ['k', *(3000 * ['right'])]


def test_the_rest_of_a_key_is_waited_for_once_and_a_stop_is_not(
    terminal: FileIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    rest, chosen = [b'[C\x1b', b'k'], select.select

    def late(readable: list[int], _: Any, __: Any, seconds: float) -> Any:
        if seconds:
            waits.append(seconds)
            terminal.write(rest.pop(0))
        return chosen(readable, [], [], seconds)

    monkeypatch.setattr(select, 'select', late)
    terminal.write(b'\x1b')
    assert list(pressed()) == ['esc']
    assert not waits
    terminal.write(b'k\x1b')
    assert list(pressed()) == ['k', 'right', 'esc']
    assert len(waits) == 1


def test_a_terminal_that_is_gone_quits(terminal: FileIO) -> None:
    terminal.write(b'k\x1b')
    terminal.close()
    assert list(pressed()) == ['k', 'esc', 'q']


def test_a_human_begins_from_standstill_each_time() -> None:
    handover = Handover(0.5)
    assert handover.share(0.0) == 0.0
    handover.take(10.0)
    assert [handover.share(t) for t in (10.0, 10.25, 10.5, 99.0)] == [0.0, 0.5, 1.0, 1.0]
    handover.interrupt(99.0)
    assert handover.share(99.0) == 0.0
    handover.give()
    assert handover.share(200.0) == 0.0


def test_a_step_answers_a_new_image_at_the_rate_of_the_task() -> None:
    pacing = Pacing(5.0)
    sent = []
    for frame in range(20):  # a camera at 10 Hz, looked at ten times for each frame
        pacing.saw_frame(frame * NS // 10)
        for look in range(10):
            now = frame / 10 + look / 100
            stamp = pacing.due(now, round(now * NS), after_ns=3 * NS // 10, in_episode=True)
            if stamp is not None:
                pacing.sent(now, stamp)
                sent.append(stamp)
    assert sent[0] == 4 * NS // 10, 'earlier images were the policy`s'
    assert set(np.diff(sent)) == {NS // 5}


def test_without_images_a_step_is_made_outside_of_an_episode_only() -> None:
    pacing = Pacing(5.0)
    assert pacing.due(1.0, NS, after_ns=0, in_episode=True) is None
    assert pacing.due(1.0, NS, after_ns=0, in_episode=False) == NS
    pacing.sent(1.0, NS)
    assert pacing.due(1.1, 11 * NS // 10, after_ns=0, in_episode=False) is None
    assert pacing.due(1.21, 121 * NS // 100, after_ns=0, in_episode=False) is not None
    pacing.saw_frame(2 * NS)
    assert pacing.due(2.1, 21 * NS // 10, after_ns=0, in_episode=False) == 2 * NS
    assert not pacing.frames_flow(3 * NS)
