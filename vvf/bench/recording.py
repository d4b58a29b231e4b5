# SPDX-License-Identifier: Apache-2.0
"""The measurements of `vvf bench record`: a real episode node, and processes that publish to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rclpy
from rclpy.signals import SignalHandlerOptions

from vvf.bags.reader import open_bag
from vvf.bench.children import Child, child
from vvf.bench.streams import CAMERA_HZ, CAMERAS, HEIGHT, JOINTS, NAMES, WIDTH
from vvf.cli.output import progress_bar
from vvf.environment import ros_environment
from vvf.episode_client import EpisodeClient
from vvf.errors import UserError
from vvf.processes import PARENT

NAMESPACE = f'vvf_bench_{os.getpid()}'
TOPICS = tuple(f'/{NAMESPACE}/{topic}' for topic in (*CAMERAS, JOINTS))
_DISCOVERY_S = 90.0
_LAST_MESSAGES_S = 5.0
_KILL_AFTER_S = (0.5, 4.0)
_DOMAINS = range(50, 100)
_FOREVER_S = 600.0
_LOOK_S = 0.5
_STREAMS = 'vvf.bench.streams'


def measure(folder: Path, seconds: float) -> dict[str, Any]:
    """Record for a while and count what is in the bag.

    Returns:
        seconds, sent, recorded, lost, dropped, cpu_share (of one core, of the episode node while it
        records), longest_gap_s, mib_per_s and, by topic under `topics`, sent, recorded, lost and
        longest_gap_s.

    Raises:
        UserError: the processes did not find each other, or one of them died.
    """
    with _rig(folder / 'bags', seconds) as rig:
        path = rig.start()
        before, began = _cpu_s(rig.recorder), time.monotonic()
        sent = rig.send(seconds)
        cpu_share = (_cpu_s(rig.recorder) - before) / (time.monotonic() - began)
        rig.wait_for_messages(sum(sent.values()))
        rig.client.end('unlabelled')
    with open_bag(path) as bag:
        audit = json.loads(bag.custom_data['audit'])
        size = sum(len(data) for *_, data in bag.messages())
        numbers = {topic: _numbers(bag, topic) for topic in TOPICS}
    topics = {
        topic.removeprefix(f'/{NAMESPACE}/'): {
            'sent': sent[topic],
            'recorded': len(set(numbers[topic])),
            'lost': sent[topic] - len(set(numbers[topic])),
            'longest_gap_s': audit['topics'][topic]['longest_gap_s'],
        }
        for topic in TOPICS
    }
    total = {k: sum(t[k] for t in topics.values()) for k in ('sent', 'recorded', 'lost')}
    return {
        'seconds': seconds,
        **total,
        'dropped': audit['dropped'],
        'cpu_share': round(cpu_share, 4),
        'longest_gap_s': max(t['longest_gap_s'] for t in topics.values()),
        'mib_per_s': round(size / (1 << 20) / seconds, 3),
        'topics': topics,
    }


def measure_kills(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill the recorder at random moments of an episode, and read what it left.

    Returns:
        kills, kills_readable, kill_lost_s_mean and kill_lost_s_max (from the last message of the
        topic that misses most, or from the start where it has none, to the kill) and kill_holes
        (messages missing before the last one).

    Raises:
        UserError: the processes did not find each other.
    """
    rng = np.random.default_rng(seed)
    lost: list[float] = []
    readable = holes = 0
    with progress_bar('kills') as bar:
        task = bar.add_task('killing the recorder', total=kills)
        for index in range(kills):
            bags = folder / f'kill_{index}'
            path, began_ns, killed_ns = _kill_one(bags, float(rng.uniform(*_KILL_AFTER_S)))
            with suppress(UserError), open_bag(path) as bag:
                last = dict.fromkeys(TOPICS, began_ns)
                last |= {topic: stamp for topic, _, stamp, _ in bag.messages(TOPICS)}
                numbers = [_numbers(bag, topic) for topic in TOPICS]
                readable += 1
                lost.append((killed_ns - min(last.values())) * 1e-9)
                holes += sum(max(n) - min(n) + 1 - len(set(n)) for n in numbers if n)
            bar.advance(task)
    return {
        'kills': kills,
        'kills_readable': readable,
        'kill_lost_s_mean': round(float(np.mean(lost)), 4) if lost else None,
        'kill_lost_s_max': round(max(lost), 4) if lost else None,
        'kill_holes': holes,
    }


