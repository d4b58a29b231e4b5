# SPDX-License-Identifier: Apache-2.0
"""What plans moves: the interface, and MoveIt behind it.

MoveIt is imported when a planner is made and nowhere else. It binds a node of its own in C++ and is
known to crash when it is torn down (moveit2 issue 3721), hence a process of its own.
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from vvf.errors import UserError
from vvf.moveit.path import PlanError
from vvf.paths import config_path
from vvf.schema import build

Array = NDArray[np.float64]

MISSING = (
    'moveit:=true needs MoveIt, `sudo apt install ros-jazzy-moveit ros-jazzy-moveit-py`; without '
    'it the arm goes home on a straight line in joint space.'
)


class Planner(Protocol):
    """Finds a way between two postures."""

    def plan(self, start: Array, goal: Array, speed: float) -> tuple[Array, Array]:
        """Times (k,) in s and postures (k, n) in rad from start (n,) to goal (n,).

        `speed` in (0, 1] is the part of the joints' limits that may be used.

        Raises:
            PlanError: there is no way.
        """
        ...


@dataclass(frozen=True)
class Described:
    """A file of a ROS package that `xacro` turns into a robot's description."""

    package: str
    file: str
    arguments: Mapping[str, str]


@dataclass(frozen=True)
class Box:
    """Something on the table, or the table: centre and size in m, in the arm's base frame."""

    name: str
    position: tuple[float, float, float]
    size: tuple[float, float, float]


@dataclass(frozen=True)
class MoveItSpec:
    """`config/moveit/<robot>.yaml`.

    Attributes:
        group: planning group of the arm in the SRDF.
        frame: link that boxes are given in.
        joints: (n,) names in the URDF, in the order of `config/robots/<robot>.yaml`.
        urdf: description of the arm.
        srdf: its groups, and which links may touch.
        acceleration: (n,) limits in rad/s^2, without which MoveIt for Jazzy gives no times.
        boxes: what the arm must not touch.
    """

    group: str
    frame: str
    joints: tuple[str, ...]
    urdf: Described
    srdf: Described
    acceleration: tuple[float, ...]
    boxes: tuple[Box, ...]


def load_spec(robot: str) -> MoveItSpec:
    """The settings of an arm.

    Raises:
        UserError: there are none for it, or they are wrong.
    """
    file = config_path('moveit', f'{robot}.yaml')
    if not file.is_file():
        known = ', '.join(sorted(p.stem for p in file.parent.glob('*.yaml')))
        raise UserError(f'MoveIt is not set up for {robot!r}; known: {known}: write {file}.')
    spec: MoveItSpec = build(MoveItSpec, yaml.safe_load(file.read_text('utf-8')), str(file), '')
    if len(spec.joints) != len(spec.acceleration):
        raise UserError(f'{file}: joints and acceleration need as many entries.')
    return spec


