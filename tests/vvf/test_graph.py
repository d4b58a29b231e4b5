# SPDX-License-Identifier: Apache-2.0
"""The graph as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from vvf.errors import UserError
from vvf.graph import ARGUMENT_HELP, GraphArguments, build_graph, build_replay_graph
from vvf.node_spec import NodeSpec


def by_name(specs: list[NodeSpec]) -> dict[str, NodeSpec]:
    return {s.name: s for s in specs}


def test_the_task_has_its_nodes_and_each_its_parameter_file() -> None:
    nodes = by_name(build_graph('pick_place'))
    assert list(nodes) == ['arm', 'value', 'policy', 'episode', 'plot']
    assert all(spec.parameter_file.is_file() for spec in nodes.values())
    assert nodes['arm'].stop_first
    assert not nodes['arm'].respawn


def test_every_argument_has_a_description() -> None:
    assert set(ARGUMENT_HELP) == set(GraphArguments.__dataclass_fields__)


def test_arguments_reach_their_nodes() -> None:
    nodes = by_name(
        build_graph(
            'pick_place',
            GraphArguments(
                engine_device='openvino', dry_run=True, record=False, seed=7, bag_dir='x'
            ),
        )
    )
    assert nodes['arm'].parameters['dry_run'] is True
    assert nodes['arm'].parameters['seed'] == 7
    assert nodes['arm'].parameters['watch_recorder'] is False
    assert nodes['episode'].parameters['record'] is False
    assert nodes['value'].parameters['engine'] == 'openvino'
    assert Path(nodes['episode'].parameters['directory']).is_absolute()


def test_without_a_policy_the_arm_need_not_watch_the_value() -> None:
    nodes = by_name(build_graph('pick_place', GraphArguments(policy='none')))
    assert 'policy' not in nodes
    assert nodes['arm'].parameters['watch_value'] is False


def test_a_policy_that_runs_elsewhere_is_reckoned_with() -> None:
    here = by_name(build_graph('pick_place'))
    nodes = by_name(build_graph('pick_place', GraphArguments(policy_node=False)))
    assert list(nodes) == [name for name in here if name != 'policy']
    assert nodes['arm'].parameters['watch_value'] is True
    assert nodes['episode'].parameters['policy'] == here['episode'].parameters['policy']


@pytest.mark.parametrize('robot', ['wx250s', 'fr3'])
@pytest.mark.parametrize('sim', [True, False])
@pytest.mark.parametrize('task', ['box_assembly', 'paper_towel', 'pick_place', 'shirt_folding'])
def test_every_launch_file_has_a_graph(task: str, robot: str, sim: bool) -> None:
    nodes = by_name(build_graph(task, GraphArguments(robot=robot, sim=sim)))
    assert {'arm', 'episode'} <= nodes.keys()
    assert nodes['arm'].parameters['robot'] == robot
    assert bool(nodes['arm'].parameters['rig']) is not sim


def test_a_rig_brings_a_camera_node_for_every_camera_without_a_driver() -> None:
    nodes = by_name(build_graph('pick_place', GraphArguments(sim=False)))
    assert 'camera_shoulder' not in nodes, 'its driver publishes it'
    wrist = nodes['camera_wrist'].parameters
    assert wrist['camera'] == 'wrist'
    assert wrist['source'] == 'device'
    assert (wrist['width'], wrist['rate_hz']) == (640, 30.0)


def test_without_checkpoints_there_is_still_a_graph_to_record_with() -> None:
    nodes = by_name(build_graph('paper_towel', GraphArguments(teleop='keyboard')))
    assert list(nodes) == ['arm', 'episode', 'teleop']
    assert nodes['teleop'].parameters['source'] == 'keyboard'
    assert nodes['arm'].parameters['watch_value'] is False


def test_rviz_shows_the_topics_of_the_rig() -> None:
    rviz = by_name(build_graph('pick_place', GraphArguments(sim=False, rviz=True)))['rviz2']
    assert ('/shoulder/image_raw', '/camera/camera/color/image_raw') in rviz.remappings


def test_rviz_opens_the_view_of_the_task() -> None:
    rviz = by_name(build_graph('pick_place', GraphArguments(rviz=True)))['rviz2']
    assert Path(rviz.parameters['config']).is_file()


@pytest.mark.parametrize(
    ('task', 'arguments', 'words'),
    [
        ('no_such_task', {}, 'no task is called'),
        ('pick_place', {'robot': 'hal9000'}, 'no robot'),
        ('pick_place', {'value_model': 'nowhere'}, 'value_model'),
        ('pick_place', {'policy': 'nowhere'}, 'policy'),
        ('pick_place', {'rig': 'fr3'}, 'sim:=false'),
        ('pick_place', {'use_fake_hardware': True}, 'sim:=false'),
        ('pick_place', {'sim': False, 'rig': 'moon_base'}, 'no rig'),
        ('pick_place', {'sim': False, 'robot': 'hal9000'}, 'no rig'),
        ('wx200_replay', {}, 'no sim entry'),
        ('pick_place', {'teleop': 'thought'}, 'choose none or keyboard'),
        ('pick_place', {'recorder': 'tape'}, 'choose vvf or rosbag2'),
        ('pick_place', {'images': 'moving'}, 'choose raw or compressed'),
        ('pick_place', {'engine_device': 'tpu'}, 'choose auto or torch or openvino or cuda'),
    ],
)
def test_what_does_not_exist_is_one_sentence(task: str, arguments: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        build_graph(task, GraphArguments(**arguments))


def test_a_replay_loses_nothing_on_the_way() -> None:
    nodes = by_name(build_replay_graph(Path('bag'), 'wx200_replay'))
    for name in ('value', 'episode'):
        assert nodes[name].parameters['reliable'] is True
        assert nodes[name].parameters['queue_depth'] >= 1000
    assert nodes['episode'].parameters['prepare_arm'] is False
    assert not nodes['replay'].respawn


@pytest.mark.parametrize('moveit', [False, True])
def test_with_moveit_the_arm_waits_for_its_ways_and_its_crash_ends_nothing(moveit: bool) -> None:
    nodes = {spec.name: spec for spec in build_graph('pick_place', GraphArguments(moveit=moveit))}
    assert nodes['arm'].parameters['moveit'] is moveit
    assert ('moveit' in nodes) is moveit
    assert not moveit or nodes['moveit'].respawn
