# SPDX-License-Identifier: Apache-2.0
"""The `camera` node: a device, a video file or an image topic as `/<name>/image_raw`."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vvf.diagnostics import Diagnostics, Meter
from vvf.errors import UserError
from vvf.images import ImageError, to_rgb
from vvf.nodes.camera_publisher import CameraPublisher
from vvf.nodes.common import now_s, run, stream_qos
from vvf.parameters import Parameter, declare
from vvf.sources import DeviceSource, Frame, FrameSource, VideoSource

PARAMETERS = (
    Parameter(
        'camera', 'camera', 'name of the camera: the namespace of its topics', read_only=True
    ),
    Parameter('source', 'device', 'device, video or topic'),
    Parameter('device', '/dev/video0', 'V4L2 device, for source device'),
    Parameter('video', '', 'path of a video file, for source video'),
    Parameter('loop', True, 'begin the video again at its end'),
    Parameter('topic', '', 'image topic to take over, for source topic'),
    Parameter('transport', 'raw', 'raw or compressed: the type of that topic'),
    Parameter('width', 640, 'wanted width, pixels', 0, 7680),
    Parameter('height', 480, 'wanted height, pixels', 0, 4320),
    Parameter('rate_hz', 30.0, 'wanted rate; 0: that of the source', 0.0, 240.0),
    Parameter('frame_id', '', 'optical frame; empty: <camera>_optical_frame'),
    Parameter('calibration', '', 'camera_info YAML; empty: uncalibrated'),
)


class CameraNode(Node):
    """Publishes one camera; frames are read in a thread, so that a slow device blocks nobody."""

    def __init__(self, **options: Any) -> None:
        super().__init__('camera', **options)
        p = declare(self, PARAMETERS)
        self.parameters = p
        self._meter = Meter()
        self._bad = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._source: FrameSource | None = None
        frame_id = p['frame_id'] or f'{p["camera"]}_optical_frame'
        self._publisher = CameraPublisher(
            self, f'/{p["camera"]}/image_raw', frame_id, p['calibration']
        )
        if p['source'] == 'topic':
            self._take_over(p['topic'], p['transport'])
        else:
            self._source = self._open_source()
            # The thread only reads; publishing stays with the executor that owns the node.
            self._frames: queue.Queue[tuple[Frame, Any]] = queue.Queue(maxsize=2)
            self._guard = self.create_guard_condition(self._publish_frames)
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        self._diagnostics = Diagnostics(self, self._report)

    def _open_source(self) -> FrameSource:
        p = self.parameters
        if p['source'] == 'device':
            return DeviceSource(p['device'], p['width'], p['height'], p['rate_hz'])
        if p['source'] == 'video':
            return VideoSource(p['video'], loop=p['loop'])
        raise UserError(f'camera source {p["source"]!r}: choose device, video or topic.')

    def _take_over(self, topic: str, transport: str) -> None:
        if not topic or transport not in ('raw', 'compressed'):
            raise UserError('camera: source topic needs topic and transport (raw or compressed).')
        kind = Image if transport == 'raw' else CompressedImage
        self.create_subscription(kind, topic, self._on_image, stream_qos())

    def _on_image(self, message: Any) -> None:
        try:
            image = to_rgb(message)
        except ImageError as error:
            self._bad += 1
            self.get_logger().warning(f'frame refused: {error}', throttle_duration_sec=5.0)
            return
        self._publisher.publish(image, message.header.stamp)
        self._meter.add(now_s(self))

    def _read(self) -> None:
        assert self._source is not None
        rate = self.parameters['rate_hz'] or self._source.rate_hz
        paced = self.parameters['source'] == 'video'  # a device paces itself
        due = time.monotonic()
        away = False
        while not self._stop.is_set():
            frame = self._source.read()
            if frame is None:
                if paced:
                    self.get_logger().info('the video has ended')
                    return
                if not away:
                    self.get_logger().warning(
                        f'camera {self.parameters["device"]} gives no frames; trying again'
                    )
                away = True
                continue
            if away:
                self.get_logger().info('the camera is back')
                away = False
            stamp = self.get_clock().now().to_msg()
            try:
                self._frames.put_nowait((frame, stamp))
                self._guard.trigger()
            except queue.Full:
                self._bad += 1
            if paced and rate:
                due += 1.0 / rate
                self._stop.wait(max(0.0, due - time.monotonic()))

    def _publish_frames(self) -> None:
        while not self._frames.empty():
            frame, stamp = self._frames.get_nowait()
            self._publisher.publish(frame, stamp)
            self._meter.add(now_s(self))

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        now = now_s(self)
        rate = self._meter.rate_hz(now)
        wanted = self.parameters['rate_hz']
        slow = bool(wanted) and rate < 0.8 * wanted
        message = f'{rate:.1f} of {wanted:.1f} Hz' if slow else 'ok'
        values = {
            'rate_hz': rate,
            'age_s': self._meter.age_s(now),
            'frames': self._meter.count,
            'dropped_or_bad': self._bad,
        }
        return int(slow), message, values

    def close(self) -> None:
        """End the reading thread and release the source."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        if self._source is not None:
            self._source.close()


def main() -> None:
    """Entry point of `ros2 run vvf camera`."""
    sys.exit(run(CameraNode))


if __name__ == '__main__':
    main()
