# SPDX-License-Identifier: Apache-2.0
"""Asks the `moveit` node for a way, where there is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from vvf_msgs.srv import PlanMove

from vvf.moveit.path import PlanError, PlannedPath
from vvf.nodes.episode_runner import until
from vvf.safety_limits import RobotLimits

Array = NDArray[np.float64]

PLAN_SERVICE = '/vvf/moveit/plan'
#: What the answer begins with where MoveIt is missing: whoever asked may do without.
NOBODY = 'nobody plans ways: '
LOADING = 100  # tenths of a second that MoveIt may take to load


class PlanClient:
    """Of a node that moves an arm; waits as a coroutine on that node's executor."""

    def __init__(self, node: Node, limits: RobotLimits) -> None:
        self._node, self._limits = node, limits
        self._client = node.create_client(PlanMove, PLAN_SERVICE)

    @property
    def ready(self) -> bool:
        """Whether somebody plans ways."""
        return bool(self._client.service_is_ready())

    async def way(self, start: Array, goal: Array) -> PlannedPath | None:
        """A way from start (n,) to goal (n,), rad; `None` where the node has no MoveIt.

        Raises:
            PlanError: there is no way, or no answer: a straight line would be no better.
        """
        await until(self._node, lambda: self.ready, LOADING)
        if not self.ready:
            raise PlanError('the moveit node is not there: its log says why')
        begin = self._limits.clip(start)
        request = PlanMove.Request(start=begin.tolist(), goal=goal.tolist())
        request.joint_names = list(self._limits.joint_names)
        asked = self._client.call_async(request)
        await until(self._node, asked.done)
        if not asked.done():
            self._client.remove_pending_request(asked)
            raise PlanError('the moveit node does not answer: its log says why')
        answer = asked.result()
        if answer.message.startswith(NOBODY):
            return None
        if not answer.success:
            raise PlanError(answer.message)
        points = answer.trajectory.points
        times = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in points]
        return PlannedPath(times, [p.positions for p in points], self._limits, start, goal)
