# SPDX-License-Identifier: Apache-2.0
"""What a WidowX is asked before it moves and while it does: robot, modes, torque, motors' errors.

Scripts for a `Conversation` with the services of Interbotix's `xs_sdk` node.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

from vvf.drivers.widowx_joints import check_robot
from vvf.drivers.widowx_motors import ERRORS, TORQUE, MotorHealth
from vvf.drivers.widowx_talk import Script, VendorError
from vvf.safety import RobotLimits

GROUP, GRIPPER = 'arm', 'gripper'
_PROFILE = 'velocity'
_SERVICES = {
    'get_robot_info': 'RobotInfo',
    'set_operating_modes': 'OperatingModes',
    'set_motor_registers': 'RegisterValues',
    'get_motor_registers': 'RegisterValues',
    'torque_enable': 'TorqueEnable',
    'reboot_motors': 'Reboot',
}


@dataclass(frozen=True)
class WidowXOptions:
    """What a rig file may say about a WidowX.

    Attributes:
        namespace: of the vendor's node, its `robot_name`.
        backend: `interbotix_modules` moves home by the vendor's Python class, in a process.
        profile_velocity: limit within the motors, in 0.229 rev/min; 0 is none.
        profile_acceleration: the same, in 214.577 rev/min^2.
        gripper_pwm: limit of the gripper motor's effort, of 885; 0 leaves the motor's own. 350 is
            the most that the vendor's own gripper class pushes with.
        gripper_squeeze: see `GripperGuard`, m.
        shadows: second motors of a joint, of which the vendor's groups say nothing.
    """

    namespace: str = 'wx250s'
    backend: Literal['topics', 'interbotix_modules'] = 'topics'
    profile_velocity: int = 131
    profile_acceleration: int = 0
    gripper_pwm: int = 350
    gripper_squeeze: float = 0.001
    shadows: tuple[str, ...] = ('shoulder_shadow', 'elbow_shadow')


class MotorSetup:
    """The motors of one arm, as far as the vendor's services tell of them.

    Args:
        node: owns the clients.
        services: the package `interbotix_xs_msgs.srv`.
        name: of the arm's namespace, with its slash.
        limits: of the robot file.
        options: of the rig file.

    Attributes:
        health: the newest registers.
        monitored: whether there are registers: the vendor's simulator has none.
    """

    poll_s = 0.2  # between two questions for registers, which keep the motors' bus busy, s
    reboot_s = 1.5  # a motor's reboot takes, s

    def __init__(
        self, node: Any, services: Any, name: str, limits: RobotLimits, options: WidowXOptions
    ) -> None:
        self.health = MotorHealth()
        self.monitored = True
        self._limits, self._options = limits, options
        self._motors: list[str] = []
        self._clients = {
            service: node.create_client(getattr(services, kind), f'{name}/{service}')
            for service, kind in _SERVICES.items()
        }

    def _ask(self, service: str, name: str, kind: str = 'group', **fields: Any) -> tuple[Any, Any]:
        client = self._clients[service]
        return client, client.srv_type.Request(cmd_type=kind, name=name, **fields)

    def set_up(self) -> Script:
        """Check the robot, then modes, limits and torque, in the order in which they hold.

        Setting a mode lets go of the motor for a moment, so it is only done where it is not set.
        """
        info = yield self._ask('get_robot_info', GROUP)
        problem = check_robot(
            self._limits, info.joint_names, info.joint_lower_limits, info.joint_upper_limits
        )
        if problem:
            raise VendorError(problem)
        everything = yield self._ask('get_robot_info', 'all')
        finger = self._limits.gripper_name
        self._motors = [GRIPPER if n == finger else n for n in everything.joint_names]
        gripper = yield self._ask('get_robot_info', GRIPPER, 'single')
        profile = {
            'profile_velocity': self._options.profile_velocity,
            'profile_acceleration': self._options.profile_acceleration,
        }
        for name, kind, mode, is_now in (
            (GROUP, 'group', 'position', info),
            (GRIPPER, 'single', 'linear_position', gripper),
        ):
            if (is_now.mode, is_now.profile_type) != (mode, _PROFILE):
                yield self._ask(
                    'set_operating_modes', name, kind, mode=mode, profile_type=_PROFILE, **profile
                )
                continue
            for register, value in profile.items():
                reg = register.title()  # Profile_Velocity
                yield self._ask('set_motor_registers', name, kind, reg=reg, value=value)
        yield self._ask('torque_enable', 'all', enable=True)
        pwm = self._options.gripper_pwm
        if pwm:  # in position modes, this register is the limit of the output
            yield self._ask('set_motor_registers', GRIPPER, 'single', reg='Goal_PWM', value=pwm)
        self.health = MotorHealth()
        self.monitored = yield from self._has_registers()
        if self.monitored:
            yield from self.inspect()

    def _has_registers(self) -> Generator[Any, Any, bool]:
        """Whether errors can be asked for; one lost answer does not decide it."""
        for _ in range(3):
            answer = yield self._ask('get_motor_registers', 'all', reg=ERRORS)
            if answer.values:
                return True
        known = yield self._ask('get_motor_registers', 'all', reg='Profile_Velocity')
        return not known.values

    def inspect(self) -> Script:
        """Ask every motor for its errors and its torque."""
        for register in (ERRORS, TORQUE):
            answer = yield self._ask('get_motor_registers', 'all', reg=register)
            self.health.saw(register, self._motors, answer.values)
            for shadow in self._options.shadows:
                yield self.poll_s
                answer = yield self._ask('get_motor_registers', shadow, 'single', reg=register)
                self.health.saw(register, [shadow], answer.values)
            yield self.poll_s

    def recovery(self) -> Script:
        """Reboot motors that are in error, and set the arm up again."""
        again: dict[str, Any] = {'enable': True, 'smart_reboot': True}
        yield self._ask('reboot_motors', 'all', **again)
        rebooted = []
        for shadow in self._options.shadows:
            answer = yield self._ask('get_motor_registers', shadow, 'single', reg=ERRORS)
            if any(answer.values):
                yield self._ask('reboot_motors', shadow, 'single', **again)
                rebooted.append(shadow)
        yield self.reboot_s
        for shadow in rebooted:  # which the vendor's node does not do
            yield self._ask('torque_enable', shadow, 'single', enable=True)
        yield from self.set_up()
