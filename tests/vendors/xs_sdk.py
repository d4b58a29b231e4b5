# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Interbotix's `xs_sdk`: its topics and services around motors that can fail.

Behaves as interbotix_ros_core (xs_sdk_obj.cpp) and interbotix_xs_driver (xs_driver.cpp) do where a
client could notice: services answer nothing when they fail, limits are not looked at, groups know
nothing of second motors, motors that do not answer are measured at -pi. Run by a thread of its own,
in a context of its own, as the vendor's process is.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import rclpy
from interbotix_xs_msgs.msg import JointGroupCommand, JointSingleCommand
from interbotix_xs_msgs.srv import (
    OperatingModes,
    Reboot,
    RegisterValues,
    RobotInfo,
    TorqueEnable,
)
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from sensor_msgs.msg import JointState

RATE_HZ = 100.0
ARM = ('waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate')
SLEEP = (0.0, -1.80, 1.55, 0.0, 0.8, 0.0)
LOWER = (-3.14158, -1.88496, -2.14675, -3.14158, -1.74533, -3.14158)
UPPER = (3.14158, 1.98968, 1.60570, 3.14158, 2.14675, 3.14158)
FASTEST = math.pi  # rad/s
FASTEST_FINGER = 0.044  # m/s


@dataclass
class Motor:
    """One motor: rad, or m of one finger for the gripper."""

    position: float
    goal: float = 0.0
    mode: str = 'position'
    profile: str = 'velocity'
    torque: bool = True
    registers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.goal = self.position
        self.registers = {'Hardware_Error_Status': 0, 'Profile_Velocity': 0, 'Goal_PWM': 885}

    def fail(self, status: int) -> None:
        """Protect itself: limp until it is rebooted."""
        self.registers['Hardware_Error_Status'], self.torque = status, False

    def switch(self, on: bool) -> None:
        """Torque; a motor with an error refuses it, and its goal becomes where it is."""
        self.torque = on and not self.registers['Hardware_Error_Status']
        self.goal = self.position

    def reboot(self) -> None:
        """Errors and everything in its RAM are forgotten."""
        self.registers = {'Hardware_Error_Status': 0, 'Profile_Velocity': 0, 'Goal_PWM': 885}
        self.torque = False


