# SPDX-License-Identifier: Apache-2.0
"""Looks at the image topics of a running graph for a moment: rate, size, stamps, calibration."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vvf.images import ImageError, to_rgb
from vvf.nodes.common import stream_qos
from vvf.own_node import OwnNode
from vvf.stamp_check import StampCheck

_KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
_DISCOVERY_S = 1.5
_TOLERANCE_S = 0.15
_OWN = '/vvf/'  # plots, no cameras


@dataclass
class TopicView:
    """What was seen of one image topic.

    Attributes:
        topic: its name.
        transport: `raw` or `compressed`.
        rate_hz: messages per second; 0 with fewer than two.
        width: pixels; 0 where nothing came or could be decoded.
        height: see `width`.
        encoding: what the last message says that it is.
        age_s: median time from stamp to arrival; `None` where nothing came, or
            nothing with a stamp.
        calibrated: whether its camera_info has a camera matrix; `None` where it has none.
        problem: what is wrong with it, in words; '' where nothing is.
        image: the last image, RGB (height, width, 3).
    """

    topic: str
    transport: str
    rate_hz: float = 0.0
    width: int = 0
    height: int = 0
    encoding: str = ''
    age_s: float | None = None
    calibrated: bool | None = None
    problem: str = ''
    image: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)


class _Stream:
    """One topic while it is listened to."""

    def __init__(self, view: TopicView) -> None:
        self.view = view
        self.stamps = StampCheck(_TOLERANCE_S)
        self.arrived: list[float] = []
        self.ages: list[float] = []
        self.last: Any = None

    def add(self, message: Any, now_ns: int) -> None:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        self.stamps.add(self.view.topic, stamp, now_ns)
        self.arrived.append(time.monotonic())
        if stamp:
            self.ages.append((now_ns - stamp) * 1e-9)
        self.last = message

    def finish(self) -> TopicView:
        view = self.view
        if self.last is None:
            view.problem = 'nothing comes'
            return view
        seconds = self.arrived[-1] - self.arrived[0]
        view.rate_hz = (len(self.arrived) - 1) / seconds if seconds > 0 else 0.0
        view.encoding = str(getattr(self.last, 'encoding', '') or getattr(self.last, 'format', ''))
        view.age_s = statistics.median(self.ages) if self.ages else None
        problems = [said.removeprefix(f'{view.topic} ') for said in self.stamps.complaints()]
        try:
            view.image = to_rgb(self.last)
            view.height, view.width = view.image.shape[:2]
        except ImageError as error:
            problems.insert(0, str(error))
        view.problem = '; '.join(problems)
        return view


class CameraTopics(OwnNode):
    """Listens to the image topics of a graph; a context manager.

    Args:
        domain: ROS domain; default: that of `ROS_DOMAIN_ID`.
    """

    def __init__(self, domain: int | None = None) -> None:
        super().__init__('vvf_cameras', domain)
        self._streams: dict[str, _Stream] = {}

    def look(self, seconds: float) -> list[TopicView]:
        """Listen to every image topic that somebody publishes.

        Args:
            seconds: how long; less where there is no such topic.
        """
        began = time.monotonic()
        while True:
            passed = time.monotonic() - began
            if passed > (seconds if self._streams else min(seconds, _DISCOVERY_S)):
                break
            self._find()
            self._executor.spin_once(timeout_sec=0.05)
        return [self._streams[topic].finish() for topic in sorted(self._streams)]

    def _find(self) -> None:
        for topic, types in self._node.get_topic_names_and_types():
            kind = next((t for t in types if t in _KINDS), None)
            new = kind is not None and topic not in self._streams and not topic.startswith(_OWN)
            if kind is not None and new and self.count_publishers(topic):
                self._listen(topic, _KINDS[kind])

    def _listen(self, topic: str, kind: Any) -> None:
        transport = 'raw' if kind is Image else 'compressed'
        stream = self._streams[topic] = _Stream(TopicView(topic, transport))

        def on_image(message: Any) -> None:
            stream.add(message, self._node.get_clock().now().nanoseconds)

        def on_info(message: CameraInfo) -> None:
            stream.view.calibrated = bool(any(message.k))

        base = topic.removesuffix('/compressed') if transport == 'compressed' else topic
        qos = stream_qos()
        self._node.create_subscription(kind, topic, on_image, qos)
        info = f'{base.rsplit("/", 1)[0]}/camera_info'
        self._node.create_subscription(CameraInfo, info, on_info, qos)
