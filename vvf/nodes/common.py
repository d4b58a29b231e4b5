# SPDX-License-Identifier: Apache-2.0
"""What every node's `main` does: start, spin, stop cleanly, and say in one line what was wrong."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.signals import SignalHandlerOptions

from vvf.errors import is_user_error
from vvf.processes import USER_ERROR, end_with_parent

#: State that a late joiner must still hear, such as which episode runs.
LATCHED = QoSProfile(
    depth=10,  # a busy listener must not miss an end that a start follows at once
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    history=HistoryPolicy.KEEP_LAST,
)


def stream_qos(*, reliable: bool = False, depth: int = 2) -> QoSProfile:
    """QoS of sensor streams: best effort and short (REP-2003), or loss-free for a replay."""
    return QoSProfile(
        depth=depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
    )


def seconds(stamp: Any) -> float:
    """A `builtin_interfaces/Time` in seconds."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


def now_s(node: Node) -> float:
    """The node's clock in seconds."""
    return float(node.get_clock().now().nanoseconds) * 1e-9


def run(make: Callable[[], Node], args: list[str] | None = None) -> int:
    """Initialise rclpy, spin the node until SIGINT or SIGTERM, and close it.

    A node may have `begin_stop()` and `stopped`: it is spun on until it has stopped, at most for
    its `stop_patience_s`; and `close()`, called before it is destroyed.

    Returns:
        Exit code: 0 after a stop, 2 after an error that the user can mend (one sentence on
        standard error).
    """
    end_with_parent()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    stop = _StopFlag()
    node: Node | None = None
    try:
        node = make()
        executor.add_node(node)
        while rclpy.ok() and not stop.set and not getattr(node, 'done', False):
            executor.spin_once(timeout_sec=0.1)
        _wind_down(node, executor)
        failure = getattr(node, 'failure', None)
        if failure:
            print(f'[ERROR] {failure}', file=sys.stderr, flush=True)
            return USER_ERROR
        return 0
    except ExternalShutdownException:
        return 0
    except Exception as error:
        if is_user_error(error):
            print(f'[ERROR] {error}', file=sys.stderr, flush=True)
            return USER_ERROR
        raise
    finally:
        if node is not None:
            close = getattr(node, 'close', None)
            if close is not None:
                close()
            executor.remove_node(node)
            node.destroy_node()
        rclpy.try_shutdown()


def _wind_down(node: Node, executor: SingleThreadedExecutor) -> None:
    """Let a node come to rest; its services, the emergency stop above all, are served meanwhile."""
    begin_stop = getattr(node, 'begin_stop', None)
    if begin_stop is None:
        return
    begin_stop()
    deadline = time.monotonic() + node.stop_patience_s
    while not node.stopped and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.02)


class _StopFlag:
    """Set by SIGINT and SIGTERM; the loop above looks at it ten times a second."""

    def __init__(self) -> None:
        self.set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.set = True
