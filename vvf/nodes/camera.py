# SPDX-License-Identifier: Apache-2.0
"""The `camera` node: a device, a video file or an image topic as `/<name>/image_raw`."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.time import Time

from vvf.diagnostics import Diagnostics
from vvf.errors import UserError
from vvf.nodes.camera_publisher import CameraPublisher
from vvf.nodes.camera_topic import TopicCamera
from vvf.nodes.common import run
from vvf.parameters import Parameter, declare
from vvf.sources import DeviceSource, Frame, FrameSource, VideoSource
from vvf.sources.controls import parse_controls
from vvf.sources.device import open_v4l2
from vvf.sources.reader import ERROR, OK, WARN, CameraReader
from vvf.sources.stamps import Stamper

PARAMETERS = (
    Parameter('camera', 'camera', 'name of the camera: the namespace of its topics'),
    Parameter('source', 'device', 'device, video or topic'),
    Parameter(
        'device', '/dev/video0', 'V4L2 device; /dev/v4l/by-id/NAME stays when it is replugged'
    ),
    Parameter('video', '', 'path of a video file, for source video'),
    Parameter('loop', True, 'begin the video again at its end'),
    Parameter('topic', '', 'image topic to take over, for source topic'),
    Parameter('transport', 'raw', 'raw or compressed: the type of that topic'),
    Parameter('info_topic', '', 'camera_info to take over; empty: the one beside that topic'),
    Parameter('width', 640, 'wanted width, pixels', 0, 7680),
    Parameter('height', 480, 'wanted height, pixels', 0, 4320),
    Parameter('rate_hz', 30.0, 'wanted rate; 0: that of the source', 0.0, 240.0),
    Parameter(
        'pixel_format', 'MJPG', 'MJPG, YUYV, UYVY, GREY, BGR3, RGB3; empty: the device chooses'
    ),
    Parameter('controls', '', 'of the device, such as: auto_exposure=1 exposure=157 gain=10'),
    Parameter('freeze_s', 1.0, 'a picture repeated for longer is withheld; 0: never', 0.0, 60.0),
    Parameter('frame_id', '', 'optical frame; empty: <camera>_optical_frame'),
    Parameter('calibration', '', 'camera_info YAML; empty: uncalibrated'),
)


class CameraNode(Node):
    """Publishes one camera; frames are read in a thread, so that a slow device blocks nobody.

    Args:
        capture: opens a device, for `DeviceSource`.
        options: for rclpy's node.
    """

    def __init__(self, capture: Callable[[str], Any] = open_v4l2, **options: Any) -> None:
        super().__init__('camera', **options)
        p = declare(self, PARAMETERS)
        self.parameters = p
        self._capture = capture
        self._reader: CameraReader | None = None
        frame_id = p['frame_id'] or f'{p["camera"]}_optical_frame'
        self._publisher = CameraPublisher(
            self, f'/{p["camera"]}/image_raw', frame_id, p['calibration']
        )
        self._watched: CameraReader | TopicCamera
        if p['source'] == 'topic':
            self._watched = TopicCamera(
                self,
                self._publisher,
                p['topic'],
                p['transport'],
                info_topic=p['info_topic'],
                freeze_s=p['freeze_s'],
                rate_hz=p['rate_hz'],
            )
        else:
            # The thread only reads; publishing stays with the executor that owns the node.
            self._frames: queue.Queue[tuple[Frame, int]] = queue.Queue(maxsize=2)
            self._guard = self.create_guard_condition(self._publish_frames)
            self._reader = self._watched = CameraReader(
                self._open_source(),
                Stamper(lambda: int(self.get_clock().now().nanoseconds)),
                self._put,
                self._say,
                rate_hz=p['rate_hz'],
                freeze_s=p['freeze_s'],
            )
            self._reader.start()
        self._complaint = ''
        self._diagnostics = Diagnostics(self, self._report)

    def _open_source(self) -> FrameSource:
        p = self.parameters
        if p['source'] == 'device':
            return DeviceSource(
                p['device'],
                p['width'],
                p['height'],
                p['rate_hz'],
                pixel_format=p['pixel_format'],
                controls=parse_controls(p['controls']),
                capture=self._capture,
            )
        if p['source'] == 'video':
            return VideoSource(p['video'], loop=p['loop'])
        raise UserError(f'camera source {p["source"]!r}: choose device, video or topic.')

    def _put(self, frame: Frame, stamp_ns: int) -> bool:
        try:
            self._frames.put_nowait((frame, stamp_ns))
        except queue.Full:
            return False
        self._guard.trigger()
        return True

    def _publish_frames(self) -> None:
        while not self._frames.empty():
            frame, stamp_ns = self._frames.get_nowait()
            self._publisher.publish(frame, Time(nanoseconds=stamp_ns).to_msg())

    def _say(self, warning: bool, sentence: str) -> None:
        logger = self.get_logger()
        said = f'{self.parameters["camera"]}: {sentence}'
        if warning:
            logger.warning(said)
        else:
            logger.info(said)

    def _report(self) -> tuple[int, str, dict[str, Any]]:
        level, said, values = self._watched.report()
        complaint = self._publisher.complaint
        if complaint and complaint != self._complaint:
            self._say(True, complaint)
        self._complaint = complaint
        if complaint and level < ERROR:
            level, said = WARN, complaint if level == OK else f'{said}; {complaint}'
        return level, said, {**values, 'calibrated': self._publisher.calibrated}

    def close(self) -> None:
        """End the reading thread, which releases the source."""
        if self._reader is not None:
            self._reader.close()


def main() -> None:
    """Entry point of `ros2 run vvf camera`."""
    sys.exit(run(CameraNode))


if __name__ == '__main__':
    main()
