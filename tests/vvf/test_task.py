# SPDX-License-Identifier: Apache-2.0
"""The task file: what is accepted, and what is said about what is not."""

from pathlib import Path

import pytest
import yaml

from vvf.errors import UserError
from vvf.task import TaskSpec, load_task, task_folders

TASKS = sorted(p.stem for folder in task_folders() for p in folder.glob('*.yaml'))


@pytest.mark.parametrize('name', TASKS)
def test_shipped_tasks_load_and_survive_being_embedded(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert TaskSpec.from_yaml(task.to_yaml()) == task


def test_pick_place_is_the_contract_of_the_models() -> None:
    task = load_task('pick_place')
    assert task.state_dim == 16
    assert task.reference_camera.name == 'shoulder'
    assert task.action is not None
    assert task.action.dim == len(task.action.low) == len(task.action.high) == 7
    recorded = [t.topic for t in task.recorded_topics()]
    assert len(recorded) == len(set(recorded))
    assert {'/joint_states', '/vvf/ee_pose', '/vvf/action', '/vvf/value', '/vvf/episode'} <= set(
        recorded
    )


def changed(**entries: object) -> str:
    data = yaml.safe_load(load_task('pick_place').to_yaml())
    for key, value in entries.items():
        target = data
        *way, last = key.split('__')
        for step in way:
            target = target[int(step) if step.isdigit() else step]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return yaml.safe_dump(data)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        (
            changed(models__value_cameras=['wirst']),
            "camera 'wirst' is used in models.value_cameras but not listed under cameras; "
            'known: shoulder, wrist',
        ),
        (changed(goal_images={'top': 'a.png'}), "camera 'top' is used in goal_images"),
        (changed(cameras=[]), 'at least one camera'),
        (changed(cameras__1__name='shoulder'), "camera name 'shoulder' is listed twice"),
        (changed(cameras__0__transport='zstd'), 'cameras[0].transport must be one of raw,'),
        (changed(cameras__0__topic='shoulder'), 'must start with a slash'),
        (changed(cameras__0__topic=None), "'cameras[0].topic' is missing"),
        (changed(cameras__0__fps=30), "'cameras[0].fps' is not a known entry"),
        (changed(state__0__names=[]), 'needs the joint names'),
        (changed(rate_hz='fast'), "rate_hz must be of type float, it is 'fast'"),
        (changed(rate_hz=0), 'rate_hz must be above 0'),
        (changed(action__execute=7), 'action.execute must lie between 1 and the horizon 6'),
        (changed(action__low=[0.0]), 'action.low has 1 numbers but action.dim is 7'),
        (changed(action__low=[1.0] * 7), 'every number of action.low'),
        ('name: [', 'not valid YAML at line 1'),
        ('- a', 'expected a mapping'),
    ],
)
def test_mistakes_are_named_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        TaskSpec.from_yaml(text, 'mine.yaml')
    assert said in str(caught.value)
    assert str(caught.value).startswith('task file mine.yaml: ')
    assert '\n' not in str(caught.value)


def test_an_unknown_task_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no task is called 'pick'; known: .*pick_place"):
        load_task('pick')
    with pytest.raises(UserError, match='does not exist'):
        load_task(tmp_path / 'none.yaml')


def test_a_task_is_loaded_by_path(tmp_path: Path) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text(changed(name='mine'))
    assert load_task(file).name == 'mine'


def test_cameras_of_a_model_are_matched_by_name_or_by_the_task() -> None:
    task = load_task('pick_place')
    assert task.match_cameras(['wrist']) == {'wrist': 'wrist'}
    assert task.match_cameras(['image_0'], ['shoulder']) == {'image_0': 'shoulder'}
    both = {'wrist': 'wrist', 'shoulder': 'shoulder'}
    assert task.match_cameras(['wrist', 'shoulder'], ['shoulder', 'wrist']) == both
    with pytest.raises(UserError, match="camera 'image_0', which is not listed"):
        task.match_cameras(['image_0'])
