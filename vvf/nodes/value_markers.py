# SPDX-License-Identifier: Apache-2.0
"""The value in the scene: the gripper's way coloured by advantage, the progress above it, the arm.

Of the gripper's way a bounded number of points is kept, a few millimetres apart, so that an arm
that rests does not push its way out.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, PoseStamped, Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vvf.viz.live_history import strength
from vvf.viz.plot import advantage_colours

_STEP_M = 0.004
_LIFETIME = Duration(sec=2)  # what nobody refreshes any more is not true any more


class ValueMarkers:
    """Collects what is known and makes a `MarkerArray` of it.

    Args:
        trail: points of the gripper's way that are kept.
    """

    def __init__(self, trail: int) -> None:
        self._points: deque[Point] = deque(maxlen=trail)
        self._gains: deque[float] = deque(maxlen=trail)
        self._progress = math.nan

    def clear(self) -> None:
        """Forget the way: for the start of an episode."""
        self._points.clear()
        self._gains.clear()
        self._progress = math.nan

    def value(self, pose: PoseStamped | None, progress: float, advantage: float) -> None:
        """What the model says of where the gripper is now; the advantage may be NaN."""
        self._progress = progress
        if pose is None:
            return
        here = pose.pose.position
        if self._points and _distance(self._points[-1], here) < _STEP_M:
            self._gains[-1] = advantage
            return
        self._points.append(here)
        self._gains.append(advantage)

    def message(
        self, stamp: Any, pose: PoseStamped | None, arm: npt.NDArray[np.float64] | None
    ) -> MarkerArray:
        """All markers; those of which nothing is known are taken away.

        Args:
            stamp: `builtin_interfaces/Time`.
            pose: of the gripper, or None.
            arm: the arm's line (N, 3) in `base_link`, metres, or None.
        """
        rgb = advantage_colours(strength(np.array(self._gains, np.float64))) / 255.0
        colours = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in rgb.tolist()]
        frame = (pose.header.frame_id if pose else '') or 'base_link'
        markers = []
        if len(self._points) > 1:
            way = _marker('way', Marker.LINE_STRIP, 0.006, colours[-1])
            way.points, way.colors = list(self._points), colours
            markers.append(way)
        if self._points and pose is not None:
            tip = _marker('gripper', Marker.SPHERE, 0.03, colours[-1])
            tip.pose.position = pose.pose.position
            markers.append(tip)
        if pose is not None and math.isfinite(self._progress):
            number = _marker('progress', Marker.TEXT_VIEW_FACING, 0.05, _grey(0.95))
            p = pose.pose.position
            number.pose.position = Point(x=p.x, y=p.y, z=p.z + 0.08)
            number.text = f'{self._progress:.2f}'
            markers.append(number)
        for marker in markers:
            marker.header.frame_id = frame
        if arm is not None:
            markers += _arm(arm)
        shown = {marker.ns for marker in markers}
        for name in {'way', 'gripper', 'progress', 'arm', 'joints'} - shown:
            markers.append(Marker(ns=name, action=Marker.DELETE))
        for marker in markers:
            marker.header.stamp = stamp
            marker.header.frame_id = marker.header.frame_id or frame
        return MarkerArray(markers=markers)


def _arm(line: npt.NDArray[np.float64]) -> list[Marker]:
    links = _marker('arm', Marker.LINE_STRIP, 0.03, _grey(0.42))
    joints = _marker('joints', Marker.SPHERE_LIST, 0.045, _grey(0.28))
    points = [Point(x=x, y=y, z=z) for x, y, z in line.tolist()]
    links.points, joints.points = points, points[:-1]
    for marker in (links, joints):
        marker.header.frame_id = 'base_link'
    return [links, joints]


def _marker(name: str, kind: int, size: float, colour: ColorRGBA) -> Marker:
    marker = Marker(ns=name, type=kind, action=Marker.ADD, color=colour, lifetime=_LIFETIME)
    marker.scale = Vector3(x=size, y=size, z=size)
    marker.pose.orientation.w = 1.0
    return marker


def _grey(level: float) -> ColorRGBA:
    return ColorRGBA(r=level, g=level, b=level, a=1.0)


def _distance(a: Point, b: Point) -> float:
    return math.dist((a.x, a.y, a.z), (b.x, b.y, b.z))
