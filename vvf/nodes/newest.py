# SPDX-License-Identifier: Apache-2.0
"""Messages of a fast topic, without a callback for each of them.

In rclpy it is the callbacks that cost: a node that looks at every hundredth joint state pays for
all of them. The executor never sees these subscriptions; the middleware keeps the last messages,
and they are taken when somebody asks.
"""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from vvf.nodes.common import stream_qos


class _Asleep(CallbackGroup):
    """A group whose callbacks are never called, so that the executor does not wait for them."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class Mailbox:
    """A subscription that is emptied when somebody asks.

    Args:
        node: owner of the subscription.
        kind: class of the messages.
        topic: name of the topic.
        qos: its depth says how many messages are kept until then, the last ones.
    """

    def __init__(self, node: Node, kind: Any, topic: str, qos: QoSProfile) -> None:
        self._node = node
        self._subscription = node.create_subscription(
            kind, topic, _unused, qos, callback_group=_Asleep()
        )

    def take(self) -> list[Any]:
        """What came since the last time, in that order."""
        handle, taken = self._subscription.handle, []
        with handle:
            while found := handle.take_message(self._subscription.msg_type, False):
                taken.append(found[0])
        return taken

    def close(self) -> None:
        """Undo the subscription."""
        self._node.destroy_subscription(self._subscription)


class Newest:
    """The last message of a topic.

    Args:
        node: owner of the subscription.
        kind: class of the messages.
        topic: name of the topic; it is subscribed to with best effort.
    """

    def __init__(self, node: Node, kind: Any, topic: str) -> None:
        self._kept: Any = None
        self._mailbox = Mailbox(node, kind, topic, stream_qos(depth=1))

    def __call__(self) -> Any:
        """The last message that came, or None before the first."""
        taken = self._mailbox.take()
        if taken:
            self._kept = taken[-1]
        return self._kept


def _unused(message: Any) -> None:
    raise AssertionError('the executor was not to see this subscription')
