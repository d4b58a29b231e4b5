# SPDX-License-Identifier: Apache-2.0
"""What a Franka's vendor publishes about arm and hand, polled, and what is wrong with it."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from vvf.drivers.base import JointReading
from vvf.drivers.franka_faults import MOVE, mode_fault
from vvf.drivers.franka_options import FrankaOptions
from vvf.drivers.franka_polled import PolledTopic
from vvf.nodes.common import now_s, seconds
from vvf.safety import RobotLimits

_CLOCK_READINGS = 50  # over which the smallest age of a message is its clock's offset
_HAND_S = 1.0  # without a message of the hand, which sends 15 in a second
_GOOD_RATE = 0.9  # of the commands have to reach the robot in time


class FrankaState:
    """The newest messages.

    Args:
        node: owns the subscriptions.
        limits: of the robot.
        options: where the vendor publishes.
        kind: `franka_msgs/FrankaRobotState`.

    Attributes:
        watched: whether the robot has told its mode; fake hardware does not.
    """

    def __init__(self, node: Node, limits: RobotLimits, options: FrankaOptions, kind: type) -> None:
        self.watched = False
        self._node = node
        self._options = options
        self._names = options.joint_names(limits)
        self._joints = PolledTopic(node, JointState, options.name(options.state_topic))
        self._robot = PolledTopic(node, kind, options.name(options.robot_state_topic))
        self._hand = (
            PolledTopic(node, JointState, options.name(f'{options.gripper}/joint_states'))
            if options.gripper
            else None
        )
        self._finger = math.nan if options.gripper else limits.gripper_upper
        self._reading: JointReading | None = None
        self._read_at = self._hand_at = time.monotonic()
        self._missing = ''
        self._mode, self._errors = MOVE, ()
        self._ages: list[float] = []
        self._offset = 0.0

    def reading(self) -> JointReading | None:
        """Joints and finger of the newest messages; `None` before the first of each."""
        self._poll()
        if self._reading is None or math.isnan(self._finger):
            return None
        r = self._reading
        return JointReading(r.position, r.velocity, self._finger, r.stamp)

    def fault(self) -> str:
        """What is wrong with what is published, or with the robot that publishes it."""
        self._poll()
        topic = self._options.name(self._options.state_topic)
        silent = time.monotonic() - self._read_at
        if self._missing:
            return self._missing
        mode = mode_fault(self._mode, self._errors)
        if self._reading is None:
            return f'no joint states on {topic} yet: start the driver of the Franka'
        if silent > self._options.state_timeout_s:
            # What the robot said last tells why, where it still could say it.
            return mode or (
                f'no more joint states on {topic}: the Franka stopped, or its driver did; look at '
                'the arm, start the driver if it is gone, and call /vvf/arm/recover'
            )
        if mode:
            return mode
        if abs(self._offset) > self._options.lead_s:
            return (
                f"the clock of the Franka's computer differs from this one's by "
                f'{abs(self._offset):.2f} s: keep both in step with chrony'
            )
        return self._hand_fault() if self._hand else ''

    def _hand_fault(self) -> str:
        topic = f'{self._options.name(self._options.gripper)}/joint_states'
        if math.isnan(self._finger):
            return (
                f"no joint states on {topic} yet: start the Franka's hand (load_gripper:=true), or "
                "give the rig gripper: ''"
            )
        if time.monotonic() - self._hand_at > _HAND_S:
            return f"no more joint states on {topic}: start the Franka's hand again"
        return ''

    def _poll(self) -> None:
        if (message := self._joints.take()) is not None:
            self._take_joints(message)
        if (message := self._robot.take()) is not None:
            self._take_robot(message)
        if self._hand and (message := self._hand.take()) is not None and message.position:
            # Each finger moves by half the width.
            self._finger = float(message.position[0])
            self._hand_at = time.monotonic()

    def _take_joints(self, message: JointState) -> None:
        index = {name: i for i, name in enumerate(message.name)}
        absent = [name for name in self._names if name not in index]
        topic = self._options.name(self._options.state_topic)
        if absent or len(message.position) < len(message.name):
            wrong = f'have no joint {absent[0]}' if absent else 'have fewer positions than names'
            self._missing = f'joint states on {topic} {wrong}: see joint_prefix in the rig file'
            return
        order = [index[name] for name in self._names]
        position = np.asarray(message.position, np.float64)[order]
        velocity = np.zeros_like(position)
        if len(message.velocity) == len(message.name):
            velocity = np.asarray(message.velocity, np.float64)[order]
        stamp = seconds(message.header.stamp)
        self._missing = ''
        self._read_at = time.monotonic()
        self._reading = JointReading(position, velocity, self._finger, stamp)
        self._ages = [*self._ages, now_s(self._node) - stamp][-_CLOCK_READINGS:]
        if len(self._ages) == _CLOCK_READINGS:
            self._offset = min(self._ages)

    def _take_robot(self, message: Any) -> None:
        self.watched = True
        self._mode = message.robot_mode
        errors = message.current_errors
        self._errors = tuple(
            name for name in errors.get_fields_and_field_types() if getattr(errors, name)
        )
        rate = message.control_command_success_rate
        if self._mode == MOVE and 0.0 < rate < _GOOD_RATE:
            self._node.get_logger().warning(
                f'only {rate:.0%} of the commands reach the Franka in time: check the real-time '
                'kernel, the governor of the CPU and the direct cable',
                once=True,
            )

    def forget_mode(self) -> None:
        """Before a recovery: the mode that was said last is no longer true."""
        self._mode, self._errors = MOVE, ()
