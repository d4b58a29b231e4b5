# SPDX-License-Identifier: Apache-2.0
"""The newest message of a fast topic, without a callback for each of its messages.

In rclpy it is the callbacks that cost: a node that looks at every hundredth joint state pays for
all of them. The executor never sees this subscription; the middleware keeps the last message, and
it is taken when somebody asks.
"""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from vvf.nodes.common import stream_qos


class _Asleep(CallbackGroup):
    """A group whose callbacks are never called, so that the executor does not wait for them."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class Newest:
    """A subscription that is asked.

    Args:
        node: owner of the subscription.
        kind: class of the messages.
        topic: name of the topic; it is subscribed to with best effort.
    """

    def __init__(self, node: Node, kind: Any, topic: str) -> None:
        self._kept: Any = None
        self._subscription = node.create_subscription(
            kind, topic, _unused, stream_qos(depth=1), callback_group=_Asleep()
        )

    def __call__(self) -> Any:
        """The last message that came, or None before the first."""
        handle = self._subscription.handle
        with handle:
            taken = handle.take_message(self._subscription.msg_type, self._subscription.raw)
        if taken is not None:
            self._kept = taken[0]
        return self._kept


def _unused(message: Any) -> None:
    raise AssertionError('the executor was not to see this subscription')
