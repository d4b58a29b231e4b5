# SPDX-License-Identifier: Apache-2.0
"""Checks a running robot: its images with the robot drawn into them, as a topic."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import JointState

from vvf.calibration.live import CaptureNode
from vvf.calibration.poses_robot import Robot
from vvf.calibration.robot_check_run import TOLERANCE_S, joints_at
from vvf.errors import UserError
from vvf.images import RgbImage
from vvf.nodes.common import seconds, stream_qos
from vvf.nodes.newest import Mailbox

OUTPUT = '/vvf/calibration/check'
_PATIENCE_S = 10.0
_KEPT = 1000  # a second of the quickest arm's joint states


class CheckNode(CaptureNode):
    """Listens to images and joints, and offers `OUTPUT`; a context manager.

    Args:
        robot: whose joints.
        joint_topic: where they are.
        domain: ROS domain; default: that of `ROS_DOMAIN_ID`.
    """

    def __init__(self, robot: Robot, joint_topic: str, domain: int | None = None) -> None:
        super().__init__(OUTPUT, domain)
        self._name = 'calibrate_check'
        self._robot, self._joint_topic = robot, joint_topic
        self._track: deque[tuple[float, Any]] = deque(maxlen=_KEPT)

    def opened(self) -> None:
        """Listen to the joints."""
        super().opened()
        qos = stream_qos(depth=_KEPT)
        self._mailbox = Mailbox(self._node, JointState, self._joint_topic, qos)

    def frames(
        self, topic: str
    ) -> Iterator[tuple[float, RgbImage, npt.NDArray[np.float64] | None] | None]:
        """Stamp in s, image (H, W, 3) and joints of each frame, without end; `None` meanwhile.

        Args:
            topic: of raw or compressed images.

        Raises:
            UserError: No images or no joints come.
        """
        began = time.monotonic()
        for picture in self.take(topic):
            for message in self._mailbox.take():
                joints = self._robot.joints(message.name, message.position)
                if joints is not None:
                    self._track.append((seconds(message.header.stamp), joints))
            if not self._track and time.monotonic() - began > _PATIENCE_S:
                raise UserError(
                    f'no joints of {self._robot.arm.name} come on {self._joint_topic}: give '
                    '--joint-topic, or another --robot.'
                )
            if picture is None or not self._track:
                yield None
                continue
            stamps = np.array([stamp for stamp, _ in self._track])
            table = np.stack([row for _, row in self._track])
            yield picture.stamp, picture.image, joints_at(stamps, table, picture.stamp, TOLERANCE_S)
