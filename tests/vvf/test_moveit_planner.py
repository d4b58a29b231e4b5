# SPDX-License-Identifier: Apache-2.0
"""MoveIt behind its interface: missing, set up for an arm, and asked in its own terms."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import rclpy

from vvf.errors import UserError
from vvf.moveit import planner as planner_module
from vvf.moveit.path import PlanError, PlannedPath
from vvf.moveit.planner import MISSING, MoveItPlanner, load_spec
from vvf.nodes.moveit import MoveItNode
from vvf.nodes.moveit_client import PLAN_SERVICE
from vvf.safety_limits import load_limits

LIMITS = load_limits('wx250s')
START = np.array([0.4, -0.3, 0.5, 0.1, 1.0, 0.2])


def test_without_moveit_the_node_says_so_once_and_answers(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, 'moveit', None)
    with pytest.raises(UserError, match='apt install'):
        MoveItPlanner(load_spec('wx250s'))
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=92)
    node = MoveItNode(context=context)
    try:
        assert PLAN_SERVICE in [s.srv_name for s in node.services]
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    assert capfd.readouterr().err.count(MISSING) == 1


@pytest.mark.parametrize('robot', ['fr3', 'wx250s'])
def test_settings_of_every_arm_fit_its_robot_file(robot: str) -> None:
    spec, limits = load_spec(robot), load_limits(robot)
    assert len(spec.joints) == len(limits.joint_names)
    for name, own in zip(spec.joints, limits.joint_names, strict=True):
        assert name.endswith(own)
    table = next(box for box in spec.boxes if box.name == 'table')
    top = table.position[2] + table.size[2] / 2
    assert -0.02 < top < limits.workspace_lower[2]


def test_an_arm_without_settings_is_a_sentence() -> None:
    with pytest.raises(UserError, match='known: fr3, wx250s'):
        load_spec('arm9000')


def test_moveit_is_asked_in_its_own_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with the names that moveit_py 2.12 has; it is not on any index."""
    spec = load_spec('wx250s')
    told: dict[str, object] = {}

    class State:
        def __init__(self, model) -> None:
            self.joint_positions: dict[str, float] = {}

        def update(self) -> None:
            told['updated'] = True

    class Scene:
        current_state = State(None)

        def apply_collision_object(self, thing) -> None:
            told.setdefault('boxes', []).append(thing)

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            pass

    class Component:
        def set_start_state(self, robot_state) -> None:
            told['start'] = robot_state.joint_positions

        def set_goal_state(self, robot_state) -> None:
            told['goal'] = robot_state.joint_positions

        def plan(self, single_plan_parameters):
            told['speed'] = single_plan_parameters.max_velocity_scaling_factor
            if told.get('blocked'):
                return None
            names = list(spec.joints)[::-1]  # in an order of its own
            points = [
                types.SimpleNamespace(
                    positions=[told[end][name] for name in names],
                    time_from_start=types.SimpleNamespace(sec=second, nanosec=500_000_000),
                )
                for second, end in ((0, 'start'), (2, 'goal'))
            ]
            joints = types.SimpleNamespace(joint_names=names, points=points)
            message = types.SimpleNamespace(joint_trajectory=joints)
            trajectory = types.SimpleNamespace(get_robot_trajectory_msg=lambda: message)
            return types.SimpleNamespace(trajectory=trajectory)

    class MoveItPy:
        def __init__(self, node_name: str, config_dict: dict) -> None:
            told['settings'] = config_dict

        def get_planning_component(self, name: str):
            assert name == 'interbotix_arm'
            return Component()

        def get_planning_scene_monitor(self):
            return types.SimpleNamespace(read_write=Scene)

        def get_robot_model(self):
            return None

    def object_of(**fields):
        header = types.SimpleNamespace(frame_id='')
        return types.SimpleNamespace(**fields, header=header, primitives=[], primitive_poses=[])

    object_of.ADD = b'\x00'
    shape = lambda **fields: types.SimpleNamespace(**fields)  # noqa: E731
    shape.BOX = 1
    stand_ins = {
        'moveit': {},
        'moveit.planning': {
            'MoveItPy': MoveItPy,
            'PlanRequestParameters': lambda moveit, name: types.SimpleNamespace(),
        },
        'moveit.core': {},
        'moveit.core.robot_state': {'RobotState': State},
        'moveit_msgs': {},
        'moveit_msgs.msg': {'CollisionObject': object_of},
        'shape_msgs': {},
        'shape_msgs.msg': {'SolidPrimitive': shape},
    }
    for name, content in stand_ins.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(planner_module, '_described', lambda what: f'<{what.file}>')

    made = MoveItPlanner(spec)
    times, way = made.plan(START, LIMITS.home, 0.4)
    path = PlannedPath(times, way, LIMITS, START, LIMITS.home)
    np.testing.assert_allclose(path.at(0.0), START)
    assert path.duration == 2.0
    assert told['speed'] == 0.4
    (table,) = told['boxes']
    assert table.header.frame_id == 'wx250s/base_link'
    assert table.primitives[0].dimensions == [1.4, 1.4, 0.1]
    assert told['settings']['robot_description'] == '<urdf/wx250s.urdf.xacro>'
    told['blocked'] = True
    with pytest.raises(PlanError, match='found no way'):
        made.plan(START, LIMITS.home, 0.4)


def test_a_description_that_is_not_installed_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='the package interbotix_xsarm_descriptions'):
        planner_module.settings(load_spec('wx250s'))
