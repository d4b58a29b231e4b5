# SPDX-License-Identifier: Apache-2.0
"""Asks the episode node of a running graph: start, end, label, save, and how it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from rclpy.task import Future
from std_msgs.msg import String
from vvf_msgs.msg import ValueEstimate
from vvf_msgs.srv import EndEpisode, StartEpisode

from vvf.episode_requests import PREFIX, SERVICES, AsksEpisodes
from vvf.errors import UserError
from vvf.own_node import OwnNode

_LOOK_FOR_S = 8.0
_PATIENCE_S = 30.0  # starting `ros2 bag record`, or saving a large ring buffer, takes its time


@dataclass
class EpisodeStatus:
    """What the episode node reports once a second.

    Attributes:
        episode: id of the running episode, '' between two.
        message: of the node about itself: recording, idle, or what is wrong.
        seconds: since the episode began.
        written: messages in its bag.
        dropped: messages that did not fit into the write queue.
        lost: messages that never reached the recorder.
        last_outcome: of the last recorded episode, '' before the first.
        last_path: its bag.
        free_gib: room on the disk.
        ring_s: how far back the ring buffer reaches.
        ring_mib: memory that it takes.
        rates_hz: messages per second by topic.
    """

    episode: str = ''
    message: str = ''
    seconds: float = 0.0
    written: int = 0
    dropped: int = 0
    lost: int = 0
    last_outcome: str = ''
    last_path: str = ''
    free_gib: float = 0.0
    ring_s: float = 0.0
    ring_mib: float = 0.0
    rates_hz: dict[str, float] = field(default_factory=dict)


def parse_status(message: str, values: dict[str, str]) -> EpisodeStatus:
    """The status in a diagnostic message of the episode node."""
    number = {k: float(v) for k, v in values.items() if k.startswith('/')}
    return EpisodeStatus(
        episode=values.get('episode', ''),
        message=message,
        seconds=float(values.get('seconds', 0)),
        written=int(values.get('written', 0)),
        dropped=int(values.get('dropped', 0)),
        lost=int(values.get('lost', 0)),
        last_outcome=values.get('last_outcome', ''),
        last_path=values.get('last_path', ''),
        free_gib=float(values.get('free_gib', 0)),
        ring_s=float(values.get('ring_s', 0)),
        ring_mib=float(values.get('ring_mib', 0)),
        rates_hz=number,
    )


class EpisodeClient(OwnNode, AsksEpisodes):
    """Asks and listens; a context manager.

    Args:
        domain: ROS domain; default: that of `ROS_DOMAIN_ID`.

    Attributes:
        status: newest report; `None` before the first.
        running: the episode that runs, '' between two.
        heard_s: when the episode node was last heard, on the monotonic clock.
        progress: newest progress in [0, 1]; NaN before the first.
    """

    def __init__(self, domain: int | None = None) -> None:
        super().__init__('vvf_operator', domain)
        self.status: EpisodeStatus | None = None
        self.running = ''
        self._reports = 0
        self.heard_s = time.monotonic()
        self.progress = float('nan')

    def opened(self) -> None:
        """See `OwnNode`."""
        subscribe = self._node.create_subscription
        subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        subscribe(String, f'{PREFIX}/heartbeat', self._on_heartbeat, 10)
        subscribe(ValueEstimate, '/vvf/value', self._on_value, qos_profile_sensor_data)
        self._clients = {
            name: self._node.create_client(kind, f'{PREFIX}/{name}')
            for name, kind in SERVICES.items()
        }

    def wait_for_graph(self, timeout_s: float = _LOOK_FOR_S) -> None:
        """Wait until an episode node is there.

        Raises:
            UserError: there is none.
        """
        if not self._until(self._clients['start'].service_is_ready, timeout_s):
            domain = self._domain or os.environ.get('ROS_DOMAIN_ID', '0')
            raise UserError(
                f'no graph runs in ROS domain {domain}: start one with `vvf up TASK`, or give the '
                'ROS_DOMAIN_ID of the one that runs.'
            )

    def read_status(self) -> EpisodeStatus:
        """Wait for the next report.

        Raises:
            UserError: there is no graph, or its episode node is silent.
        """
        self.wait_for_graph()
        before = self._reports
        heard = self._until(lambda: self._reports > before, _PATIENCE_S)
        if not heard or self.status is None:
            raise UserError('the episode node does not report: its log says why.')
        return self.status

    def start(self, instruction: str = '', episode_id: str = '') -> StartEpisode.Response:
        """Start an episode.

        Args:
            instruction: '' takes the task's own.
            episode_id: '' lets the node make one.

        Raises:
            UserError: there is no graph, or it refuses.
        """
        return self._finish(self.ask_start(instruction, episode_id))

    def end(self, outcome: str, note: str = '') -> EndEpisode.Response:
        """End the running episode; see `start`."""
        return self._finish(self.ask_end(outcome, note))

    def label(self, outcome: str, note: str = '') -> EndEpisode.Response:
        """Give the last episode another outcome; see `start`."""
        return self._finish(self.ask_label(outcome, note))

    def save(self) -> str:
        """Save the ring buffer; returns its bag. See `start`."""
        return str(self._finish(self.ask_save()).message)

    def spin(self, seconds: float) -> None:
        """Listen for a moment."""
        self._executor.spin_once(timeout_sec=seconds)

    def _ask(self, name: str, request: Any) -> Future:
        client = self._clients[name]
        self.wait_for_graph()
        if not self._until(client.service_is_ready, _LOOK_FOR_S):
            raise UserError(f'the episode node has no service {PREFIX}/{name}: it is another vvf.')
        return client.call_async(request)

    def _finish(self, future: Future) -> Any:
        if not self._until(future.done, _PATIENCE_S):
            raise UserError('the episode node does not answer: its log says why.')
        response = future.result()
        if not response.success:
            ended = response.message.endswith(('.', '?'))
            raise UserError(response.message if ended else f'{response.message}.')
        return response

    def _until(self, done: Callable[[], object], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def _on_heartbeat(self, message: String) -> None:
        self.running, self.heard_s = str(message.data), time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == '/episode':
                self._reports += 1
                self.status = parse_status(status.message, {v.key: v.value for v in status.values})

    def _on_value(self, message: ValueEstimate) -> None:
        self.progress = float(message.progress)
