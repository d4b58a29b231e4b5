# SPDX-License-Identifier: Apache-2.0
"""WidowX arms through the topics and services of Interbotix's `xs_sdk` node.

Not through the vendor's Python class, whose constructor and moves block. The vendor's node checks
only the number of commands, so all else is the safety gate's. What it does not tell, this asks for:
limp motors, and whether it was started anew and has forgotten its operating modes. Interfaces:
interbotix_ros_core (xs_sdk_obj.cpp), interbotix_xs_driver (xs_driver.cpp).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState

from vvf.drivers.base import JointReading
from vvf.drivers.widowx_gripper import GripperGuard
from vvf.drivers.widowx_joints import JointTranslator
from vvf.drivers.widowx_modules import ModulesMove
from vvf.drivers.widowx_setup import GRIPPER, GROUP, MotorSetup, WidowXOptions
from vvf.drivers.widowx_talk import Conversation
from vvf.errors import UserError
from vvf.nodes.common import now_s, seconds, stream_qos
from vvf.safety import Command, RobotLimits
from vvf.schema import build


class WidowXDriver:
    """One WidowX; see `vvf.drivers.base.ArmDriver`.

    Args:
        node: owns topics, services and timers.
        limits: of the robot file.
        options: see `WidowXOptions`.
        side: of two arms; the namespace is what an arm is called by here.

    Raises:
        UserError: an option is unknown or wrong, or the vendor's messages are not installed.
    """

    simulated = False
    stale_s = 0.5  # longest time between joint states, s
    settle_s = 0.3  # from its first joint state until a new node is asked, s
    retry_s = 2.0  # until a set-up that failed is tried again, s

    def __init__(
        self, node: Node, limits: RobotLimits, options: Mapping[str, Any], side: str = ''
    ) -> None:
        self.options: WidowXOptions = build(
            WidowXOptions, dict(options), 'options of the WidowX driver', ''
        )
        messages, services = _interfaces()
        self._node, self._limits = node, limits
        self._translator = JointTranslator(limits)
        self._gripper = GripperGuard(squeeze_m=self.options.gripper_squeeze)
        self._talk = Conversation()
        self._move: ModulesMove | None = None

        name = '/' + self.options.namespace.strip('/')
        self._who = f'arm {name}'
        launch = f'xsarm_control.launch.py robot_model:={limits.name} robot_name:={name[1:]}'
        self._launch = f'ros2 launch interbotix_xsarm_control {launch}'
        self._reading: JointReading | None = None
        self._bad = ''  # why the newest joint state is no reading
        self._heard_at = self._good_at = float('-inf')
        self._sequence = 0
        self._is_set_up = False
        self._problem = ''  # of the last set-up
        self._motor_problem = ''  # at the end of the last round of questions
        self._try_at = 0.0
        self._gripper_sent: tuple[float, float] = (float('nan'), 0.0)

        self._joint_group = messages.JointGroupCommand
        self._joint_single = messages.JointSingleCommand
        self._arm_commands = node.create_publisher(
            self._joint_group, f'{name}/commands/joint_group', 1
        )
        self._gripper_commands = node.create_publisher(
            self._joint_single, f'{name}/commands/joint_single', 1
        )
        self._motors = MotorSetup(node, services, name, limits, self.options)
        node.create_subscription(JointState, f'{name}/joint_states', self._on_states, stream_qos())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(0.05, self._watch, clock=steady)

    # -- what the arm node calls -----------------------------------------------------------

    def read(self) -> JointReading | None:
        """The newest measurement; `None` before the first one."""
        return self._reading

    def write(self, command: Command, dt: float) -> None:
        """Send a command; the motors' own profile lets them follow it at once."""
        if self.fault():
            return
        positions = [float(angle) for angle in command.position]
        self._arm_commands.publish(self._joint_group(name=GROUP, cmd=positions))
        assert self._reading is not None
        now = time.monotonic()
        opening = self._gripper.command(command.gripper, self._reading.gripper, now)
        sent, sent_at = self._gripper_sent
        # Each of these is a write and an answer on the bus that the arm needs: no more than
        # must be. The vendor's unit is the distance between both fingers.
        if not abs(opening - sent) < 1e-4 or now - sent_at > 0.5:
            self._gripper_commands.publish(self._joint_single(name=GRIPPER, cmd=2.0 * opening))
            self._gripper_sent = (opening, now)

    def fault(self) -> str:
        """What is wrong and what to do, in one sentence; '' while all is well."""
        problem = self._trouble()
        if problem:
            return problem
        if self._move is not None:
            return f'{self._who} is moved home by interbotix_xs_modules'
        return '' if self._is_set_up else f'{self._who}: it is being set up'

    def _trouble(self) -> str:
        """The fault, but for what is only not through yet."""
        now = time.monotonic()
        if now - self._heard_at > self.stale_s:
            return f"{self._who} sends no joint states: start the vendor's node (`{self._launch}`)"
        if self._bad and now - self._good_at > self.stale_s:
            return f'{self._who}: {self._bad}'
        problem = self._problem
        if self._is_set_up:
            problem = self._motors.health.problem() or self._motor_problem
        return f'{self._who}: {problem}' if problem else ''

    def recover(self) -> None:
        """Reboot motors that are in error, set the arm up again and look whether all is well."""
        if self._move is not None:
            return
        # An arm that only does not follow may have lost its modes: no motor is let go of for that.
        script = self._motors.recovery() if self.fault() else self._motors.set_up()
        self._is_set_up, self._problem = False, 'it is being recovered'
        self._talk.begin(script, self._after_set_up)

    def prepare(self) -> str | None:
        """With `interbotix_modules`, begin to move home; until it ends, `fault` says so."""
        if self.options.backend == 'topics' or self.fault():
            return None
        self._is_set_up, self._problem = False, ''
        self._talk.cancel()
        self._move = ModulesMove('home', self._limits.name, self.options.namespace)
        return f'{self._who} moves home by interbotix_xs_modules'

    def busy(self) -> bool:
        """Whether it moves home by the vendor's class, or is set up again after that."""
        return not (self._is_set_up or self._trouble())

    def halt(self) -> None:
        """End the vendor's move: hold where the arm is measured."""
        if self._move is not None:
            self._move.kill()
            self._hold_measured()

    def _hold_measured(self) -> None:
        if self._reading is not None:
            positions = self._reading.position.tolist()
            self._arm_commands.publish(self._joint_group(name=GROUP, cmd=positions))

    def close(self) -> None:
        """Say nothing more. Torque stays on: an arm that is let go of falls."""
        self._timer.cancel()
        self._talk.cancel()
        if self._move is not None:
            self._move.stop()

    # -- what comes in ---------------------------------------------------------------------

    def _on_states(self, message: JointState, info: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if self._reading is None and not self._bad:
            self._try_at = now + self.settle_s  # its answers would find nobody yet
        # Not every middleware counts messages. A set-up may silence the node for a moment itself.
        silent = self._is_set_up and now - self._heard_at > self.stale_s
        self._heard_at = now
        sequence = info.get('publication_sequence_number') or 0
        if silent or sequence < self._sequence:
            what = 'comes again' if silent else 'was started again'
            self._node.get_logger().warning(f"{self._who}: the vendor's node {what}")
            self._talk.cancel()
            self._is_set_up, self._problem, self._try_at = False, '', now + self.settle_s
        self._sequence = sequence
        stamp = seconds(message.header.stamp) or now_s(self._node)
        reading = self._translator.translate(
            message.name, message.position, message.velocity, stamp
        )
        if isinstance(reading, str):
            self._bad = reading
        else:
            self._reading, self._bad, self._good_at = reading, '', self._heard_at

    def _watch(self) -> None:
        self._talk.tick()
        now = time.monotonic()
        if self._move is not None:
            failure = self._move.poll()
            if failure is None:
                return
            if self._move.killed:
                self._hold_measured()  # in case it got a last command through
            self._move = None
            if failure:
                self._node.get_logger().error(f'{self._who} was not moved home: {failure}')
        if self._talk.busy or self._reading is None or now - self._heard_at > self.stale_s:
            return
        if not self._is_set_up:
            if now >= self._try_at:
                self._talk.begin(self._motors.set_up(), self._after_set_up)
        elif self._motors.monitored:
            self._talk.begin(self._motors.inspect(), self._after_inspection)

    def _after_set_up(self, problem: str) -> None:
        self._is_set_up, self._problem = not problem, problem
        self._try_at = time.monotonic() + self.retry_s
        if not problem:
            self._motor_problem = self._motors.health.problem()
            self._gripper_sent = (float('nan'), 0.0)
            if not self._motors.monitored:
                self._node.get_logger().warning(
                    f"{self._who} does not tell its motors' errors, as the vendor's simulator"
                )
            self._node.get_logger().info(f'{self._who} is set up for streaming')

    def _after_inspection(self, problem: str) -> None:
        if problem:
            self._after_set_up(problem)
            return
        was_ill, self._motor_problem = self._motor_problem, self._motors.health.problem()
        if was_ill and not self._motor_problem:
            # Somebody has rebooted a motor by hand: it has forgotten what it was told.
            self._is_set_up, self._problem, self._try_at = False, '', 0.0


def _interfaces() -> tuple[Any, Any]:
    try:
        import interbotix_xs_msgs.msg as messages
        import interbotix_xs_msgs.srv as services
    except ImportError as error:
        raise UserError(
            'the WidowX driver needs interbotix_xs_msgs, which is not found here: build '
            "Interbotix's workspace and `source ~/interbotix_ws/install/setup.bash` "
            '(docs/hardware_widowx.md).'
        ) from error
    return messages, services
