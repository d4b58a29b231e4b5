# SPDX-License-Identifier: Apache-2.0
"""A node between the others, through which every stream of the graph passes and is spoilt.

The nodes are real and know nothing of it: what one publishes arrives here on `/behind/...`, and
what the next one takes comes from here.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from vvf_msgs.msg import Action, ValueEstimate

from vvf.bench.faults_changes import CHANGES, GOOD
from vvf.bench.faults_judge import Heard
from vvf.nodes.common import stream_qos

#: Stream -> type, the publisher's own topic, where the relay takes it, where it gives it.
STREAMS: dict[str, tuple[Any, str, str, str]] = {
    'shoulder': (Image, '/shoulder/image_raw', '/behind/shoulder', '/usb/shoulder'),
    'wrist': (Image, '/wrist/image_raw', '/behind/wrist', '/usb/wrist'),
    'joint_states': (JointState, '/joint_states', '/behind/joint_states', '/joint_states'),
    'ee_pose': (PoseStamped, '/vvf/ee_pose', '/behind/ee_pose', '/vvf/ee_pose'),
    'value': (ValueEstimate, '/vvf/value', '/behind/value', '/vvf/value'),
    'action': (Action, '/vvf/action', '/behind/action', '/vvf/action'),
    'heartbeat': (
        String,
        '/vvf/episode/heartbeat',
        '/behind/heartbeat',
        '/vvf/episode/heartbeat',
    ),
}
LATE_S = 1.2  # more than any data may be old
_AGAIN_S = 0.5  # how much later an old action comes again


@dataclass
class Stream:
    """One stream, and what happens to it.

    Attributes:
        change: a key of `CHANGES`, `late` or `old ones again`; '' leaves it alone.
        arrived: when good messages were passed on, s of the steady clock.
        stamped: their stamps on the same clock, s.
    """

    publisher: Publisher
    rng: np.random.Generator
    change: str = ''
    changed: int = 0
    arrived: list[float] = field(default_factory=list)
    stamped: list[float] = field(default_factory=list)
    waiting: deque[tuple[float, Any]] = field(default_factory=deque)


class Relay:
    """The streams of a graph, on a node of this process.

    Attributes:
        streams: by name.
        episode: id of the running one, as its heartbeat says.
        measured: (time, joints (n,)) of the arm as it is, whatever is passed on.
    """

    def __init__(self, node: Node) -> None:
        self.episode = ''
        self.measured: list[tuple[float, np.ndarray]] = []
        self.streams: dict[str, Stream] = {}
        for name, (kind, _, taken, given) in STREAMS.items():
            qos = stream_qos(reliable=kind is not Image, depth=100)
            publisher = node.create_publisher(kind, given, qos)
            self.streams[name] = Stream(publisher, np.random.default_rng(0))
            node.create_subscription(kind, taken, lambda m, name=name: self._pass(name, m), qos)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(0.02, self._release, clock=steady)

    def spoil(self, name: str, change: str, seed: int) -> None:
        """From now on, change what passes."""
        stream = self.streams[name]
        stream.rng, stream.changed = np.random.default_rng(seed), 0
        stream.change = change

    def mend(self) -> None:
        """Everything passes as it is again; what was kept back comes at once, as from a buffer."""
        for stream in self.streams.values():
            stream.change = ''

    def forget(self) -> None:
        """Forget what was passed on."""
        for stream in self.streams.values():
            stream.arrived.clear()
            stream.stamped.clear()

    def heard(self) -> dict[str, Heard]:
        """What the gate was given and may act upon."""
        names = {'action': 'action', 'value': 'value', 'recorder': 'heartbeat'}
        return {
            key: Heard(np.array(self.streams[n].arrived), np.array(self.streams[n].stamped))
            for key, n in names.items()
        }

    def note(self, name: str, message: Any) -> None:
        """Take down that a good message goes out."""
        stream, now = self.streams[name], time.monotonic()
        stamped = now
        if hasattr(message, 'header'):
            stamped = steady(message.header.stamp)
        stream.arrived.append(now)
        stream.stamped.append(stamped)

    def _pass(self, name: str, message: Any) -> None:
        stream = self.streams[name]
        if name == 'joint_states':
            joints = np.array(message.position, np.float64)
            self.measured.append((steady(message.header.stamp), joints))
        elif name == 'heartbeat':
            self.episode = str(message.data)
        now = time.monotonic()
        change = stream.change
        if change == 'late':
            stream.waiting.append((now + LATE_S, message))
            return
        if change == 'old ones again':
            stream.waiting.append((now + _AGAIN_S, message))
        elif change:
            changed = CHANGES[change](message, stream.rng, stream.changed)
            stream.changed += 1
            for other in changed:
                self._send(stream, other, name if change in GOOD else '')
            return
        self._send(stream, message, name)

    def _send(self, stream: Stream, message: Any, note: str) -> None:
        if note and (note != 'heartbeat' or message.data):
            self.note(note, message)
        stream.publisher.publish(message)

    def _release(self) -> None:
        now = time.monotonic()
        for name, stream in self.streams.items():
            while stream.waiting and (stream.waiting[0][0] <= now or not stream.change):
                self._send(stream, stream.waiting.popleft()[1], name)


def steady(stamp: Any) -> float:
    """A stamp of the wall clock as a time of the steady one, s."""
    return float(stamp.sec + stamp.nanosec * 1e-9 - time.time() + time.monotonic())
