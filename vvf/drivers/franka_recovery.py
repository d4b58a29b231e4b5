# SPDX-License-Identifier: Apache-2.0
"""What has to happen after a reflex, one after the other and without waiting.

Since version 3.3 of franka_ros2 an error of the robot takes the hardware and all its controllers
down, but not the process (franka_hardware/doc, "Error Recovery"): the error is cleared first, then
the hardware is put on, then the controllers. Where an older one is running, the first step is all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.node import Node

from vvf.drivers.franka_options import FrankaOptions

_PATIENCE_S = 15.0


class FrankaRecovery:
    """Recovers an arm, once it is told to.

    Args:
        node: owns the clients.
        options: the names of the vendor's services.
        controllers: what is to run afterwards.
    """

    def __init__(self, node: Node, options: FrankaOptions, controllers: Sequence[str]) -> None:
        from controller_manager_msgs.srv import SetHardwareComponentState, SwitchController
        from franka_msgs.action import ErrorRecovery

        self._node = node
        self._options = options
        self._controllers = list(controllers)
        manager = options.name(options.controller_manager)
        self._errors = ActionClient(node, ErrorRecovery, options.name(options.recovery_action))
        self._hardware = node.create_client(
            SetHardwareComponentState, f'{manager}/set_hardware_component_state'
        )
        self._switch = node.create_client(SwitchController, f'{manager}/switch_controller')
        self._turn = 0
        self._deadline: float | None = None

    @property
    def available(self) -> bool:
        """Whether the robot offers to clear errors; fake hardware does not."""
        return bool(self._errors.server_is_ready())

    def text(self) -> str:
        """What goes on at the moment; '' when nothing does."""
        if self._deadline is None:
            return ''
        if time.monotonic() > self._deadline:
            self._end('the Franka did not recover in time: look at Desk, then try again')
            return ''
        return 'the Franka recovers: wait until it is through'

    def begin(self) -> None:
        """Begin; a recovery that goes on is left alone."""
        if self.text():
            return
        self._turn += 1
        turn = self._turn
        self._deadline = time.monotonic() + _PATIENCE_S
        if not self.available:
            self._activate_hardware(turn)
            return
        from franka_msgs.action import ErrorRecovery

        future = self._errors.send_goal_async(ErrorRecovery.Goal())
        future.add_done_callback(lambda f: self._on_answer(turn, f.result()))

    def _on_answer(self, turn: int, handle: Any) -> None:
        if turn != self._turn:
            return
        if not handle.accepted:
            self._end('the Franka refused to recover: look at Desk, then try again')
            return
        handle.get_result_async().add_done_callback(lambda f: self._on_cleared(turn, f.result()))

    def _on_cleared(self, turn: int, answer: Any) -> None:
        if turn != self._turn:
            return
        if answer.status != GoalStatus.STATUS_SUCCEEDED:
            self._end('the Franka could not clear its error: release its stops, then try again')
            return
        self._activate_hardware(turn)

    def _activate_hardware(self, turn: int) -> None:
        from controller_manager_msgs.srv import SetHardwareComponentState

        request = SetHardwareComponentState.Request(name=self._options.hardware)
        request.target_state.label = 'active'
        self._call(turn, self._hardware, request, self._activate_controllers)

    def _activate_controllers(self, turn: int) -> None:
        from controller_manager_msgs.srv import SwitchController

        request = SwitchController.Request(activate_controllers=self._controllers)
        request.strictness = SwitchController.Request.BEST_EFFORT
        self._call(turn, self._switch, request, lambda _: self._end(''))

    def _call(self, turn: int, client: Any, request: Any, then: Callable[[int], None]) -> None:
        if not client.service_is_ready():
            then(turn)  # an older driver keeps its controllers; nothing to put on
            return

        def answered(future: Any) -> None:
            if turn != self._turn:
                return
            if not future.result().ok:
                self._end(f'{client.srv_name} failed: see the log of the controller manager')
                return
            then(turn)

        client.call_async(request).add_done_callback(answered)

    def _end(self, problem: str) -> None:
        self._deadline = None
        self._turn += 1
        if problem:
            self._node.get_logger().error(problem)
        else:
            self._node.get_logger().info('the Franka has recovered')
