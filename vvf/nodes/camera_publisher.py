# SPDX-License-Identifier: Apache-2.0
"""Publishes the frames of one camera: raw, JPEG while somebody listens, and its calibration."""

from __future__ import annotations

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
    """

    def __init__(self, node: Node, topic: str, frame_id: str, calibration: str = '') -> None:
        qos = stream_qos(depth=4)
        self._frame_id = frame_id
        self._raw = node.create_publisher(Image, topic, qos)
        self._compressed = node.create_publisher(CompressedImage, f'{topic}/compressed', qos)
        info_topic = f'{topic.rsplit("/", 1)[0]}/camera_info'
        self._info = node.create_publisher(CameraInfo, info_topic, qos)
        self._calibration = camera_info_fields(calibration) if calibration else {}

    def publish(self, image: NDArray[np.uint8], stamp: Any) -> None:
        """Publish one RGB frame (height, width, 3) with its `builtin_interfaces/Time` stamp."""
        if self._raw.get_subscription_count():
            message = fill_image(Image(), image)
            message.header.stamp, message.header.frame_id = stamp, self._frame_id
            self._raw.publish(message)
        if self._compressed.get_subscription_count():
            packed = fill_compressed(CompressedImage(), image)
            packed.header.stamp, packed.header.frame_id = stamp, self._frame_id
            self._compressed.publish(packed)
        if self._info.get_subscription_count():
            info = CameraInfo(height=image.shape[0], width=image.shape[1], **self._calibration)
            info.header.stamp, info.header.frame_id = stamp, self._frame_id
            self._info.publish(info)
