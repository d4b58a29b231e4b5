# SPDX-License-Identifier: Apache-2.0
"""A ROS node for a program that is otherwise none: it asks a running graph, and is gone again."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from vvf.shared_memory import remove_stale_segments


class OwnNode:
    """A node in a context of its own, so that others in this process are left alone.

    A context manager, which calls `opened` and `closing`; Ctrl-C stays the program's.

    Args:
        name: The node's.
        domain: ROS domain; default: that of `ROS_DOMAIN_ID`.
    """

    def __init__(self, name: str, domain: int | None = None) -> None:
        self._name, self._domain = name, domain

    def __enter__(self) -> Self:
        remove_stale_segments()  # or a graph that runs may not be found in time
        self._context = rclpy.Context()
        rclpy.init(
            context=self._context,
            domain_id=self._domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._node = rclpy.create_node(self._name, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.opened()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.remove_node(self._node)
        self.closing()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def opened(self) -> None:
        """Make what the node needs."""

    def closing(self) -> None:
        """Destroy what the node does not."""

    def count_publishers(self, topic: str) -> int:
        """How many nodes publish a topic, as far as this one has heard."""
        return int(self._node.count_publishers(topic))
