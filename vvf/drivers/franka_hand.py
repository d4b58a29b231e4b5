# SPDX-License-Identifier: Apache-2.0
"""The hand of a Franka: few goals, each only when the one before it has ended."""

from __future__ import annotations

import math
import time
from typing import Any, Literal

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.node import Node

from vvf.drivers.franka_options import FrankaOptions

Grip = Literal['', 'open', 'closed']

_STEP_M = 2e-4  # of a finger and a control tick: less is no motion
_ABSENT_S = 2.0
_ANSWER_S = 3.0
_DONE_S = 15.0
_ANY_WIDTH_M = 0.2  # wider than the hand: whatever is between the fingers counts as grasped


class GripWish:
    """Open or closed, from a commanded opening that ramps between the two.

    Actions know nothing between them, and the gate only bounds the speed: two steps in one
    direction say where a ramp leads. A single one is the gate that begins anew where the fingers
    are measured, such as around what they hold, and is no wish.
    """

    def __init__(self) -> None:
        self.wanted: Grip = ''
        self._opening = math.nan
        self._way = 0

    def see(self, opening: float) -> None:
        """Take the commanded opening of a finger, m; called at the control rate."""
        change = opening - self._opening
        way = (change > _STEP_M) - (change < -_STEP_M)
        if way and way == self._way:
            self.wanted = 'open' if way > 0 else 'closed'
        self._opening, self._way = opening, way


class FrankaHand:
    """Sends goals to the vendor's action server, or to a `GripperCommand` server.

    A goal that runs is cancelled, and its end awaited, before the next is sent: the vendor's server
    would begin both. Only `want` sends one: what an answer, a recovery or the end of a stop sets
    free is no wish of anybody's now.
    """

    def __init__(self, node: Node, options: FrankaOptions) -> None:
        self._node = node
        self._options = options
        self._wish = GripWish()
        self._sent: Grip = ''
        self._turn = 0  # of the goals: answers to older ones no longer count
        self._running = False
        self._handle: Any = None
        self._cancelled = False
        self._deadline = 0.0
        self._absent_since: float | None = None
        self._problem = ''
        server = options.name(options.gripper)
        if options.gripper_action == 'franka':
            from franka_msgs.action import Grasp, Move

            self._actions: dict[str, tuple[ActionClient, str]] = {
                'open': (ActionClient(node, Move, f'{server}/move'), f'{server}/move'),
                'closed': (ActionClient(node, Grasp, f'{server}/grasp'), f'{server}/grasp'),
            }
        else:
            from control_msgs.action import GripperCommand

            name = f'{server}/gripper_action'
            client = ActionClient(node, GripperCommand, name)
            self._actions = {'open': (client, name), 'closed': (client, name)}

    def want(self, opening: float) -> None:
        """Take the commanded opening of a finger, m; called at the control rate."""
        self._wish.see(opening)
        wanted = self._wish.wanted
        if not self.look() or not wanted or wanted == self._sent:
            return
        if self._running:
            self._cancel()
        elif not self._problem:
            self._send(wanted)

    def hold(self) -> None:
        """Forget what was wanted, and end nothing: called as long as the arm has a fault."""
        self._wish = GripWish()

    def halt(self) -> None:
        """Stop the fingers where they are, and forget what was wanted."""
        self.hold()
        if self._running:
            self._cancel()

    def fault(self) -> str:
        """What is wrong with the hand, and what to do; '' while all is well."""
        absent = self._absent_since
        if absent is not None and time.monotonic() - absent > _ABSENT_S:
            name = self._actions['open'][1]
            return (
                f"no hand answers on {name}: start the Franka's hand (load_gripper:=true), or give "
                "the rig gripper: ''"
            )
        return self._problem

    def retry(self) -> None:
        """Forget a problem, after a human has looked at the hand."""
        self._problem = ''

    def look(self) -> bool:
        """Look after the goal that runs; whether there is a server to talk to."""
        now = time.monotonic()
        ready = all(client.server_is_ready() for client, _ in self._actions.values())
        if not ready:
            if self._absent_since is None:
                self._absent_since = now
            if self._running:
                self._drop()  # a server that is started again knows nothing of the goal
            return False
        self._absent_since = None
        if self._running and now > self._deadline:
            self._fail('does not answer')
        return True

    def _cancel(self) -> None:
        """End the goal that runs; one that is not accepted yet, as soon as it is."""
        if self._cancelled:
            return
        self._cancelled = True
        self._deadline = time.monotonic() + _ANSWER_S
        if self._handle is not None:
            self._handle.cancel_goal_async()

    def _drop(self) -> None:
        self._turn += 1
        self._sent, self._running, self._handle = '', False, None

    def _fail(self, what: str) -> None:
        name = self._actions[self._sent or 'open'][1]
        homing = self._options.name(f'{self._options.gripper}/homing')
        self._problem = (
            f'the hand {what} ({name}): look at it, home it with `ros2 action send_goal {homing} '
            "franka_msgs/action/Homing '{}'`, then call /vvf/arm/recover"
        )
        self._drop()

    def _goal(self, wanted: Grip) -> Any:
        options = self._options
        if options.gripper_action == 'command':
            from control_msgs.action import GripperCommand

            goal = GripperCommand.Goal()
            # Of one finger: the vendor's server doubles it to the width.
            goal.command.position = options.open_width_m / 2 if wanted == 'open' else 0.0
            goal.command.max_effort = options.grip_force_n
            return goal
        from franka_msgs.action import Grasp, Move

        if wanted == 'open':
            return Move.Goal(width=options.open_width_m, speed=options.grip_speed_m_s)
        goal = Grasp.Goal(width=0.0, speed=options.grip_speed_m_s, force=options.grip_force_n)
        goal.epsilon.inner = goal.epsilon.outer = _ANY_WIDTH_M
        return goal

    def _send(self, wanted: Grip) -> None:
        self._turn += 1
        turn = self._turn
        self._sent, self._running, self._cancelled = wanted, True, False
        self._handle = None
        self._deadline = time.monotonic() + _ANSWER_S
        client, _ = self._actions[wanted]
        future = client.send_goal_async(self._goal(wanted))
        future.add_done_callback(lambda f: self._on_answer(turn, f.result()))

    def _on_answer(self, turn: int, handle: Any) -> None:
        if turn != self._turn:
            return
        if not handle.accepted:
            self._fail('refused its goal')
            return
        self._handle = handle
        self._deadline = time.monotonic() + (_ANSWER_S if self._cancelled else _DONE_S)
        handle.get_result_async().add_done_callback(lambda f: self._on_result(turn, f.result()))
        if self._cancelled:
            handle.cancel_goal_async()

    def _on_result(self, turn: int, answer: Any) -> None:
        if turn != self._turn:
            return
        self._running, self._handle = False, None
        if answer.status == GoalStatus.STATUS_CANCELED:
            self._sent = ''  # the fingers are anywhere
            return
        done = getattr(answer.result, 'success', None)
        if done is None:
            # A `GripperCommand` to close ends with failure at each object: it holds it.
            done = answer.result.reached_goal or self._sent == 'closed'
        if not done:
            error = getattr(answer.result, 'error', '')
            self._fail(f'did not move: {error}' if error else 'did not move')