@dataclass
class _Rig:
    """A robot that publishes, a recorder, and somebody who asks for episodes."""

    recorder: subprocess.Popen[bytes]
    client: EpisodeClient
    streams: list[Child]

    def start(self) -> Path:
        """Start an episode, as soon as the recorder has found the robot, too."""
        deadline = time.monotonic() + _DISCOVERY_S
        while True:
            try:
                return Path(self.client.start().path)
            except UserError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def send(self, seconds: float) -> dict[str, int]:
        """Let the robot publish; messages sent by topic."""
        for stream in self.streams:
            stream.go_on()
        sent: dict[str, int] = {}
        for stream in self.streams:
            sent |= json.loads(stream.answer(2 * seconds + _DISCOVERY_S))
        return {f'/{NAMESPACE}/{topic}': count for topic, count in sent.items()}

    def wait_for_messages(self, count: int) -> None:
        """Wait until the recorder has so many, or it is clear that it will not have them."""
        deadline = time.monotonic() + _LAST_MESSAGES_S
        while time.monotonic() < deadline and self.client.read_status().written < count:
            pass


def _kill_one(bags: Path, after_s: float) -> tuple[Path, int, int]:
    """Kill a recorder `after_s` after the start of an episode: bag, start and kill in ns."""
    with _rig(bags, _FOREVER_S) as rig:
        for stream in rig.streams:
            stream.go_on()
        path = rig.start()
        began_ns = time.time_ns()
        time.sleep(after_s)
        segments = _shared_memory(rig.recorder)
        killed_ns = time.time_ns()
        rig.recorder.send_signal(signal.SIGKILL)
        rig.recorder.wait()
    for segment in segments:  # a killed process leaves them for ever
        segment.unlink(missing_ok=True)
    return path, began_ns, killed_ns


@contextmanager
def _rig(bags: Path, seconds: float) -> Iterator[_Rig]:
    """A rig in a ROS domain of its own, in which everybody has found everybody."""
    domain = _free_domain()
    env = ros_environment() | {'ROS_DOMAIN_ID': str(domain), PARENT: str(os.getpid())}
    bags.mkdir(parents=True)
    task = bags.parent / f'{bags.name}.yaml'
    task.write_text(_task())
    command = [sys.executable, '-m', 'vvf.nodes.episode', '--ros-args', '--log-level', 'error']
    command += ['-p', f'task:={task}', '-p', f'directory:={bags}', '-p', 'prepare_arm:=false']
    recorder = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        with ExitStack() as stack:
            streams = [
                stack.enter_context(child(_STREAMS, [role, NAMESPACE, str(seconds)], env))
                for role in ('cameras', 'joints')
            ]
            client = stack.enter_context(EpisodeClient(domain))
            client.wait_for_graph(_DISCOVERY_S)
            for stream in streams:
                stream.answer(_DISCOVERY_S)
            yield _Rig(recorder, client, streams)
    finally:
        recorder.terminate()
        recorder.wait()


def _free_domain() -> int:
    """A ROS domain in which nobody else is: services have one name for all."""
    for domain in np.random.default_rng().permutation(_DOMAINS).tolist():
        context = rclpy.Context()
        rclpy.init(
            context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO
        )
        node = rclpy.create_node('vvf_look', context=context)
        time.sleep(_LOOK_S)
        names = node.get_node_names()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
        if names == ['vvf_look']:
            return int(domain)
    raise UserError('every ROS domain from 50 to 99 is in use: stop some of the graphs.')


def _task() -> str:
    cameras = ''.join(
        f'  - {{name: camera_{index}, topic: {topic}, transport: compressed, '
        f'width: {WIDTH}, height: {HEIGHT}, rate_hz: {CAMERA_HZ:g}}}\n'
        for index, topic in enumerate(TOPICS[:-1])
    )
    return (
        f'name: bench\ninstruction: nothing\nrobot: none\nrate_hz: 5\ncameras:\n{cameras}'
        f'state:\n  - {{topic: {TOPICS[-1]}, type: joint_state, names: [{", ".join(NAMES)}]}}\n'
    )


def _numbers(bag: Any, topic: str) -> list[int]:
    """The numbers of a topic's messages, in order."""
    return [
        int(bag.deserialize(data, kind).header.frame_id)
        for _, kind, _, data in bag.messages([topic])
    ]


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def _shared_memory(process: subprocess.Popen[bytes]) -> list[Path]:
    """Segments of the middleware that a process has opened: its own, and those of its peers."""
    maps = psutil.Process(process.pid).memory_maps(grouped=True)
    return [Path(m.path) for m in maps if m.path.startswith('/dev/shm/fastrtps_')]
