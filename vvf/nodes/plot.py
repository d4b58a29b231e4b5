# SPDX-License-Identifier: Apache-2.0
"""The `plot` node: the value over time as an image, and as colours along the gripper's way.

`/vvf/value/plot` is a plain `sensor_msgs/Image`, since rviz has no display for time series. Nothing
is drawn while nobody listens.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

from geometry_msgs.msg import Point, PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray
from vvf_msgs.msg import EpisodeEvent, ValueEstimate

from vvf.diagnostics import Diagnostics, Meter
from vvf.images import fill_image
from vvf.nodes.common import LATCHED, now_s, run, seconds, stream_qos
from vvf.parameters import Parameter, declare
from vvf.task import load_task
from vvf.viz.plot import ValuePlot

PARAMETERS = (
    Parameter('task', 'pick_place', 'task file: a name in config/tasks or a path'),
    Parameter('rate_hz', 5.0, 'how often the plot is drawn', 0.5, 30.0),
    Parameter('width', 640, 'width of the plot, pixels', 160, 3840),
    Parameter('height', 320, 'height of the plot, pixels', 120, 2160),
    Parameter('trail', 300, 'gripper positions kept for the markers', 2, 10000),
)

_EVENTS = {
    EpisodeEvent.START: 'start',
    EpisodeEvent.END: 'end',
    EpisodeEvent.LABEL: 'label',
    EpisodeEvent.INTERVENTION_START: 'takeover',
    EpisodeEvent.INTERVENTION_END: 'give back',
    EpisodeEvent.MILESTONE: 'milestone',
    EpisodeEvent.ERROR: 'error',
}
_REPLAY_S = 10.0


class PlotNode(Node):
    """Draws what the value node says."""

    def __init__(self) -> None:
        super().__init__('plot')
        p = declare(self, PARAMETERS)
        load_task(p['task'])
        self._plot = ValuePlot(p['width'], p['height'])
        self._meter = Meter()
        self._newest = 0.0  # stamp of the newest value, s; 0 before the first
        self._gripper: Point | None = None
        self._trail: deque[tuple[Point, float]] = deque(maxlen=p['trail'])
        self._image = self.create_publisher(Image, '/vvf/value/plot', stream_qos())
        self._markers = self.create_publisher(MarkerArray, '/vvf/value/markers', 2)
        self.create_subscription(ValueEstimate, '/vvf/value', self._on_value, stream_qos(depth=10))
        self.create_subscription(EpisodeEvent, '/vvf/episode', self._on_event, LATCHED)
        self.create_subscription(PoseStamped, '/vvf/ee_pose', self._on_pose, stream_qos())
        self.create_timer(1.0 / p['rate_hz'], self._draw)
        self._diagnostics = Diagnostics(self, self._report)

    def _on_value(self, message: ValueEstimate) -> None:
        stamp = seconds(message.header.stamp)
        self._newest = stamp
        self._plot.push(stamp, message.progress)
        if self._gripper is not None:
            self._trail.append((self._gripper, float(message.progress)))

    def _on_event(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.START:
            self._plot.clear()
            self._trail.clear()
            self._newest = 0.0
        label = event.outcome or event.detail or _EVENTS.get(event.event, '')
        stamp = seconds(event.header.stamp)
        if abs(stamp - self._newest) > _REPLAY_S:
            stamp = self._newest  # a replay: the values have the stamps of the recording
        if stamp:
            self._plot.mark(stamp, label)

    def _on_pose(self, message: PoseStamped) -> None:
        self._gripper = message.pose.position

    def _draw(self) -> None:
        began = now_s(self)
        if self._image.get_subscription_count():
            message = fill_image(Image(), self._plot.draw())
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = 'vvf_plot'
            self._image.publish(message)
            self._meter.add(now_s(self), now_s(self) - began)
        if self._markers.get_subscription_count() and len(self._trail) > 1:
            self._markers.publish(MarkerArray(markers=[self._line()]))

    def _line(self) -> Marker:
        marker = Marker(ns='value', id=0, type=Marker.LINE_STRIP, action=Marker.ADD)
        marker.header.frame_id = 'base_link'
        marker.header.stamp = self.get_clock().now().to_msg()
        marker.scale.x = 0.004
        marker.pose.orientation.w = 1.0
        for point, progress in self._trail:
            marker.points.append(point)
            # Blue for far, orange for near: told apart by most colour-blind people, too.
            p = min(max(progress, 0.0), 1.0)
            marker.colors.append(ColorRGBA(r=p, g=0.3 + 0.3 * p, b=1.0 - p, a=1.0))
        return marker

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        return 0, 'ok', {'draw_ms_p95': self._meter.latency_ms(95), 'drawn': self._meter.count}


def main() -> None:
    """Entry point of `ros2 run vvf plot`."""
    sys.exit(run(PlotNode))


if __name__ == '__main__':
    main()
