# SPDX-License-Identifier: Apache-2.0
"""The node with which `vvf bench faults` listens and speaks to a graph."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vvf_msgs.action import RunEpisode
from vvf_msgs.msg import EpisodeEvent
from vvf_msgs.srv import EndEpisode

from vvf.bench.faults_relay import Relay
from vvf.nodes.common import LATCHED
from vvf.own_node import OwnNode


class Ears(OwnNode):
    """The campaign's own node, spun by a thread."""

    def __init__(self) -> None:
        super().__init__('vvf_faults')
        self.events: list[Any] = []
        self.diagnostics: dict[str, str] = {}

    def opened(self) -> None:
        """See `OwnNode`."""
        node = self._node
        self.relay = Relay(node)
        node.create_subscription(EpisodeEvent, '/vvf/episode', self.events.append, LATCHED)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.event = node.create_publisher(EpisodeEvent, '/vvf/episode', LATCHED)
        self.button = node.create_publisher(Bool, '/vvf/estop/pressed', LATCHED)
        self.run = ActionClient(node, RunEpisode, '/vvf/episode/run')
        self.end = node.create_client(EndEpisode, '/vvf/episode/end')
        names = ('/vvf/estop', '/vvf/estop_reset')
        self.services = {name: node.create_client(Trigger, name) for name in names}
        self._states = {
            name: node.create_client(GetState, f'/{name}/get_state') for name in ('value', 'policy')
        }
        self._asked: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._spin, name='ears', daemon=True)
        self._thread.start()

    def closing(self) -> None:
        """See `OwnNode`."""
        self.run.destroy()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._thread.join(timeout=5.0)
        super().__exit__(kind, error, trace)

    def now(self) -> Any:
        """Stamp of this moment."""
        return self._node.get_clock().now().to_msg()

    def is_active(self, name: str) -> bool:
        """Whether a lifecycle node works; asks again each time."""
        client, asked = self._states[name], self._asked.pop(name, None)
        if asked is not None and asked.done() and asked.result() is not None:
            return bool(asked.result().current_state.id == State.PRIMARY_STATE_ACTIVE)
        if asked is not None and not asked.done():
            self._asked[name] = asked
        elif client.service_is_ready():
            self._asked[name] = client.call_async(GetState.Request())
        return False

    def _spin(self) -> None:
        with suppress(ExternalShutdownException, rclpy.executors.ShutdownException):
            self._executor.spin()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == '/arm':
                self.diagnostics = {v.key: v.value for v in status.values}
