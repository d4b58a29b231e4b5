# SPDX-License-Identifier: Apache-2.0
"""A task on another robot, and on a real table."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vvf.errors import UserError
from vvf.graph import GraphArguments, build_graph
from vvf.paths import config_path
from vvf.rig import load_rig
from vvf.task import load_task
from vvf.task_overlay import robot_joints, sides_of

TASKS = sorted(p.stem for p in config_path('tasks').glob('*.yaml') if p.stem != 'wx200_replay')
RIGS = sorted(p.stem for p in config_path('rigs').glob('*.yaml'))


def write_rig(folder: Path, **changes: object) -> Path:
    data = {
        'robot': 'fr3',
        'driver': 'franka',
        'joint_state_topic': '/vvf/joint_states',
        'arms': [{'options': {}}],
        'cameras': {
            'shoulder': {'source': 'topic', 'topic': '/cam/image', 'width': 640, 'height': 480},
            'wrist': {'source': 'device', 'device': '/dev/video7', 'rate_hz': 15},
        },
    }
    file = folder / 'rig.yaml'
    file.write_text(yaml.safe_dump({**data, **changes}))
    return file


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('robot', ['wx250s', 'fer', 'fr3'])
def test_every_task_runs_with_every_arm(task: str, robot: str) -> None:
    spec = load_task(task, robot)
    joints = [s for s in spec.state if s.type == 'joint_state']
    arms = len(sides_of(spec))
    assert [len(s.names) for s in joints] == [arms * len(robot_joints(robot))]
    assert spec.action is not None
    assert spec.action.dim == 7 * arms
    assert spec.robot == robot


def test_two_fingers_are_no_two_arms(tmp_path: Path) -> None:
    data = yaml.safe_load(config_path('tasks', 'pick_place.yaml').read_text())
    data['state'][0]['names'].append('right_finger')
    file = tmp_path / 'fingers.yaml'
    file.write_text(yaml.safe_dump(data))
    assert sides_of(load_task(file)) == ('',)
    assert sides_of(load_task('shirt_folding')) == ('left', 'right')


def test_models_of_a_simulation_are_not_taken_on_a_table(tmp_path) -> None:
    assert load_task('box_assembly').models.policy
    assert not load_task('box_assembly', rig='wx250s').models.policy
    nodes = {spec.name for spec in build_graph('pick_place', GraphArguments(sim=False))}
    assert not nodes & {'policy', 'value'}
    own = tmp_path / 'mine.yaml'
    text = config_path('tasks', 'pick_place.yaml').read_text()
    own.write_text(text.replace('  simulated: true', '  simulated: false'))
    assert load_task(own, rig='wx250s').models.policy == 'checkpoints/bc_pick_place'


def test_models_of_one_arm_are_not_taken_for_another() -> None:
    assert load_task('pick_place').models.value
    assert load_task('pick_place', 'wx250s').models.value
    assert not load_task('pick_place', 'fr3').models.value


def test_a_rig_gives_cameras_joints_and_robot(tmp_path: Path) -> None:
    spec = load_task('pick_place', rig=write_rig(tmp_path))
    assert spec.robot == 'fr3'
    assert spec.sim is None
    shoulder, wrist = spec.cameras
    assert (shoulder.topic, shoulder.width) == ('/cam/image', 640)
    assert (wrist.topic, wrist.width, wrist.rate_hz) == ('/wrist/image_raw', 0, 15.0)
    assert spec.state[0].topic == '/vvf/joint_states'
    assert spec.state[0].names[0] == 'fr3_joint1'


def test_the_task_of_a_rig_survives_the_bag_that_it_is_embedded_in(tmp_path: Path) -> None:
    spec = load_task('pick_place', rig=write_rig(tmp_path))
    assert type(spec).from_yaml(spec.to_yaml()) == spec


@pytest.mark.parametrize('rig', RIGS)
def test_every_rig_serves_the_tasks_for_as_many_arms(rig: str) -> None:
    table = load_rig(rig)
    served = 0
    for name in TASKS:
        if sides_of(load_task(name)) == tuple(arm.side for arm in table.arms):
            assert load_task(name, rig=rig).robot == table.robot
            served += 1
    assert served >= 2


@pytest.mark.parametrize(
    ('task', 'robot', 'changes', 'words'),
    [
        ('pick_place', 'wx250s', {}, 'has a fr3, not a wx250s'),
        ('shirt_folding', '', {}, 'needs a left and a right arm, and the rig has one arm'),
        ('pick_place', '', {'cameras': {}}, "camera 'shoulder', which the rig has not"),
        ('pick_place', '', {'robot': 'hal'}, "no robot 'hal'"),
        ('pick_place', '', {'driver': 'telepathy'}, 'driver must be one of'),
        ('pick_place', '', {'arms': [{'side': 'left'}]}, 'one arm without a side'),
        (
            'pick_place',
            '',
            {'cameras': {'shoulder': {'source': 'device'}}},
            'camera shoulder of source device needs its name',
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path, task: str, robot: str, changes: dict, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        load_task(task, robot, write_rig(tmp_path, **changes))


def test_a_robot_is_not_guessed_for_a_part_of_the_arm(tmp_path: Path) -> None:
    data = yaml.safe_load(config_path('tasks', 'pick_place.yaml').read_text())
    data['state'][0]['names'] = data['state'][0]['names'][:3]
    file = tmp_path / 'part.yaml'
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(UserError, match='other joints than the whole arm'):
        load_task(file, 'fr3')


def test_a_rig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no rig'):
        load_rig('moon_base')
    (tmp_path / 'broken.yaml').write_text(': [')
    with pytest.raises(UserError, match='cannot be read'):
        load_rig(tmp_path / 'broken.yaml')
