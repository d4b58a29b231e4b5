# SPDX-License-Identifier: Apache-2.0
"""A Franka FR3 or FER under franka_ros2, with a trajectory controller and the Franka Hand.

Never positions straight from a policy: the robot answers steps with a reflex. What the gate
commands becomes short trajectories (`vvf.drivers.franka_stream`).
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from builtin_interfaces.msg import Duration, Time
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vvf.drivers.base import JointReading
from vvf.drivers.franka_hand import FrankaHand
from vvf.drivers.franka_options import franka_options
from vvf.drivers.franka_recovery import FrankaRecovery
from vvf.drivers.franka_state import FrankaState
from vvf.drivers.franka_stream import STEP_NS, Streamer, Trajectory
from vvf.errors import UserError
from vvf.nodes.common import now_s
from vvf.safety import Command, RobotLimits

_SECOND_NS = 1_000_000_000
_CONNECT_S = 1.0
_SETTLE_S = 0.3
_CLOCK_STEP_S = 0.02  # less is lost in what a trajectory begins in the past


class FrankaDriver:
    """Speaks the vendor's topics and actions for one arm.

    Args:
        node: owns the publishers, subscriptions and clients.
        limits: of the robot.
        options: of the rig file, see `vvf.drivers.franka_options`.
        side: 'left' or 'right' of two arms, for messages.

    Raises:
        UserError: an option is wrong, or the vendor's messages are not installed.
    """

    simulated = False

    def __init__(
        self, node: Node, limits: RobotLimits, options: Mapping[str, Any], side: str = ''
    ) -> None:
        self._options = franka_options(options, side)
        _require_messages()
        from franka_msgs.msg import FrankaRobotState

        self._node = node
        self._names = list(self._options.joint_names(limits))
        controller = self._options.controller_name(limits)
        self._topic = self._options.name(f'{controller}/joint_trajectory')
        self._publisher = node.create_publisher(JointTrajectory, self._topic, 1)
        self._state = FrankaState(node, limits, self._options, FrankaRobotState)
        self._recovery = FrankaRecovery(
            node,
            self._options,
            ['joint_state_broadcaster', 'franka_robot_state_broadcaster', controller],
        )
        self._hand = FrankaHand(node, self._options) if self._options.gripper else None
        self._streamer = Streamer(
            limits, lead_s=self._options.lead_s, horizon_s=self._options.horizon_s
        )
        self._streaming = False
        self._fault = ''
        self._clock = (0.0, 0.0)
        self._listens_since: float | None = None

    def read(self) -> JointReading | None:
        """The newest measured joints; `None` before the first ones of arm and hand."""
        return self._state.reading()

    def write(self, command: Command, dt: float) -> None:
        """Send a trajectory that leads to the command and stops there."""
        if not self._streaming:
            reading = self._state.reading()
            if reading is None:
                return
            self._clock = min((self._clock_offset() for _ in range(3)), key=lambda c: c[1] - c[0])
            self._streamer.reset(reading.position, self._now())
            self._streaming = True
        self._publish(self._streamer.update(command.position, self._now()))
        if self._hand:
            self._hand.want(command.gripper)

    def fault(self) -> str:
        """What is wrong with robot, hand, controller or connection, and what to do."""
        text = self._recovery.text() or self._state.fault() or self._controller_fault()
        text = text or self._hand_fault() or self._clock_fault()
        if text:
            self._streaming, self._fault = False, text
        elif not self._streaming and not self._streamer.at_rest(self._now() - _SETTLE_S):
            # The next trajectory begins where the arm is measured, at rest: a fault that was short
            # lasts until the last trajectory has ended.
            text = self._fault
        if text and self._hand:
            self._hand.hold()
        return text

    def _now(self) -> float:
        """Time of the trajectories, s: a steady clock, as far from zero as the node's was."""
        return time.monotonic() + self._clock[0]

    def _clock_offset(self) -> tuple[float, float]:
        """Bounds of how far the node's clock is ahead of the steady one, s: reading takes time."""
        before = time.monotonic()
        now = now_s(self._node)
        return now - time.monotonic(), now - before

    def _clock_fault(self) -> str:
        low, high = self._clock_offset()
        moved = max(low - self._clock[1], self._clock[0] - high)
        if not self._streaming or moved <= _CLOCK_STEP_S:
            return ''
        return (
            f'the clock was set by {moved:.2f} s, and trajectories go by it: wait until the arm '
            'stands, and let chrony correct the time without steps'
        )

    def _controller_fault(self) -> str:
        if self._publisher.get_subscription_count():
            if self._listens_since is None:
                self._listens_since = time.monotonic()
            # It is known to this side of the connection, and may still miss what is sent: it would
            # enter in the middle of a motion.
            known = time.monotonic() - self._listens_since
            return '' if known > _CONNECT_S else 'the controller of the Franka begins to listen'
        self._listens_since = None
        return (
            f'no controller listens on {self._topic}: start it, or give the rig the one that '
            '`ros2 control list_controllers` shows'
        )

    def _hand_fault(self) -> str:
        if self._hand is None:
            return ''
        self._hand.look()
        text = self._hand.fault()
        if text and not (self._state.watched or self._recovery.available):
            self._node.get_logger().warning(
                f'neither state nor recovery of a robot: taken for fake hardware, so {text}',
                once=True,
            )
            return ''
        return text

    def recover(self) -> None:
        """Clear the error, put hardware and controllers on again, and forget the hand's."""
        self._state.forget_mode()
        self._recovery.begin()
        if self._hand:
            self._hand.retry()

    def prepare(self) -> str | None:
        """Nothing of its own: the node moves the arm home."""
        return None

    def busy(self) -> bool:
        """`prepare` begins nothing."""
        return False

    def halt(self) -> None:
        """Stop the fingers; the gate brakes the arm, and the last trajectory ends by itself."""
        if self._hand:
            self._hand.halt()

    def close(self) -> None:
        """Brake and hold; the hand keeps what it holds."""
        if self._streaming:
            self._publish(self._streamer.stop(self._now()))
        self._streaming = False

    def _publish(self, trajectory: Trajectory) -> None:
        message = JointTrajectory(joint_names=self._names)
        message.header.stamp = Time(**_split(trajectory.first * STEP_NS))
        rows = zip(trajectory.position, trajectory.velocity, trajectory.acceleration, strict=True)
        message.points = [
            JointTrajectoryPoint(
                positions=array('d', position),
                velocities=array('d', velocity),
                accelerations=array('d', acceleration),
                time_from_start=Duration(
                    sec=i * STEP_NS // _SECOND_NS, nanosec=i * STEP_NS % _SECOND_NS
                ),
            )
            for i, (position, velocity, acceleration) in enumerate(rows)
        ]
        self._publisher.publish(message)


def _split(nanoseconds: int) -> dict[str, int]:
    return {'sec': nanoseconds // _SECOND_NS, 'nanosec': nanoseconds % _SECOND_NS}


def _require_messages() -> None:
    """Raise UserError where the vendor's packages are not installed."""
    needed = {
        'franka_msgs': 'build franka_ros2 (docs/hardware_franka.md) and source its '
        'install/setup.bash',
        'control_msgs': 'sudo apt install ros-jazzy-control-msgs',
        'controller_manager_msgs': 'sudo apt install ros-jazzy-controller-manager-msgs',
    }
    for package, advice in needed.items():
        try:
            import_module(package)
        except ImportError as error:
            raise UserError(f'the Franka needs the messages of {package}: {advice}.') from error
