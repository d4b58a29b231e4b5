# SPDX-License-Identifier: Apache-2.0
"""Rates, ages, latencies and refusals of a node, published on `/diagnostics` at 1 Hz (REP-107).

`Meter` is plain arithmetic; `Diagnostics` is the thin ROS side, since `diagnostic_updater` has no
wheel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


class Meter:
    """Keeps the last `window` events: their rate and, where given, their latencies.

    Times are seconds on one clock, handed in by the caller.
    """

    def __init__(self, window: int = 200) -> None:
        self.count = 0
        self._times: deque[float] = deque(maxlen=window)
        self._latencies: deque[float] = deque(maxlen=window)

    def add(self, now: float, latency_s: float | None = None) -> None:
        """Count one event at `now` that took `latency_s`."""
        self.count += 1
        self._times.append(now)
        if latency_s is not None:
            self._latencies.append(latency_s)

    def rate_hz(self, now: float, horizon_s: float = 3.0) -> float:
        """Events per second over the last `horizon_s` seconds; 0 where nothing came."""
        recent = [t for t in self._times if now - t <= horizon_s]
        if len(recent) < 2:
            return 0.0
        return float((len(recent) - 1) / max(recent[-1] - recent[0], 1e-6))

    def age_s(self, now: float) -> float:
        """Seconds since the last event; infinite before the first."""
        return now - self._times[-1] if self._times else float('inf')

    def latency_ms(self, percentile: float) -> float:
        """A percentile of the kept latencies in milliseconds; NaN where none is known."""
        if not self._latencies:
            return float('nan')
        return float(np.percentile(np.asarray(self._latencies), percentile) * 1e3)


class Diagnostics:
    """Publishes one `DiagnosticStatus` of this node every second.

    Args:
        node: the rclpy node.
        report: returns `(level, message, values)`; level 0 ok, 1 warn, 2 error.
    """

    def __init__(self, node: Any, report: Callable[[], tuple[int, str, Mapping[str, Any]]]) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        self._node = node
        self._report = report
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._timer = node.create_timer(1.0, self._publish)

    def _publish(self) -> None:
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

        level, message, values = self._report()
        status = DiagnosticStatus(
            level=bytes([level]),
            name=self._node.get_fully_qualified_name(),
            message=message,
            hardware_id='vvf',
            values=[KeyValue(key=k, value=_text(v)) for k, v in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)


def _text(value: Any) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
