# SPDX-License-Identifier: Apache-2.0
"""The actions of franka_gripper (gripper_action_server.cpp), around fingers that can grasp."""

from __future__ import annotations

from typing import Any

from control_msgs.action import GripperCommand
from franka_msgs.action import Grasp, Move
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from sensor_msgs.msg import JointState

MAX_WIDTH = 0.08
FORCE_S = 0.05  # the fingers have stood for so long when a grasp is judged


class HandServer:
    """Widths are of both fingers, as the vendor's; joint states hold half of one for each.

    Attributes:
        width: m between the fingers.
        object_width: what is between them stops them; `None` for nothing.
        goals: (action, width in m, force in N) of every goal that came.
        ended: (action, how it ended) of every goal that ended.
        overlaps: goals that came while another was carried out.
        refuse: goals are rejected.
        silent: goals are taken and never end, not even when they are cancelled.
        hung: no joint states come.
    """

    def __init__(self, node: Node, name: str, prefix: str, *, actions: bool) -> None:
        self.width = MAX_WIDTH
        self.object_width: float | None = None
        self.goals: list[tuple[str, float, float]] = []
        self.ended: list[tuple[str, str]] = []
        self.overlaps = 0
        self.refuse = self.silent = self.hung = False
        self._active: list[tuple[str, Any, float, bool]] = []
        self._target: float | None = None
        self._speed = 0.1
        self._still_s = 0.0
        self._prefix = prefix
        self._states = node.create_publisher(JointState, f'{name}/joint_states', 1)
        kinds = {'move': Move, 'grasp': Grasp, 'gripper_action': GripperCommand} if actions else {}
        self.servers = [
            ActionServer(
                node,
                kind,
                f'{name}/{action}',
                execute_callback=lambda handle: None,
                handle_accepted_callback=lambda handle, action=action: self._accept(action, handle),
                goal_callback=lambda _: GoalResponse.REJECT if self.refuse else GoalResponse.ACCEPT,
                cancel_callback=lambda _: CancelResponse.ACCEPT,
            )
            for action, kind in kinds.items()
        ]

    def step(self, dt: float) -> None:
        """Move the fingers."""
        if self._target is None:
            self._judge()
            return
        change = max(-self._speed * dt, min(self._speed * dt, self._target - self.width))
        blocked = self.object_width is not None and self.width + change < self.object_width
        if blocked and change < 0 and self.object_width is not None:
            change = min(0.0, self.object_width - self.width)
        self.width += change
        self._still_s = 0.0 if change else self._still_s + dt
        self._judge()

    def publish(self, stamp: Any) -> None:
        """The fingers' joints."""
        if self.hung:
            return
        names = [f'{self._prefix}finger_joint{i}' for i in (1, 2)]
        message = JointState(name=names, position=[self.width / 2] * 2, velocity=[0.0] * 2)
        message.header.stamp = stamp
        self._states.publish(message)

    def _accept(self, action: str, handle: Any) -> None:
        goal = handle.request
        command = getattr(goal, 'command', None)
        width = goal.width if command is None else 2 * command.position
        force = getattr(goal, 'force', 0.0) if command is None else command.max_effort
        self.goals.append((action, width, force))
        self.overlaps += bool(self._active)
        grasps = action == 'grasp' or (action == 'gripper_action' and width < self.width)
        self._active.append((action, handle, width, grasps))
        if 0.0 <= width <= MAX_WIDTH:
            self._target, self._still_s = width, 0.0
            self._speed = getattr(goal, 'speed', 0.1)

    def _judge(self) -> None:
        """End what has ended; the answer goes out in the execution."""
        for goal in list(self._active):
            action, handle, width, grasps = goal
            if self.silent:
                continue
            if handle.is_cancel_requested:
                self._target, how = None, 'canceled'
            elif not 0.0 <= width <= MAX_WIDTH:
                how = 'aborted'
            elif self._still_s < FORCE_S:
                continue
            else:
                epsilon = getattr(handle.request, 'epsilon', None)
                inner, outer = (epsilon.inner, epsilon.outer) if epsilon else (0.005, 0.005)
                reached = abs(self.width - width) < 1e-4
                if grasps:
                    reached = width - inner < self.width < width + outer
                how = 'succeeded' if reached else 'aborted'
            self._active.remove(goal)
            self.ended.append((action, how))
            handle.execute(lambda handle, action=action, how=how: self._answer(action, handle, how))

    def _answer(self, action: str, handle: Any, how: str) -> Any:
        result = {'move': Move, 'grasp': Grasp, 'gripper_action': GripperCommand}[action].Result()
        if action == 'gripper_action':
            result.reached_goal, result.position = how == 'succeeded', self.width  # the full width
        else:
            result.success = how == 'succeeded'
        {'succeeded': handle.succeed, 'aborted': handle.abort, 'canceled': handle.canceled}[how]()
        return result
