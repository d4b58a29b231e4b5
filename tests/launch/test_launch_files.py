# SPDX-License-Identifier: Apache-2.0
"""The launch files, through ROS's own `launch`, which comes with a ROS 2 installation only."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from vvf.graph import ARGUMENT_HELP, GraphArguments, build_graph
from vvf.launching import REPLAY_ARGUMENTS
from vvf.paths import share

# Not `launch` itself: the project's folder of that name would do for it.
pytest.importorskip('launch.actions', reason='launch has no wheels: it comes with ROS 2 itself')
pytest.importorskip('launch_ros.actions', reason='launch_ros comes with ROS 2 itself')

FILES = sorted((share() / 'launch').glob('*.launch.py'))
TASKS = [f for f in FILES if f.name.removesuffix('.launch.py') not in ('replay', 'relabel')]


def description_of(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location('launch_file', file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def visit(file: Path, **given: str) -> list[Any]:
    """The actions that a launch file comes to, as `ros2 launch` would execute them."""
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(given)
    actions: list[Any] = []
    for entity in description_of(file).entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.visit(context)
        elif isinstance(entity, OpaqueFunction):
            actions += entity.execute(context) or []
    return actions


def executables(actions: list[Any]) -> list[str]:
    from launch_ros.actions import Node

    return [action.node_executable for action in actions if isinstance(action, Node)]


def included(actions: list[Any]) -> list[Any]:
    from launch.actions import IncludeLaunchDescription

    return [action for action in actions if isinstance(action, IncludeLaunchDescription)]


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.name)
def test_every_argument_is_described(file: Path) -> None:
    arguments = {a.name: a for a in description_of(file).get_launch_arguments()}
    known = REPLAY_ARGUMENTS if file not in TASKS else ARGUMENT_HELP
    assert known.keys() <= arguments.keys()
    assert all(len(a.description) > 10 for a in arguments.values())


@pytest.mark.parametrize('file', TASKS, ids=lambda f: f.name)
@pytest.mark.parametrize('robot', ['wx250s', 'fr3'])
@pytest.mark.parametrize('sim', ['true', 'false'])
def test_launch_starts_what_vvf_up_starts(file: Path, robot: str, sim: str) -> None:
    given = {'robot': robot, 'sim': sim, 'bringup': 'false'}
    task = file.name.removesuffix('.launch.py')
    started = executables(visit(file, **given))
    if task == 'calibrate':
        expected = build_graph(
            'pick_place',
            GraphArguments(
                robot, sim == 'true', value_model='none', policy='none', teleop='keyboard'
            ),
        )
    else:
        expected = build_graph(task, GraphArguments(robot, sim == 'true'))
    assert started == [spec.executable for spec in expected]


def test_the_vendors_drivers_are_started_with_the_graph() -> None:
    pick_place = share() / 'launch' / 'pick_place.launch.py'
    real = included(visit(pick_place, sim='false'))
    assert len(real) == 2, 'arm and camera'
    fake = included(visit(pick_place, sim='false', use_fake_hardware='true'))
    assert [dict(f.launch_arguments).get('use_sim') for f in fake] == ['true']
    modes = dict(real[0].launch_arguments)['mode_configs']
    assert Path(modes).is_file()
    assert not included(visit(pick_place, sim='false', bringup='false'))
