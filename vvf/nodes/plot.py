# SPDX-License-Identifier: Apache-2.0
"""The `plot` node: the value over time as an image, and as colours in the scene.

`/vvf/value/plot` is a plain `sensor_msgs/Image`, since rviz has no display for time series;
`/vvf/value/markers` is for its 3D view. Neither is made while nobody listens.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from visualization_msgs.msg import MarkerArray
from vvf_msgs.msg import EpisodeEvent, ValueEstimate

from vvf.diagnostics import Diagnostics, Meter
from vvf.images import fill_image
from vvf.nodes.common import LATCHED, now_s, run, seconds, stream_qos
from vvf.nodes.newest import Newest
from vvf.nodes.value_markers import ValueMarkers
from vvf.parameters import TASK_PARAMETERS, Parameter, declare
from vvf.task import load_task
from vvf.viz.arm_lines import LINES
from vvf.viz.live_history import ProgressMap
from vvf.viz.plot import EVENTS, ValuePlot

PARAMETERS = (
    *TASK_PARAMETERS,
    Parameter('rate_hz', 5.0, 'how often plot and markers are drawn', 0.5, 30.0),
    Parameter('width', 640, 'width of the plot, pixels', 160, 3840),
    Parameter('height', 360, 'height of the plot, pixels', 120, 2160),
    Parameter('window_s', 30.0, 'seconds shown between episodes', 2.0, 600.0),
    Parameter('threshold', 0.9, 'progress that counts as success; 0: no line', 0.0, 1.0),
    Parameter('trail', 300, "points of the gripper's way kept for the markers", 2, 10000),
)

_EVENTS = {
    EpisodeEvent.START: 'start',
    EpisodeEvent.END: 'end',
    EpisodeEvent.LABEL: 'end',
    EpisodeEvent.INTERVENTION_START: 'takeover',
    EpisodeEvent.INTERVENTION_END: 'give back',
    EpisodeEvent.MILESTONE: 'milestone',
    EpisodeEvent.ERROR: 'error',
}
# These say in `detail` what happened, the others in `outcome`.
_DETAILED = ('takeover', 'give back', 'milestone', 'error')
_REPLAY_S = 10.0  # no value is that late: such a one is from a recording


class PlotNode(Node):
    """Draws what the value node says."""

    def __init__(self, **options: Any) -> None:
        super().__init__('plot', **options)
        p = declare(self, PARAMETERS)
        self._task = load_task(p['task'], p['robot'], p['rig'])
        self._plot = ValuePlot(
            p['width'],
            p['height'],
            window_s=p['window_s'],
            threshold=p['threshold'] or None,
            title=self._task.instruction,
        )
        self._markers = ValueMarkers(p['trail'])
        self._map = ProgressMap()
        self._model = ''
        self._meter = Meter()
        self._newest = 0.0  # stamp of the newest value, s; 0 before the first
        self._heard = now_s(self)  # when it came
        self._started: float | None = None  # stamp of the episode's start, until its first value
        self._in_episode = False
        self._image_output = self.create_publisher(Image, '/vvf/value/plot', stream_qos())
        self._marker_output = self.create_publisher(MarkerArray, '/vvf/value/markers', 2)
        self.create_subscription(ValueEstimate, '/vvf/value', self._on_value, stream_qos(depth=10))
        self.create_subscription(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED)
        self._pose = Newest(self, PoseStamped, '/vvf/ee_pose')
        self._line = LINES.get(self._task.robot)
        topics = [s.topic for s in self._task.state if s.type == 'joint_state']
        self._joints = Newest(self, JointState, topics[0]) if self._line and topics else None
        self.create_timer(1.0 / p['rate_hz'], self._draw)
        self._diagnostics = Diagnostics(self, self._report)

    def _on_value(self, message: ValueEstimate) -> None:
        stamp = seconds(message.header.stamp)
        if self._started is not None and abs(stamp - self._started) > _REPLAY_S:
            self._plot.mark(stamp, 'start')  # a replay: values have the stamps of the recording
        self._started = None
        self._newest, self._heard = stamp, now_s(self)
        if message.model != self._model:
            self._model, self._map = message.model, ProgressMap()
        self._map.learn(message.value, message.progress)
        band = self._map.half_width(message.value, message.uncertainty)
        self._plot.push(stamp, message.progress, band, message.advantage)
        self._markers.value(self._pose(), message.progress, message.advantage)

    def _on_event(self, event: EpisodeEvent) -> None:
        stamp = seconds(event.header.stamp)
        kind = _EVENTS.get(event.event)
        if kind == 'start':
            self._in_episode, self._started, self._newest = True, stamp, 0.0
            self._plot.title = event.instruction or self._task.instruction
            self._plot.mark(stamp, 'start')
            self._markers.clear()
        elif kind is not None and self._in_episode:
            if self._newest and abs(stamp - self._newest) > _REPLAY_S:
                stamp = self._newest
            name = event.outcome if event.outcome in EVENTS else kind
            self._plot.mark(stamp, name, event.detail if kind in _DETAILED else event.outcome)

    def _arm(self) -> npt.NDArray[np.float64] | None:
        """The arm's line, where the robot is known and has been heard of."""
        message = self._joints() if self._joints else None
        if self._line is None or message is None:
            return None
        names, line = self._line
        positions = dict(zip(message.name, message.position, strict=False))
        angles = [positions.get(name, np.nan) for name in names]
        return line(angles) if np.isfinite(angles).all() else None

    def _draw(self) -> None:
        began = now_s(self)
        stamp = self.get_clock().now().to_msg()
        if self._image_output.get_subscription_count():
            message = fill_image(Image(), self._plot.draw(began - self._heard))
            message.header.stamp = stamp
            message.header.frame_id = 'vvf_plot'
            self._image_output.publish(message)
            self._meter.add(now_s(self), now_s(self) - began)
        if self._marker_output.get_subscription_count():
            self._marker_output.publish(self._markers.message(stamp, self._pose(), self._arm()))

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        return 0, 'ok', {'draw_ms_p95': self._meter.latency_ms(95), 'drawn': self._meter.count}


def main() -> None:
    """Entry point of `ros2 run vvf plot`."""
    sys.exit(run(PlotNode))


if __name__ == '__main__':
    main()
