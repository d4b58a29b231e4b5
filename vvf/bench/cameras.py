# SPDX-License-Identifier: Apache-2.0
"""The two processes of `vvf bench transport`: one publishes camera images, one receives them.

They talk to their parent in lines: each says when it has found the other, is told to go on, and
answers with a line of JSON. Images are stamped with the monotonic clock, which all processes of a
computer share and nobody sets.
"""

from __future__ import annotations

import array
import json
import select
import sys
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

CAMERAS = ('shoulder', 'wrist')
WIDTH, HEIGHT, RATE_HZ = 640, 480, 30.0
#: Marks the images that are sent before both sides have found each other: they do not count.
WARM_UP = 'warm-up'
COUNTED = 'counted'


def topic(namespace: str, camera: str) -> str:
    """The topic of a camera below the namespace of one measurement."""
    return f'/{namespace}/{camera}/image_raw'


def _tell(line: str) -> None:
    print(line, flush=True)


def _told() -> bool:
    """Whether the parent has sent a line, or is gone."""
    return bool(select.select([sys.stdin], [], [], 0)[0]) and sys.stdin.readline() is not None


class Publisher(Node):
    """Cameras in one process, taking turns as two that are not synchronised do."""

    def __init__(self, namespace: str) -> None:
        super().__init__('bench_cameras', namespace=namespace)
        self._outputs = [
            self.create_publisher(Image, topic(namespace, camera), qos_profile_sensor_data)
            for camera in CAMERAS
        ]
        # array.array is copied at once; any other type is checked element by element.
        pixels = array.array('B', bytes(range(256)) * (WIDTH * HEIGHT * 3 // 256))
        self._image = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=WIDTH * 3)
        self._image.data = pixels

    def found(self) -> bool:
        """Whether every camera has its subscriber."""
        return all(output.get_subscription_count() > 0 for output in self._outputs)

    def send(self, frames: int, mark: str) -> int:
        """Publish `frames` images of every camera, at their rate; returns how many in total."""
        period = 1.0 / (RATE_HZ * len(self._outputs))
        start = time.monotonic()
        self._image.header.frame_id = mark
        for turn in range(frames * len(self._outputs)):
            time.sleep(max(0.0, start + turn * period - time.monotonic()))
            now = time.monotonic_ns()
            stamp = self._image.header.stamp
            stamp.sec, stamp.nanosec = divmod(now, 1_000_000_000)
            self._outputs[turn % len(self._outputs)].publish(self._image)
        return frames * len(self._outputs)


class Subscriber(Node):
    """Counts what arrives, and how late."""

    def __init__(self, namespace: str) -> None:
        super().__init__('bench_receiver', namespace=namespace)
        self.latency_ms: list[float] = []
        self.seen: set[str] = set()
        for camera in CAMERAS:
            self.create_subscription(
                Image,
                topic(namespace, camera),
                lambda image, camera=camera: self._receive(image, camera),
                qos_profile_sensor_data,
            )

    def _receive(self, image: Image, camera: str) -> None:
        now = time.monotonic_ns()
        self.seen.add(camera)
        if image.header.frame_id == COUNTED:
            sent = image.header.stamp.sec * 1_000_000_000 + image.header.stamp.nanosec
            self.latency_ms.append((now - sent) / 1e6)


def publish(namespace: str, seconds: float) -> None:
    """Send warm-up images until told that the receiver is ready, then the ones that count."""
    node = Publisher(namespace)
    while not node.found():
        if _told():
            return
        time.sleep(0.01)
    _tell('found')
    while not _told():
        node.send(1, WARM_UP)
    sent = node.send(round(seconds * RATE_HZ), COUNTED)
    _tell(json.dumps({'sent': sent}))


def receive(namespace: str, patience_s: float) -> None:
    """Receive until told to stop; ready once every camera was seen, or patience has run out."""
    node = Subscriber(namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    deadline = time.monotonic() + patience_s
    while len(node.seen) < len(CAMERAS) and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    _tell('found')
    while not _told():
        executor.spin_once(timeout_sec=0.1)
    _tell(json.dumps({'latency_ms': node.latency_ms}))


def main() -> None:
    """`python -m vvf.bench.cameras publish|receive NAMESPACE SECONDS`."""
    role, namespace, seconds = sys.argv[1:4]
    rclpy.init(args=[])
    try:
        {'publish': publish, 'receive': receive}[role](namespace, float(seconds))
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
