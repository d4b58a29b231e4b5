# SPDX-License-Identifier: Apache-2.0
"""Takes over the topic of another camera driver (RealSense, usb_cam), with its calibration."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vvf.diagnostics import Meter
from vvf.errors import UserError
from vvf.images import ImageError, to_rgb
from vvf.nodes.camera_publisher import CameraPublisher
from vvf.nodes.common import now_s, stream_qos
from vvf.sources.freeze import FreezeWatch
from vvf.stamp_check import UNSTAMPED, StampCheck

_TOLERANCE_S = 0.15
_SILENT_S = 3.0


class TopicCamera:
    """Republishes a topic as a camera of ours. The driver's stamps stay.

    Args:
        node: owner of the subscriptions.
        publisher: gets the frames.
        topic: of the driver.
        transport: `raw` or `compressed`.
        info_topic: its camera_info; '' is the one beside the topic. It is taken over where the
            publisher has no calibration of its own.
        freeze_s: a picture that stays for longer is not published any more; 0: it always is.
        rate_hz: wanted rate; 0: any.

    Raises:
        UserError: there is no topic, or no such transport.
    """

    def __init__(
        self,
        node: Node,
        publisher: CameraPublisher,
        topic: str,
        transport: str,
        *,
        info_topic: str = '',
        freeze_s: float = 0.0,
        rate_hz: float = 0.0,
    ) -> None:
        if not topic or transport not in ('raw', 'compressed'):
            raise UserError('camera: source topic needs topic and transport (raw or compressed).')
        self._node, self._publisher, self._topic = node, publisher, topic
        self._rate = rate_hz
        self._freeze = FreezeWatch(freeze_s)
        self._stamps = StampCheck(_TOLERANCE_S)
        self._meter = Meter()
        self._refused: Counter[str] = Counter()
        self._last_ns = 0
        kind = Image if transport == 'raw' else CompressedImage
        node.create_subscription(kind, topic, self._on_image, stream_qos())
        if not publisher.calibration:
            base = topic.removesuffix('/compressed') if transport == 'compressed' else topic
            beside = f'{base.rsplit("/", 1)[0]}/camera_info'
            node.create_subscription(
                CameraInfo, info_topic or beside, self._on_info, stream_qos(depth=1)
            )

    def _on_info(self, info: CameraInfo) -> None:
        if any(info.k):  # drivers publish zeros for a camera that was never calibrated
            self._publisher.calibration = {
                'distortion_model': info.distortion_model,
                **{name: getattr(info, name) for name in ('width', 'height', *'dkrp')},
            }

    def _on_image(self, message: Any) -> None:
        now = self._node.get_clock().now()
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        if self._stamps.add(self._topic, stamp, now.nanoseconds) == UNSTAMPED:
            stamp = now.nanoseconds
        if stamp <= self._last_ns and self._last_ns - stamp < 10**9:
            self._refused['out_of_order'] += 1
            return
        self._last_ns = stamp
        try:
            image = to_rgb(message)
        except ImageError as error:
            self._refused['malformed'] += 1
            self._node.get_logger().warning(f'frame refused: {error}', throttle_duration_sec=5.0)
            return
        self._meter.add(now_s(self._node))
        if self._freeze.add(image, now.nanoseconds * 1e-9):
            self._refused['frozen'] += 1
            return
        packed = message if isinstance(message, CompressedImage) else None
        self._publisher.publish(image, Time(nanoseconds=stamp).to_msg(), packed)

    def report(self) -> tuple[int, str, dict[str, Any]]:
        """Level, message and values for the diagnostics; warns of what has changed."""
        now = now_s(self._node)
        rate, age = self._meter.rate_hz(now), self._meter.age_s(now)
        values: dict[str, Any] = {
            'rate_hz': rate,
            'age_s': age,
            'frames': self._meter.count,
            'stamps': 'driver',
            'repeated': self._freeze.repeated,
            **{f'refused_{reason}': count for reason, count in self._refused.items()},
        }
        complaints = self._stamps.complaints()
        for sentence in self._stamps.news():
            self._node.get_logger().warning(sentence)
        if age > _SILENT_S:
            return 2, f'nothing comes on {self._topic}: is its driver running?', values
        if self._freeze.frozen:
            return 2, 'frozen: the camera repeats the same picture', values
        if self._rate and rate < 0.8 * self._rate:
            complaints.insert(0, f'{rate:.1f} of {self._rate:.1f} Hz')
        return (1, '; '.join(complaints), values) if complaints else (0, 'ok', values)
