# SPDX-License-Identifier: Apache-2.0
"""Topics of 1000 Hz, read when they are needed: in Python a callback for each costs half a core."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from vvf.nodes.common import stream_qos


class NeverSpun(CallbackGroup):
    """Keeps executors from waking for what is polled."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


class PolledTopic:
    """A subscription that keeps the newest message until it is asked for."""

    def __init__(self, node: Node, kind: type, topic: str) -> None:
        self._subscription = node.create_subscription(
            kind, topic, lambda _: None, stream_qos(depth=1), callback_group=NeverSpun()
        )

    def take(self) -> Any | None:
        """The newest message, once; `None` where none came since."""
        handle = self._subscription.handle
        with handle:
            taken = handle.take_message(self._subscription.msg_type, self._subscription.raw)
        return None if taken is None else taken[0]
