# SPDX-License-Identifier: Apache-2.0
"""The robot of `vvf bench record`: two JPEG cameras in one process, joint states in another.

They talk to their parent as those of `vvf.bench.cameras` do: each says when everything that it
publishes has found its subscriber, is told to go on, and answers with a line of JSON. Messages are
numbered in `header.frame_id`.
"""

from __future__ import annotations

import array
import json
import select
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, JointState

from vvf.images import fill_compressed
from vvf.processes import end_with_parent

WIDTH, HEIGHT = 640, 480
CAMERA_HZ, JOINT_HZ = 30.0, 500.0
CAMERAS = ('shoulder/image_raw/compressed', 'wrist/image_raw/compressed')
JOINTS = 'joint_states'
NAMES = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate', 'finger')
_PICTURES = 8


def pictures() -> list[Any]:
    """Frames as a camera sees them: smooth surfaces, edges, and a little noise."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 200, WIDTH)[None, :, None] * np.ones((HEIGHT, 1, 3))
    made = []
    for index in range(_PICTURES):
        frame = ramp + rng.normal(0, 4, ramp.shape)
        for _ in range(30):
            y, x = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
            frame[y : y + 60, x + index : x + index + 80] = rng.integers(0, 255, 3)
        made.append(fill_compressed(CompressedImage(), frame.clip(0, 255).astype(np.uint8)))
    return made


class Robot(Node):
    """Publishes its topics in turn, `rate_hz` each."""

    def __init__(self, role: str, namespace: str) -> None:
        super().__init__(f'bench_{role}', namespace=namespace)
        self.sent: dict[str, int] = {}
        self._outputs: list[tuple[str, Any, Callable[[int], Any]]] = []
        if role == 'cameras':
            self.rate_hz = CAMERA_HZ
            images = pictures()
            for topic in CAMERAS:
                output = self.create_publisher(CompressedImage, topic, qos_profile_sensor_data)
                self._outputs.append((topic, output, lambda n: images[n % _PICTURES]))
        else:
            self.rate_hz = JOINT_HZ
            state = JointState(name=list(NAMES))
            zeros = array.array('d', [0.0] * len(NAMES))
            state.position, state.velocity, state.effort = zeros, zeros, zeros
            output = self.create_publisher(JointState, JOINTS, QoSProfile(depth=100))
            self._outputs.append((JOINTS, output, lambda n: state))

    def found(self) -> bool:
        """Whether everything that it publishes has its subscriber."""
        return all(output.get_subscription_count() > 0 for _, output, _ in self._outputs)

    def send(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Publish at the rate for a while; a delay is made up for."""
        period = 1.0 / (self.rate_hz * len(self._outputs))
        start = time.monotonic()
        for turn in range(round(seconds / period)):
            if stop():
                return
            time.sleep(max(0.0, start + turn * period - time.monotonic()))
            topic, output, message_of = self._outputs[turn % len(self._outputs)]
            number = self.sent.get(topic, 0)
            message = message_of(number)
            message.header.frame_id = str(number)
            message.header.stamp = self.get_clock().now().to_msg()
            output.publish(message)
            self.sent[topic] = number + 1


def _told() -> bool:
    """Whether the parent has sent a line, or is gone."""
    return bool(select.select([sys.stdin], [], [], 0)[0]) and sys.stdin.readline() is not None


def main() -> None:
    """`python -m vvf.bench.streams cameras|joints NAMESPACE SECONDS`."""
    role, namespace, seconds = sys.argv[1:4]
    end_with_parent()
    rclpy.init(args=[])
    try:
        robot = Robot(role, namespace)
        while not robot.found():
            if _told():
                return
            time.sleep(0.01)
        print('found', flush=True)
        while not _told():
            time.sleep(0.01)
        robot.send(float(seconds), _told)
        print(json.dumps(robot.sent), flush=True)
        while not _told():  # what is on its way must not die with its writer
            time.sleep(0.05)
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
