# SPDX-License-Identifier: Apache-2.0
"""Processes are watched, started again, and stopped in order."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vvf import supervisor as module
from vvf.node_spec import NodeSpec
from vvf.supervisor import STOP_WITHIN_S, Supervisor, node_command

SLEEPER = """
import signal, sys, time
name, how = sys.argv[1], sys.argv[2]
def stop(number, frame):
    if how == 'stubborn':
        return
    open(name, 'w').write(str(time.monotonic()))
    sys.exit(0)
signal.signal(signal.SIGINT, stop)
print('ready', flush=True)
if how.startswith('exit'):
    sys.exit(int(how[4:]))
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator:
    """Supervises small programs in the place of nodes: how each behaves is in its namespace."""
    script = tmp_path / 'sleeper.py'
    script.write_text(SLEEPER)

    def command(spec: NodeSpec, file: Path) -> list[str]:
        return [sys.executable, str(script), str(tmp_path / spec.name), spec.namespace]

    monkeypatch.setattr(module, 'node_command', command)
    made: list[Supervisor] = []

    def begin(*specs: NodeSpec) -> tuple[Supervisor, list[str]]:
        lines: list[str] = []
        made.append(Supervisor(specs, log=lines.append, environment=dict(os.environ)))
        made[-1].__enter__()
        return made[-1], lines

    yield begin
    for each in made:
        each.stop()


def wait(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def spec(name: str, how: str = 'obey', **more) -> NodeSpec:
    return NodeSpec('x', name, namespace=how, **more)


def test_a_killed_process_is_reported_once_and_started_again(run) -> None:
    supervisor, lines = run(spec('a'))
    wait(lambda: any('ready' in line for line in lines))
    first = supervisor.pid('a')
    os.kill(first, signal.SIGKILL)
    wait(lambda: supervisor.restarts('a') == 1)
    assert supervisor.pid('a') != first
    assert [line for line in lines if 'died' in line] == [
        '[vvf] a died (signal SIGKILL); starting it again'
    ]
    # Before it is ready it would not hear that it is to stop.
    wait(lambda: sum('ready' in line for line in lines) == 2)


def test_what_may_not_come_back_ends_the_graph(run) -> None:
    supervisor, _ = run(spec('arm', respawn=False), spec('b'))
    os.kill(supervisor.pid('arm'), signal.SIGKILL)
    assert supervisor.wait(20)
    assert supervisor.failure == 'arm died (signal SIGKILL)'


def test_a_process_that_is_through_ends_the_graph_in_peace(run) -> None:
    supervisor, _ = run(spec('replay', 'exit0', respawn=False), spec('b'))
    assert supervisor.wait(20)
    assert supervisor.failure is None


def test_wrong_settings_are_not_tried_again(run) -> None:
    supervisor, _ = run(spec('value', 'exit2'))
    assert supervisor.wait(20)
    assert supervisor.failure == 'value refused its settings'
    assert supervisor.restarts('value') == 0


def test_a_process_that_keeps_dying_is_given_up(run) -> None:
    supervisor, _ = run(spec('value', 'exit1'))
    assert supervisor.wait(30)
    assert supervisor.failure == 'value died 6 times (exit code 1)'


def test_what_moves_is_stopped_first(run, tmp_path: Path) -> None:
    supervisor, lines = run(spec('b'), spec('arm', stop_first=True), spec('c'))
    wait(lambda: sum('ready' in line for line in lines) == 3)
    supervisor.stop()
    times = {name: float((tmp_path / name).read_text()) for name in ('arm', 'b', 'c')}
    assert times['arm'] < min(times['b'], times['c'])
    assert not any(supervisor.alive().values())


def test_the_stubborn_are_ended(run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._ARM_TIME_S + module._MARGIN_S < STOP_WITHIN_S
    monkeypatch.setattr(module, '_ARM_TIME_S', 0.5)
    monkeypatch.setattr(module, 'STOP_WITHIN_S', 1.5)
    supervisor, lines = run(spec('arm', 'stubborn', stop_first=True), spec('b', 'stubborn'))
    wait(lambda: sum('ready' in line for line in lines) == 2)
    supervisor.stop()
    assert not any(supervisor.alive().values())
    assert len([line for line in lines if 'did not stop' in line]) == 2


def test_the_command_line_is_a_list_with_the_node_and_its_files() -> None:
    node = NodeSpec('value', 'left_value', namespace='/left', remappings=(('/a', '/b'),))
    command = node_command(node, Path('p.yaml'))
    assert command[:3] == [sys.executable, '-m', 'vvf.nodes.value']
    assert '__node:=left_value' in command
    assert '__ns:=/left' in command
    assert '/a:=/b' in command
    assert command[-1] == 'p.yaml'
