# SPDX-License-Identifier: Apache-2.0
"""The `moveit` node: plans moves around what stands on the table, on `/vvf/moveit/plan`.

It moves nothing. Who asks gets a trajectory that is checked against the arm's limits, and plays it
through its own safety gate. Where MoveIt is missing, the node says so once, and to all who ask.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from trajectory_msgs.msg import JointTrajectoryPoint
from vvf_msgs.srv import PlanMove

from vvf.errors import UserError
from vvf.moveit.path import PlanError, PlannedPath
from vvf.moveit.planner import MoveItPlanner, Planner, load_spec
from vvf.nodes.common import run
from vvf.nodes.moveit_client import NOBODY, PLAN_SERVICE
from vvf.parameters import TASK_PARAMETERS, Parameter, declare
from vvf.safety_limits import load_limits
from vvf.task import load_task
from vvf_sim.robots.arm import arm_model

PARAMETERS = (
    *TASK_PARAMETERS,
    Parameter('speed', 0.3, 'part of the speed limits, where a request names none', 0.01, 1.0),
)


def load_planner(robot: str) -> Planner:
    """MoveIt for an arm.

    Raises:
        UserError: it is not installed, or not set up for this arm.
    """
    return MoveItPlanner(load_spec(robot))


class MoveItNode(Node):
    """Translates requests for a `Planner`, and its plans back.

    Args:
        make_planner: of the robot's name.
        options: for rclpy's node.
    """

    def __init__(
        self, make_planner: Callable[[str], Planner] = load_planner, **options: Any
    ) -> None:
        super().__init__('moveit', **options)
        p = declare(self, PARAMETERS)
        self._speed = p['speed']
        robot = load_task(p['task'], p['robot'], p['rig']).robot
        self._limits = load_limits(robot)
        self._kinematics = arm_model(robot).kinematics(self._limits.lower, self._limits.upper)
        self._planner: Planner | None = None
        self._missing = ''
        try:
            self._planner = make_planner(robot)
        except UserError as error:
            self._missing = f'{NOBODY}{error}'
            self.get_logger().warning(str(error))
        self.create_service(PlanMove, PLAN_SERVICE, self._on_plan)

    def _on_plan(self, request: PlanMove.Request, response: PlanMove.Response) -> PlanMove.Response:
        response.success = False
        if self._planner is None:
            response.message = self._missing
            return response
        try:
            start = self._joints(request, request.start)
            goal = self._goal(request, start)
            times, way = self._planner.plan(start, goal, request.speed or self._speed)
            path = PlannedPath(times, way, self._limits, start, goal)
        except PlanError as error:
            response.message = str(error)
            return response
        except Exception as error:  # a planner that stumbles must answer: an arm waits for it
            self.get_logger().error(traceback.format_exc())
            response.message = f'the planner failed: {error}'
            return response
        response.success = True
        response.message = f'{path.duration:.1f} s through {len(path.times)} postures'
        response.trajectory.joint_names = list(self._limits.joint_names)
        response.trajectory.points = [
            JointTrajectoryPoint(positions=posture.tolist(), time_from_start=_duration(time))
            for time, posture in zip(path.times, path.positions, strict=True)
        ]
        return response

    def _joints(self, request: PlanMove.Request, values: Any) -> np.ndarray:
        joints = np.array(values, np.float64)
        names = self._limits.joint_names
        if tuple(request.joint_names) not in ((), names):
            raise PlanError(f'the joints of this arm are {", ".join(names)}, in this order')
        if joints.shape != (len(names),) or not np.isfinite(joints).all():
            raise PlanError(f'a posture of this arm has {len(names)} finite angles')
        return joints

    def _goal(self, request: PlanMove.Request, start: np.ndarray) -> np.ndarray:
        if len(request.goal):
            return self._joints(request, request.goal)
        pose, p, q = np.eye(4), request.pose.position, request.pose.orientation
        numbers = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
        if not np.isfinite(numbers).all() or not np.abs(numbers[3:]).max():
            raise PlanError('the pose to go to is none')
        pose[:3, 3] = numbers[:3]
        pose[:3, :3] = Rotation.from_quat(numbers[3:]).as_matrix()
        found = self._kinematics.reach(pose, start)
        if not found.converged:
            off = 1e3 * found.position_error
            raise PlanError(f'the arm cannot reach this pose: its tip would be {off:.0f} mm off')
        return found.q


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(sec=whole, nanosec=int((seconds - whole) * 1e9))


def main() -> None:
    """Entry point of `ros2 run vvf moveit`."""
    sys.exit(run(MoveItNode))


if __name__ == '__main__':
    main()
