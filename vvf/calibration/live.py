# SPDX-License-Identifier: Apache-2.0
"""Pictures of a board while it is shown to a camera: a device, or an image topic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from vvf.calibration.pictures import Picture
from vvf.errors import UserError
from vvf.images import ImageError, RgbImage, fill_image, to_rgb
from vvf.nodes.common import seconds, stream_qos
from vvf.own_node import OwnNode
from vvf.sources import DeviceSource, FrameSource

_KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
_FIRST_WITHIN_S = 10.0
_LOOK_FOR_S = 8.0
_TURN_S = 0.1


def open_device(device: str, width: int, height: int, rate_hz: float) -> DeviceSource:
    """A V4L2 device, by path or number.

    Raises:
        UserError: there is no such device.
    """
    path = Path(f'/dev/video{device}' if device.isdigit() else device)
    if not path.exists():
        known = ', '.join(sorted(str(p) for p in Path('/dev').glob('video*')))
        have = f'there are {known}' if known else 'no camera is plugged in'
        raise UserError(f'there is no camera {path}: {have}.')
    return DeviceSource(str(path), width, height, rate_hz)


class DevicePictures:
    """What a camera sees.

    Args:
        source: where the frames come from.
        name: of the camera, for messages.
    """

    live = True

    def __init__(self, source: FrameSource, name: str) -> None:
        self.unreadable: list[str] = []
        self._source, self._name = source, name

    def __iter__(self) -> Iterator[Picture | None]:
        """Yield pictures without end; `None` while the camera is away.

        Raises:
            UserError: it gives none from the beginning.
        """
        began, seen = time.monotonic(), False
        while True:
            frame = self._source.read()
            now = time.monotonic()
            if frame is None and not seen and now - began > _FIRST_WITHIN_S:
                raise UserError(
                    f'camera {self._name} gives no images: is another program using it, and may '
                    'you read it (group video)?'
                )
            seen = seen or frame is not None
            yield None if frame is None else Picture(f'{now - began:.2f} s', frame, now)


class CaptureNode(OwnNode):
    """A node that takes the images of a topic, and shows how far the capture is.

    Args:
        preview: topic of the pictures to show; '' for none.
        domain: ROS domain; default: that of `ROS_DOMAIN_ID`.
    """

    def __init__(self, preview: str = '', domain: int | None = None) -> None:
        super().__init__('calibrate_intrinsics', domain)
        self._preview = preview

    def opened(self) -> None:
        """Offer the preview."""
        self._publisher: Any = None
        if self._preview:
            self._publisher = self._node.create_publisher(Image, self._preview, stream_qos())

    @property
    def watched(self) -> bool:
        """Whether somebody looks at the preview."""
        return self._publisher is not None and self._publisher.get_subscription_count() > 0

    def show(self, picture: RgbImage) -> None:
        """Publish a picture (height, width, 3)."""
        message = fill_image(Image(), picture)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def kind_of(self, topic: str) -> Any:
        """The class of a topic's messages.

        Raises:
            UserError: nobody publishes images there.
        """
        end = time.monotonic() + _LOOK_FOR_S
        known: dict[str, list[str]] = {}
        while time.monotonic() < end:
            known = {
                name: types
                for name, types in self._node.get_topic_names_and_types()
                if _KINDS.keys() & set(types) and self._node.count_publishers(name)
            }
            if topic in known:
                return _KINDS[next(t for t in known[topic] if t in _KINDS)]
            self._executor.spin_once(timeout_sec=_TURN_S)
        have = f'there are {", ".join(sorted(known))}' if known else 'is the camera running?'
        raise UserError(f'there is no file {topic}, and nobody publishes images there: {have}')

    def take(self, topic: str) -> TopicPictures:
        """The images of a topic, raw or compressed.

        Raises:
            UserError: nobody publishes images there.
        """
        return TopicPictures(self, topic, self.kind_of(topic))

    def subscribe(self, kind: Any, topic: str, callback: Any) -> None:
        """Listen to a topic; only its newest message counts."""
        qos: QoSProfile = stream_qos(depth=1)
        self._node.create_subscription(kind, topic, callback, qos)

    def wait(self) -> None:
        """Handle what has come, or wait for it a moment."""
        self._executor.spin_once(timeout_sec=_TURN_S)


class TopicPictures:
    """The images of a topic of a running graph; made by `CaptureNode.take`."""

    live = True

    def __init__(self, node: CaptureNode, topic: str, kind: Any) -> None:
        self.unreadable: list[str] = []
        self._node, self._topic = node, topic
        self._newest: Any = None
        node.subscribe(kind, topic, self._keep)

    def _keep(self, message: Any) -> None:
        self._newest = message

    def __iter__(self) -> Iterator[Picture | None]:
        """Yield pictures without end; `None` while none comes.

        Raises:
            UserError: none comes from the beginning, or none that can be read.
        """
        began, seen = time.monotonic(), False
        while True:
            self._node.wait()
            picture = self._take()
            seen = seen or picture is not None
            if not seen and time.monotonic() - began > _FIRST_WITHIN_S:
                raise UserError(
                    f'{self.unreadable[0]}.'
                    if self.unreadable
                    else f'no image comes on {self._topic}: is the camera running?'
                )
            yield picture

    def _take(self) -> Picture | None:
        message, self._newest = self._newest, None
        if message is None:
            return None
        stamp = seconds(message.header.stamp) or time.monotonic()
        try:
            return Picture(f'{stamp:.3f} s', to_rgb(message), stamp)
        except ImageError as error:
            self.unreadable = [f'{self._topic}: {error}']
            return None