class MoveItPlanner:
    """MoveIt's OMPL pipeline for one arm.

    Raises:
        UserError: MoveIt or the vendor's description is not installed.
    """

    def __init__(self, spec: MoveItSpec) -> None:
        try:
            planning = importlib.import_module('moveit.planning')
            self._states = importlib.import_module('moveit.core.robot_state')
        except ImportError as error:
            raise UserError(MISSING) from error
        self._spec = spec
        self._parameters = planning.PlanRequestParameters
        self._moveit = planning.MoveItPy(node_name='vvf_moveit_py', config_dict=settings(spec))
        self._arm = self._moveit.get_planning_component(spec.group)
        self._add_boxes()

    def plan(self, start: Array, goal: Array, speed: float) -> tuple[Array, Array]:
        """See `Planner`."""
        self._arm.set_start_state(robot_state=self._state(start))
        self._arm.set_goal_state(robot_state=self._state(goal))
        request = self._parameters(self._moveit, '')
        request.max_velocity_scaling_factor = request.max_acceleration_scaling_factor = speed
        found = self._arm.plan(single_plan_parameters=request)
        if not found:
            raise PlanError('MoveIt found no way: is something in it, or does the arm touch a box?')
        message = found.trajectory.get_robot_trajectory_msg().joint_trajectory
        order = [list(message.joint_names).index(name) for name in self._spec.joints]
        points = message.points
        times = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in points]
        return np.array(times), np.array([p.positions for p in points])[:, order]

    def _state(self, joints: Array) -> Any:
        state = self._states.RobotState(self._moveit.get_robot_model())
        state.joint_positions = dict(zip(self._spec.joints, map(float, joints), strict=True))
        state.update()
        return state

    def _add_boxes(self) -> None:
        """Tell MoveIt of the table and of what stands on it."""
        objects = importlib.import_module('moveit_msgs.msg')
        shapes = importlib.import_module('shape_msgs.msg')
        geometry = importlib.import_module('geometry_msgs.msg')
        with self._moveit.get_planning_scene_monitor().read_write() as scene:
            for box in self._spec.boxes:
                thing = objects.CollisionObject(id=box.name, operation=objects.CollisionObject.ADD)
                thing.header.frame_id = self._spec.frame
                pose = geometry.Pose()
                pose.position.x, pose.position.y, pose.position.z = map(float, box.position)
                pose.orientation.w = 1.0
                size = [float(side) for side in box.size]
                kind = shapes.SolidPrimitive.BOX
                thing.primitives.append(shapes.SolidPrimitive(type=kind, dimensions=size))
                thing.primitive_poses.append(pose)
                scene.apply_collision_object(thing)
            scene.current_state.update()


def settings(spec: MoveItSpec) -> dict[str, Any]:
    """Parameters of MoveIt's node: the arm as its vendor describes it, and how to plan.

    Raises:
        UserError: the vendor's description is not installed.
    """
    limits = {
        name: {'has_acceleration_limits': True, 'max_acceleration': float(most)}
        for name, most in zip(spec.joints, spec.acceleration, strict=True)
    }
    adapters = 'default_planning_request_adapters'
    answers = 'default_planning_response_adapters'
    return {
        'robot_description': _described(spec.urdf),
        'robot_description_semantic': _described(spec.srdf),
        'robot_description_planning': {'joint_limits': limits},
        'planning_scene_monitor_options': {
            'name': 'planning_scene_monitor',
            'robot_description': 'robot_description',
            'joint_state_topic': '/joint_states',
            'wait_for_initial_state_timeout': 0.0,  # where a move begins is told with each request
        },
        'planning_pipelines': {'pipeline_names': ['ompl']},
        'plan_request_params': {
            'planning_attempts': 1,
            'planning_pipeline': 'ompl',
            'planning_time': 2.0,
        },
        'ompl': {
            'planning_plugins': ['ompl_interface/OMPLPlanner'],
            'request_adapters': [
                f'{adapters}/ResolveConstraintFrames',
                f'{adapters}/ValidateWorkspaceBounds',
                f'{adapters}/CheckStartStateBounds',
                f'{adapters}/CheckStartStateCollision',
            ],
            'response_adapters': [
                f'{answers}/AddTimeOptimalParameterization',
                f'{answers}/ValidateSolution',
            ],
        },
    }


def _described(what: Described) -> str:
    try:
        packages = importlib.import_module('ament_index_python.packages')
        file = Path(packages.get_package_share_directory(what.package)) / what.file
        arguments = [f'{key}:={value}' for key, value in what.arguments.items()]
        done = subprocess.run(['xacro', str(file), *arguments], capture_output=True, text=True)
    except (ImportError, LookupError, FileNotFoundError) as error:
        raise UserError(
            f'MoveIt needs xacro and the package {what.package}: install them, or start with '
            'moveit:=false.'
        ) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise UserError(f'xacro cannot read {file}: {"".join(last)}.')
    return done.stdout