class XsSdk:
    """The vendor's node, and the arm behind it.

    Args:
        domain: ROS domain.
        joints: of the arm that was launched.
        group: joints of its group `arm`; default: all.
        namespace: robot_name.

    Attributes:
        commands: positions of each command to the group that was carried out.
        events: what was done to motors, such as 'modes arm position velocity'.
        rejected: commands whose length was wrong.
        ticks: control steps so far.
        silent: services that never answer.
        frozen: no joint states are sent.
        broken: the motors do not answer.
        simulated: there are no registers but those of the profile, as in the vendor's simulator.
        object_m: opening at which an object stops the fingers, m.
    """

    def __init__(
        self,
        domain: int,
        *,
        joints: tuple[str, ...] = ARM,
        group: tuple[str, ...] = (),
        namespace: str = 'wx250s',
    ) -> None:
        self.joints, self.group, self.namespace = joints, group or joints, namespace
        self.motors = {name: Motor(SLEEP[i]) for i, name in enumerate(joints)}
        self.motors |= {'gripper': Motor(0.030)}
        self.shadows = {'shoulder_shadow': Motor(0.0), 'elbow_shadow': Motor(0.0)}
        self.commands: list[tuple[float, ...]] = []
        self.gripper_commands: list[float] = []
        self.events: list[str] = []
        self.rejected = self.ticks = 0
        self.silent: set[str] = set()
        self.frozen = self.broken = self.simulated = False
        self.object_m = 0.0
        self._domain = domain
        self.start()

    def start(self) -> None:
        """Start the process: every motor is let go of, then has the modes of the vendor's file."""
        for motor in self.motors.values():
            motor.switch(False)
        self.events.append('started')
        self._set_modes('group', 'arm', 'position', 'time', 2000)
        self._set_modes('single', 'gripper', 'pwm', 'velocity', 0)
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=self._domain)
        self._node = rclpy.create_node('xs_sdk', context=self._context, namespace=self.namespace)
        self._states = self._node.create_publisher(JointState, 'joint_states', 10)
        self._node.create_subscription(
            JointGroupCommand, 'commands/joint_group', self._on_group, 10
        )
        self._node.create_subscription(
            JointSingleCommand, 'commands/joint_single', self._on_single, 10
        )
        for kind, name, act in (
            (TorqueEnable, 'torque_enable', self._torque),
            (Reboot, 'reboot_motors', self._reboot),
            (RobotInfo, 'get_robot_info', self._info),
            (OperatingModes, 'set_operating_modes', self._modes),
            (RegisterValues, 'get_motor_registers', self._get),
            (RegisterValues, 'set_motor_registers', self._set),
        ):
            self._mute(name, self._node.create_service(kind, name, _returning(act)))
        self._node.create_timer(1.0 / RATE_HZ, self._tick)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        self._thread = threading.Thread(target=_spin, args=(executor,))
        self._thread.start()

    def stop(self) -> None:
        """End the process; the motors keep what they were told."""
        if self._context.ok():
            rclpy.shutdown(context=self._context)
            self._thread.join()
            self._node.destroy_node()

    @property
    def pose(self) -> tuple[float, ...]:
        """Where the arm is, rad."""
        return tuple(self.motors[name].position for name in self.joints)

    # -- topics ----------------------------------------------------------------------------

    def _tick(self) -> None:
        self.ticks += 1
        for name, motor in self.motors.items():
            if not motor.torque or motor.mode == 'pwm':
                continue
            fastest = FASTEST_FINGER if name == 'gripper' else FASTEST
            if motor.profile == 'time':  # begins anew with every command
                fastest = abs(motor.goal - motor.position) / 2.0
            step = max(-fastest / RATE_HZ, min(motor.goal - motor.position, fastest / RATE_HZ))
            motor.position += step
            if name == 'gripper':
                motor.position = max(motor.position, self.object_m)
        if self.frozen:
            return
        finger = self.motors['gripper'].position
        angle = 20.0 * finger  # nobody reads it
        positions = [*self.pose, angle, finger, -finger]
        if self.broken:
            positions = [-math.pi] * len(positions)
        message = JointState(
            name=[*self.joints, 'gripper', 'left_finger', 'right_finger'],
            position=positions,
            velocity=[0.0] * len(positions),
            effort=[0.0] * len(positions),
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._states.publish(message)

    def _on_group(self, message: JointGroupCommand) -> None:
        if len(message.cmd) != len(self.group):
            self.rejected += 1  # an error in the vendor's log is all that a client gets
            return
        self.commands.append(tuple(message.cmd))
        for name, angle in zip(self.group, message.cmd, strict=True):
            self.motors[name].goal = angle

    def _on_single(self, message: JointSingleCommand) -> None:
        self.gripper_commands.append(message.cmd)
        motor = self.motors[message.name]
        if motor.mode == 'linear_position':
            motor.goal = message.cmd / 2.0

    # -- services --------------------------------------------------------------------------

    def _mute(self, name: str, service: Any) -> None:
        send = service.send_response

        def send_unless_silent(response: Any, header: Any) -> None:
            if name not in self.silent:
                send(response, header)

        service.send_response = send_unless_silent

    def _names(self, kind: str, name: str) -> list[str]:
        if kind == 'single':
            return [name]
        return [*self.joints, 'gripper'] if name == 'all' else list(self.group)

    def _motor(self, name: str) -> Motor:
        return self.motors.get(name) or self.shadows[name]

    def _set_modes(self, kind: str, name: str, mode: str, profile: str, velocity: int) -> None:
        for motor in map(self._motor, self._names(kind, name)):
            motor.switch(False)
            motor.mode, motor.profile = mode, profile
            motor.registers['Profile_Velocity'] = velocity
            motor.switch(True)
        self.events.append(f'modes {name} {mode} {profile}')

    def _modes(self, request: Any, _: Any) -> None:
        r = request
        self._set_modes(r.cmd_type, r.name, r.mode, r.profile_type, r.profile_velocity)

    def _torque(self, request: Any, _: Any) -> None:
        for motor in map(self._motor, self._names(request.cmd_type, request.name)):
            motor.switch(request.enable)
        self.events.append(f'torque {request.name} {request.enable}')

    def _reboot(self, request: Any, _: Any) -> None:
        for name in self._names(request.cmd_type, request.name):
            motor = self._motor(name)
            smart = request.smart_reboot and request.cmd_type == 'group'
            if smart and not motor.registers['Hardware_Error_Status']:
                continue
            motor.reboot()
            # The vendor's node switches on what a group names, and forgets second motors.
            motor.switch(request.enable and name in self.motors)
            self.events.append(f'reboot {name}')

    def _info(self, request: Any, response: Any) -> None:
        names = self._names(request.cmd_type, request.name)
        first = self._motor(names[0])
        response.mode, response.profile_type = first.mode, first.profile
        response.joint_names = ['left_finger' if n == 'gripper' else n for n in names]
        response.num_joints = len(names)
        if request.name == 'arm':
            response.joint_lower_limits = LOWER[: len(names)]
            response.joint_upper_limits = UPPER[: len(names)]

    def _get(self, request: Any, response: Any) -> None:
        for motor in map(self._motor, self._names(request.cmd_type, request.name)):
            if self.simulated and request.reg not in ('Profile_Velocity', 'Profile_Acceleration'):
                return
            if self.broken:
                return  # the vendor's node stops at the first motor that does not answer
            if request.reg == 'Torque_Enable':
                response.values.append(int(motor.torque))
            else:
                response.values.append(motor.registers[request.reg])

    def _set(self, request: Any, _: Any) -> None:
        for motor in map(self._motor, self._names(request.cmd_type, request.name)):
            motor.registers[request.reg] = request.value


def _returning(act: Callable[[Any, Any], None]) -> Callable[[Any, Any], Any]:
    def answer(request: Any, response: Any) -> Any:
        act(request, response)
        return response

    return answer


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):
        executor.spin()
