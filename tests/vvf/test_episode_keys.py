# SPDX-License-Identifier: Apache-2.0
"""`vvf episode` against a real episode node: one request, and keys in a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vvf.bags.reader import open_bag
from vvf.cli.main import main
from vvf.environment import ros_environment
from vvf.episode_client import EpisodeClient
from vvf.errors import UserError
from vvf.processes import PARENT

DOMAIN = 96
TASK = """
name: watched
instruction: look
robot: none
rate_hz: 5
cameras:
  - {name: cam, topic: /cam/image_raw}
record:
  - {topic: /vvf/episode, type: vvf_msgs/msg/EpisodeEvent, qos: latched}
"""
#: A camera: a publisher is all that an episode needs to begin.
CAMERA = """
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from vvf.processes import end_with_parent

end_with_parent()
rclpy.init()
node = rclpy.create_node('camera')
camera = node.create_publisher(Image, '/cam/image_raw', qos_profile_sensor_data)
node.create_timer(0.05, lambda: camera.publish(Image()))
with suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.spin(node)
"""


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which an episode node and a camera run."""
    folder = tmp_path_factory.mktemp('keys')
    task = folder / 'watched.yaml'
    task.write_text(TASK)
    env = ros_environment() | {'ROS_DOMAIN_ID': str(DOMAIN), PARENT: str(os.getpid())}
    node = [sys.executable, '-m', 'vvf.nodes.episode', '--ros-args', '-p', f'task:={task}']
    node += ['-p', f'directory:={folder / "bags"}', '-p', 'ring_seconds:=5.0']
    processes = [
        subprocess.Popen(command, env=env, start_new_session=True)
        for command in (node, [sys.executable, '-c', CAMERA])
    ]
    try:
        with EpisodeClient(DOMAIN) as client:
            client.wait_for_graph(60.0)
            deadline = time.monotonic() + 60
            while not client.read_status().rates_hz.get('/cam/image_raw'):
                assert time.monotonic() < deadline
        yield env
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


class Terminal:
    """A command of vvf in a pseudo-terminal, 100 x 24."""

    def __init__(self, env: dict[str, str], *words: str, folder: Path | None = None) -> None:
        self.text = ''
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'vvf', *(words or ('episode', 'keys'))],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=folder,
            env=env | {'TERM': 'xterm-256color'},
            # A test run in the background of a script has Ctrl-C switched off, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def wait(self, words: str, seconds: float = 30.0) -> None:
        """Read until the words are shown; what came before them is forgotten."""
        end = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self._mine], [], [], 0.1)[0]:
                self.text += os.read(self._mine, 65536).decode('utf-8', 'replace')
        self.text = self.text.partition(words)[2]

    def press(self, key: str) -> None:
        os.write(self._mine, key.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._mine)
        os.close(self.theirs)


@pytest.fixture
def terminal(graph: dict[str, str]) -> Iterator[Terminal]:
    made = Terminal(graph)
    yield made
    made.close()


@pytest.fixture
def vvf(
    graph: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs `vvf episode ...`; gives its exit code and what it said."""
    monkeypatch.setenv('ROS_DOMAIN_ID', graph['ROS_DOMAIN_ID'])

    def call(*words: str) -> tuple[int, str]:
        code = main(['episode', *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def outcome(path: str) -> str:
    with open_bag(Path(path)) as bag:
        return bag.custom_data['outcome']


def test_keys_start_stop_judge_save_and_quit(terminal: Terminal) -> None:
    terminal.wait('no episode')
    terminal.wait('/cam/image_raw')
    terminal.wait('q quit')
    terminal.press(' ')
    terminal.wait('started watched-')
    terminal.wait('●')
    terminal.press('\x1b[A')  # an arrow is no request
    terminal.press('r')
    terminal.wait('saved ')
    terminal.press('s')
    terminal.wait('ended as success')
    terminal.wait('last: success')
    terminal.press('f')
    terminal.wait('labelled failure')
    terminal.press(' ')
    terminal.wait('started watched-')
    terminal.wait('●')
    terminal.press(' ')
    terminal.wait('ended as unlabelled')
    terminal.press('q')
    assert terminal.process.wait(20) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before, 'the terminal is as it was'


def test_ctrl_c_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.wait('q quit')
    terminal.process.send_signal(2)
    assert terminal.process.wait(20) == 130
    assert termios.tcgetattr(terminal.theirs) == terminal.before


def test_one_request_at_a_time(vvf, tmp_path: Path) -> None:
    _, said = vvf('start', '--id', 'by_hand', '--instruction', 'look')
    assert said.startswith('by_hand began: /')
    _, said = vvf('status', '--json', str(tmp_path / 'status.json'))
    assert said.startswith('by_hand, ')
    numbers = json.loads((tmp_path / 'status.json').read_text())
    assert numbers['episode'] == 'by_hand'
    assert numbers['rates_hz']['/cam/image_raw'] > 0
    _, said = vvf('end', 'success', '--note', 'neat')
    path = said.split(': ')[1].strip()
    assert outcome(path) == 'success'
    assert vvf('label', 'failure')[0] == 0
    assert outcome(path) == 'failure'
    assert vvf('end', 'success') == (2, 'vvf: no episode is running.\n')


def test_keys_without_a_terminal_say_so(vvf) -> None:
    code, said = vvf('keys')
    assert code == 2
    assert said.startswith('vvf: `vvf episode keys` needs a terminal')


def test_where_no_graph_runs_one_sentence_says_how_to_start_one() -> None:
    with EpisodeClient(DOMAIN + 1) as client, pytest.raises(UserError) as error:
        client.wait_for_graph(0.2)
    assert str(error.value).startswith('no graph runs in ROS domain 97: start one with')
