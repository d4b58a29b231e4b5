# SPDX-License-Identifier: Apache-2.0
"""Publishes the frames of one camera: raw, JPEG while somebody listens, and its calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vvf.calibration import camera_info_fields
from vvf.images import fill_compressed, fill_image
from vvf.nodes.common import stream_qos


class CameraPublisher:
    """The three topics of a camera: `<topic>`, `<topic>/compressed` and `<namespace>/camera_info`.

    Args:
        node: the node that owns the publishers.
        topic: of the raw images, such as `/wrist/image_raw`.
        frame_id: the optical frame (REP-103).
        calibration: camera_info YAML file, or '' for an uncalibrated camera.

    Attributes:
        calibration: fields of the camera_info; empty while the camera is uncalibrated. It is left
            out beside images of another size than its own, unless that is 0.
        complaint: says that it is left out; '' while it is not.
    """

    def __init__(self, node: Node, topic: str, frame_id: str, calibration: str = '') -> None:
        qos = stream_qos(depth=4)
        self._frame_id = frame_id
        self._raw = node.create_publisher(Image, topic, qos)
        self._compressed = node.create_publisher(CompressedImage, f'{topic}/compressed', qos)
        info_topic = f'{topic.rsplit("/", 1)[0]}/camera_info'
        self._info = node.create_publisher(CameraInfo, info_topic, qos)
        self.calibration: Mapping[str, Any] = camera_info_fields(calibration) if calibration else {}
        self.complaint = ''

    @property
    def calibrated(self) -> bool:
        """Whether the camera_info has more than the size of the images."""
        return bool(self.calibration) and not self.complaint

    def publish(
        self, image: NDArray[np.uint8], stamp: Any, compressed: CompressedImage | None = None
    ) -> None:
        """Publish one frame.

        Args:
            image: RGB (height, width, 3).
            stamp: its `builtin_interfaces/Time`.
            compressed: the same frame as somebody else has compressed it: that is then published,
                as to compress it again would cost time and quality.
        """
        height, width = image.shape[:2]
        self._compare(width, height)
        if self._raw.get_subscription_count():
            self._send(self._raw, fill_image(Image(), image), stamp)
        if self._compressed.get_subscription_count():
            packed = compressed or fill_compressed(CompressedImage(), image)
            self._send(self._compressed, packed, stamp)
        if self._info.get_subscription_count():
            fields = self.calibration if self.calibrated else {}
            size = {'height': height, 'width': width}
            self._send(self._info, CameraInfo(**{**fields, **size}), stamp)

    def _compare(self, width: int, height: int) -> None:
        size = tuple(self.calibration.get(side, 0) for side in ('width', 'height'))
        self.complaint = ''
        if size not in ((0, 0), (width, height)):
            self.complaint = (
                f'its camera_info is for {size[0]}x{size[1]}, the images are {width}x{height}: '
                'it is left out'
            )

    def _send(self, publisher: Any, message: Any, stamp: Any) -> None:
        message.header.stamp, message.header.frame_id = stamp, self._frame_id
        publisher.publish(message)
