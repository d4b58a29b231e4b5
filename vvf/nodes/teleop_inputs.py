# SPDX-License-Identifier: Apache-2.0
"""Messages of the human's devices, and of the arm's joints, to an `Operator`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Header

from vvf.nodes.common import now_s, seconds, stream_qos
from vvf.nodes.newest import Mailbox, Newest
from vvf.safety import RobotLimits
from vvf.task import TaskSpec
from vvf.teleop.commands import KEYS_TOPIC, Command
from vvf.teleop.keyboard import COMMAND_KEYS
from vvf.teleop.operator import Operator

_STATE_AGE_S = 0.5
_WARN_S = 5.0


class Inputs:
    """Subscriptions of one node.

    Args:
        node: owner of the subscriptions.
        operator: gets everything but commands.
        obey: gets commands, and when they came.
        task: where joint states come from.
        limits: names of the robot's joints.
        p: parameters of the node.
    """

    def __init__(
        self,
        node: Node,
        operator: Operator,
        obey: Callable[[Command, float], None],
        task: TaskSpec,
        limits: RobotLimits,
        p: Mapping[str, Any],
    ) -> None:
        self._node, self._operator, self._obey = node, operator, obey
        self._max_key_age = p['max_key_age_s']
        self._joints = [*limits.joint_names, limits.gripper_name]
        node.create_subscription(Header, KEYS_TOPIC, self._on_key, 50)
        state = next((s for s in task.state if s.type == 'joint_state'), None)
        self._measured = Newest(node, JointState, state.topic) if state else None
        if operator.gamepad is not None:
            node.create_subscription(Joy, p['joy_topic'], self._on_joy, 10)
        self._leaders = [
            (side.leader, Mailbox(node, JointState, topic, stream_qos(depth=50)))
            for side, topic in zip(
                operator.sides, (p['leader_topic'], p['right_leader_topic']), strict=False
            )
            if side.leader is not None
        ]

    def look(self, now: float) -> None:
        """Take the newest joint states; called often."""
        self._look_at_joints()
        for leader, mailbox in self._leaders:
            for message in mailbox.take():
                stamp = seconds(message.header.stamp)
                age = now_s(self._node) - stamp
                why = leader.take(message.name, message.position, stamp, age, now)
                self._warn(why)

    def press(self, key: str, now: float) -> None:
        """Take a key."""
        command = self._operator.keyboard.press(key, now)
        if command is not None:
            self._obey(command, now)

    def _on_key(self, message: Header) -> None:
        now, key = time.monotonic(), message.frame_id
        age = now_s(self._node) - seconds(message.stamp)
        if abs(age) <= self._max_key_age:
            self._operator.hear_terminal(now)
        elif COMMAND_KEYS.get(key) is not Command.STOP:  # an emergency stop is never too late
            self._warn(f'a key is {age:.2f} s old and does not count: do the clocks agree?')
            return
        self.press(key, now)

    def _on_joy(self, message: Joy) -> None:
        assert self._operator.gamepad is not None
        now = time.monotonic()
        age = now_s(self._node) - seconds(message.header.stamp)
        commands, why = self._operator.gamepad.take(message.axes, message.buttons, now, age)
        self._warn(why)
        for command in commands:
            self._obey(command, now)

    def _look_at_joints(self) -> None:
        message = self._measured() if self._measured else None
        if message is None or now_s(self._node) - seconds(message.header.stamp) > _STATE_AGE_S:
            return
        found = dict(zip(message.name, message.position, strict=False))
        for name, side in zip(self._operator.names, self._operator.sides, strict=True):
            prefix = f'{name}_' if name else ''
            numbers = np.array([found.get(prefix + j, np.nan) for j in self._joints])
            side.observe(numbers[:-1], float(numbers[-1]))

    def _warn(self, why: str) -> None:
        if why:
            self._node.get_logger().warning(why, throttle_duration_sec=_WARN_S)
