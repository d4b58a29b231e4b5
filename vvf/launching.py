# SPDX-License-Identifier: Apache-2.0
"""Turns a graph into launch_ros actions: what every file in `launch/` calls.

launch and launch_ros come with a ROS 2 installation and have no wheels, so they are imported here
inside the functions, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vvf.environment import ros_environment
from vvf.errors import UserError
from vvf.graph import ARGUMENT_HELP, GraphArguments, build_graph, build_replay_graph, rig_of
from vvf.node_spec import NodeSpec
from vvf.paths import share
from vvf.rig import load_rig


def task_launch_description(task: str, **defaults: str) -> Any:
    """The launch description of a task; its arguments are those of `vvf up`, and `task`.

    Args:
        task: name of the task, unless the argument `task` says another one.
        defaults: other defaults than those of `GraphArguments`, as texts.
    """
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchDescription

    declared = [
        DeclareLaunchArgument(
            item.name,
            default_value=defaults.get(item.name, _text(item.default)),
            description=ARGUMENT_HELP[item.name],
            choices=['true', 'false'] if isinstance(item.default, bool) else None,
        )
        for item in fields(GraphArguments)
    ]
    text = 'a task of config/tasks, or a task file'
    declared.append(DeclareLaunchArgument('task', default_value=task, description=text))
    return LaunchDescription([*declared, OpaqueFunction(function=_task_actions)])


def _task_actions(context: Any) -> list[Any]:
    given = context.launch_configurations
    values = {item.name: _value(given[item.name], item.default) for item in fields(GraphArguments)}
    arguments = GraphArguments(**values)
    task = given['task']
    # First the graph: what is wrong with the arguments is said before a vendor's driver moves.
    specs = build_graph(task, arguments)
    return [*_vendor_actions(task, arguments), *launch_actions(specs)]


def _vendor_actions(task: str, arguments: GraphArguments) -> list[Any]:
    """The launch files of the rig's vendors."""
    rig = rig_of(task, arguments)
    if not (rig and arguments.bringup):
        return []
    from launch.actions import IncludeLaunchDescription
    from launch_ros.substitutions import FindPackageShare

    actions = []
    for vendor in load_rig(rig).bringup:
        if arguments.use_fake_hardware and not vendor.fake_arguments:
            continue
        given = dict(vendor.arguments)
        if arguments.use_fake_hardware:
            given |= vendor.fake_arguments
        # A path of ours in an argument, such as a mode file: `share:` is this package's folder.
        given = {key: value.replace('share:', f'{share()}/') for key, value in given.items()}
        path = [FindPackageShare(vendor.package), '/launch/', vendor.file]
        actions.append(IncludeLaunchDescription(path, launch_arguments=list(given.items())))
    return actions


REPLAY_ARGUMENTS = {
    'bag': ('', 'the recorded bag'),
    'task_file': ('', 'task of the bag, where it names none'),
    'value_model': ('', 'folder of the value checkpoint (default: the one of the task)'),
    'engine_device': ('auto', ARGUMENT_HELP['engine_device']),
    'bag_dir': ('runs/replay', 'folder that the replay is recorded to'),
    'rate': ('1.0', 'pace relative to the recording'),
    'record': ('true', 'true: record the replay with its values'),
    'rviz': ('false', ARGUMENT_HELP['rviz']),
}


def replay_launch_description(**defaults: str) -> Any:
    """The launch description of a replay; its arguments are those of `vvf up replay`.

    Args:
        defaults: other defaults than those of `REPLAY_ARGUMENTS`.
    """
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchDescription

    declared = [
        DeclareLaunchArgument(name, default_value=defaults.get(name, default), description=text)
        for name, (default, text) in REPLAY_ARGUMENTS.items()
    ]
    start = OpaqueFunction(
        function=lambda context: launch_actions(replay_specs(context.launch_configurations))
    )
    return LaunchDescription([*declared, start])


def replay_specs(given: Mapping[str, str]) -> list[NodeSpec]:
    """The nodes of a replay, from texts by the names of `REPLAY_ARGUMENTS`.

    Raises:
        UserError: there is no such bag, task, checkpoint or engine.
    """
    from vvf.bags.reader import open_bag
    from vvf.bags.replay import replay_task

    if not given['bag']:
        raise UserError('a replay needs bag:=DIR, the recorded bag.')
    bag = Path(given['bag']).absolute()
    with open_bag(bag) as reader:
        task = replay_task(reader, given['task_file'])
    return build_replay_graph(
        bag,
        task,
        value_model=given['value_model'],
        engine_device=given['engine_device'],
        bag_dir=given['bag_dir'],
        rate=float(given['rate']),
        record=given['record'] == 'true',
        rviz=given['rviz'] == 'true',
    )


def launch_actions(specs: list[NodeSpec]) -> list[Any]:
    """The actions that start a list of nodes, with the environment they need."""
    from launch.actions import EmitEvent, RegisterEventHandler, SetEnvironmentVariable
    from launch.event_handlers import OnProcessExit
    from launch.events import Shutdown
    from launch_ros.actions import Node

    actions: list[Any] = [
        SetEnvironmentVariable(name, value)
        for name, value in ros_environment().items()
        # The transport that lets images arrive; a profile of the user's stays.
        if name.endswith('_DEFAULT_PROFILES_FILE')
    ]
    for spec in specs:
        own = spec.package == 'vvf'
        node = Node(
            package=spec.package,
            executable=spec.executable,
            name=spec.name,
            namespace=spec.namespace or None,
            parameters=[str(spec.parameter_file), dict(spec.parameters)] if own else [],
            arguments=[] if own else ['-d', str(spec.parameters['config'])],
            remappings=list(spec.remappings),
            respawn=spec.respawn,
            respawn_delay=0.5,
            respawn_max_retries=5,
            output='screen',
            sigterm_timeout='10.0',
        )
        actions.append(node)
        if own and not spec.respawn:
            # What may not come back ends the graph: an arm that died, a replay that is through.
            actions.append(
                RegisterEventHandler(
                    OnProcessExit(
                        target_action=node,
                        on_exit=[EmitEvent(event=Shutdown(reason=f'{spec.name} ended'))],
                    )
                )
            )
    return actions


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return text == 'true'
    return type(default)(text)
