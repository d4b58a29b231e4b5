# SPDX-License-Identifier: Apache-2.0
"""A stand-in for franka_ros2: its topics, actions and services around a robot that trips.

As the vendor's does where a client could notice: the trajectory controller splices as that of
ros2_control (see `franka_follower`), the robot ends a motion that violates its limits by reflex,
and the error takes hardware, controllers and all their topics down until they are put on again in
the right order. At 200 Hz, in fixed steps. What is judged is the stream and not the test machine: a
message counts from when it was made, and time stands still for the arm until the next one comes,
for as long as a node may stall.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import rclpy
from controller_manager_msgs.srv import SetHardwareComponentState, SwitchController
from franka_msgs.action import ErrorRecovery
from franka_msgs.msg import FrankaRobotState
from rclpy.action import ActionServer, GoalResponse
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from tests.vendors.franka_follower import Follower, Guard
from tests.vendors.franka_hand_server import HandServer
from vvf.drivers.franka_limits import JERK
from vvf.drivers.franka_polled import NeverSpun
from vvf.drivers.franka_stream import PAST
from vvf.drivers.franka_stream import STEP_NS as STREAM_STEP_NS
from vvf.safety import RobotLimits

STEP_NS = 5_000_000
TICK_NS = 20_000_000  # of the driver
STALL_NS = 1_000_000_000
_LAG_S = 0.02  # of the measured joints behind the desired ones
_ORDER = ('clear', 'hardware', 'controllers')


class FrankaServer:
    """Everything that a client of one arm sees. A context manager; runs in a thread of its own.

    Args:
        limits: of the robot.
        domain: of DDS, on which it is a participant of its own, as another process is; `None`
            shares that of the test, and is found at once.
        namespace: of all names.
        halts: as franka_ros2 since 3.3 does, an error takes everything down.
        robot: as fake hardware, it offers neither mode nor recovery nor the hand's actions.

    Attributes:
        trips: every error that a commanded motion caused.
        refused: why trajectories were refused.
        taken: how many trajectories were not.
        recovered: what was put on again, in order.
        position, velocity: measured joints.
        joints: how many joints the joint states name.
        silent: nothing is published.
        waits: time stands still for the arm until the next message; not where none will come.
        refuse, mute: the recovery is rejected, or never answered.
        success_rate: of the commands.
        clock_offset_s: of the robot's computer.
    """

    def __init__(
        self,
        limits: RobotLimits,
        domain: int | None = None,
        *,
        namespace: str = '',
        position: Any = None,
        halts: bool = True,
        robot: bool = True,
    ) -> None:
        self.trips: list[str] = []
        self.refused: list[str] = []
        self.taken = 0
        self.recovered: list[str] = []
        self.joints = 7
        self.silent = self.refuse = self.mute = False
        self.waits = True
        self.success_rate = 1.0
        self.clock_offset_s = 0.0
        self.mode = FrankaRobotState.ROBOT_MODE_MOVE
        self.position = np.array(limits.sleep if position is None else position, np.float64)
        self._limits, self._halts, self._robot = limits, halts, robot
        self._made = 0  # when the last message was, ns
        self._errors: list[str] = []
        self._down: list[str] = []  # what has to be put on again
        self._follower = Follower(self.position)
        bounds = (limits.velocity, limits.acceleration, JERK[limits.name])
        self._guard = Guard(limits.lower, limits.upper, bounds)
        self.velocity = np.zeros_like(self.position)
        self._closing = False
        self._context = rclpy.get_default_context() if domain is None else rclpy.Context()
        self._own_context = domain is not None
        if self._own_context:
            self._context.init(domain_id=domain)
        self.node = rclpy.create_node('stand_in', namespace=namespace, context=self._context)
        self._build(limits.name)
        self._origin = self._time = time.time_ns() // STEP_NS * STEP_NS
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def _build(self, name: str) -> None:
        node = self.node
        self._trajectories = node.create_subscription(
            JointTrajectory,
            f'{name}_arm_controller/joint_trajectory',
            lambda _: None,
            10,
            callback_group=NeverSpun(),
        )
        self._joint_states = node.create_publisher(JointState, 'franka/joint_states', 10)
        self._actions: list[ActionServer] = []
        self.hand = HandServer(node, 'franka_gripper', f'{name}_', actions=self._robot)
        self._actions += self.hand.servers
        node.create_timer(STEP_NS * 1e-9, self._tick)
        node.create_timer(1 / 15, self._publish_hand)
        if not self._robot:
            return
        self._states = node.create_publisher(
            FrankaRobotState, 'franka_robot_state_broadcaster/robot_state', 10
        )
        recovery = ActionServer(
            node,
            ErrorRecovery,
            'action_server/error_recovery',
            execute_callback=self._recover,
            goal_callback=lambda _: GoalResponse.REJECT if self.refuse else GoalResponse.ACCEPT,
            handle_accepted_callback=lambda handle: self.mute or handle.execute(),
        )
        self._actions.append(recovery)
        manager = 'controller_manager'
        node.create_service(
            SetHardwareComponentState, f'{manager}/set_hardware_component_state', self._hardware
        )
        node.create_service(SwitchController, f'{manager}/switch_controller', self._switch)

    def __enter__(self) -> FrankaServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Vanish, as a process that ends does."""
        self._closing = True
        self._thread.join()
        self._executor.shutdown()
        for server in self._actions:  # they would keep the node alive
            server.destroy()
        self.node.destroy_node()
        if self._own_context:
            self._context.try_shutdown()

    def _spin(self) -> None:
        while not self._closing:
            self._executor.spin_once(timeout_sec=0.1)

    # -- what a test does ------------------------------------------------------------------

    def trip(self, *errors: str) -> None:
        """End the motion by reflex."""
        self.trips += errors
        self._stop(FrankaRobotState.ROBOT_MODE_REFLEX, list(errors))

    def press_stop(self) -> None:
        """Press the user stop."""
        self._stop(FrankaRobotState.ROBOT_MODE_USER_STOPPED, [])

    def release_stop(self) -> None:
        """Release it: the robot is idle, what was taken down stays down."""
        self.mode = FrankaRobotState.ROBOT_MODE_IDLE

    def _stop(self, mode: int, errors: list[str]) -> None:
        self.mode, self._errors = mode, errors
        self._down = [what for what in _ORDER if self._halts or what == 'clear']
        self._hold()

    # -- the robot -------------------------------------------------------------------------

    def _tick(self) -> None:
        while True:
            handle = self._trajectories.handle
            with handle:
                taken = handle.take_message(JointTrajectory, False)
            if taken is None:
                break
            self._made = self._made_at(*taken)
            self._advance(self._made)
            self._take(taken[0])
        now = time.time_ns()
        waits = self.waits and not self._down and now - self._made < STALL_NS
        self._advance(min(now, self._made + TICK_NS) if waits else now)
        self._publish()

    def _made_at(self, message: JointTrajectory, info: dict[str, int]) -> int:
        begin = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        return begin + PAST * STREAM_STEP_NS if begin else info['source_timestamp']

    def _take(self, message: JointTrajectory) -> None:
        if self._down:
            return  # an inactive controller
        names = [f'{self._limits.name}_joint{i + 1}' for i in range(7)]
        if sorted(message.joint_names) != names:
            self.refused.append("Joints on incoming trajectory don't match the controller joints.")
            return
        order = [message.joint_names.index(name) for name in names]
        begin = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        begin = (begin or self._time) - self._origin
        due = [p.time_from_start.sec * 10**9 + p.time_from_start.nanosec for p in message.points]
        still = [0.0] * 7
        points = [
            np.array([list(getattr(p, field) or still) for p in message.points])[:, order]
            for field in ('positions', 'velocities', 'accelerations')
        ]
        now = (self._time - self._origin) * 1e-9
        times = (begin + np.array(due)) * 1e-9
        refused = self._follower.take(times, tuple(points), now, self.position)
        if refused:
            self.refused.append(refused)
        else:
            self.taken += 1

    def _advance(self, until_ns: int) -> None:
        while self._time + STEP_NS <= until_ns:
            self._time += STEP_NS
            dt = STEP_NS * 1e-9
            self.hand.step(dt)
            if self._down:
                continue
            desired, _, _ = self._follower.at((self._time - self._origin) * 1e-9)
            errors = self._guard.check(desired, dt)
            if errors:
                self.trip(*errors)
                continue
            moved = (desired - self.position) * dt / _LAG_S
            self.position = self.position + moved
            self.velocity = moved / dt

    def _hold(self) -> None:
        self.velocity = np.zeros_like(self.position)
        self._follower = Follower(self.position)
        self._guard.reset()

    # -- what it publishes -----------------------------------------------------------------

    def _stamp(self) -> Any:
        now = time.time_ns() + int(self.clock_offset_s * 1e9)
        return rclpy.time.Time(nanoseconds=now).to_msg()

    def _publish(self) -> None:
        if self.silent or (self._halts and self._down):
            return
        prefix = f'{self._limits.name}_joint'
        joints = JointState(
            name=[f'{prefix}{i + 1}' for i in range(self.joints)],
            position=self.position[: self.joints].tolist(),
            velocity=self.velocity[: self.joints].tolist(),
        )
        joints.header.stamp = self._stamp()
        self._joint_states.publish(joints)
        if not self._robot:
            return
        state = FrankaRobotState(robot_mode=self.mode)
        state.header.stamp = joints.header.stamp
        state.control_command_success_rate = self.success_rate
        for name in self._errors:
            setattr(state.current_errors, name, True)
        self._states.publish(state)

    def _publish_hand(self) -> None:
        if not self.silent:
            self.hand.publish(self._stamp())

    # -- recovery --------------------------------------------------------------------------

    def _recover(self, handle: Any) -> Any:
        if self.mode == FrankaRobotState.ROBOT_MODE_USER_STOPPED:
            handle.abort()
            return ErrorRecovery.Result()
        self._errors, self.mode = [], FrankaRobotState.ROBOT_MODE_IDLE
        self._put_on('clear')
        handle.succeed()
        return ErrorRecovery.Result()

    def _hardware(self, request: Any, response: Any) -> Any:
        right = (request.name, request.target_state.label) == ('FrankaHardwareInterface', 'active')
        response.ok = right and 'clear' not in self._down
        if response.ok:
            self._put_on('hardware')
        return response

    def _switch(self, request: Any, response: Any) -> Any:
        wanted = {
            'joint_state_broadcaster',
            'franka_robot_state_broadcaster',
            f'{self._limits.name}_arm_controller',
        }
        known = wanted == set(request.activate_controllers)
        response.ok = known and not {'clear', 'hardware'} & set(self._down)
        if response.ok:
            self._put_on('controllers')
        return response

    def _put_on(self, what: str) -> None:
        self.recovered.append(what)
        self._down = [other for other in self._down if other != what]
        if not self._down:
            self.mode = FrankaRobotState.ROBOT_MODE_MOVE
            self._hold()
