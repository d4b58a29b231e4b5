# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.folding import FoldingExpert
from vvf_sim.registry import task_entry
from vvf_sim.worlds.env import TaskEnv
from vvf_sim.worlds.folding import PantsFoldingConfig, ShirtFoldingConfig, ShirtFoldingWorld

CONFIGS = {
    'shirt_folding': ShirtFoldingConfig(image_size=16),
    'pants_folding': PantsFoldingConfig(image_size=16),
}
FOLDS = {'shirt_folding': 3, 'pants_folding': 2}


def episode(task, seed, expert=None, **config):
    return collect_episode(task, seed, replace(CONFIGS[task], **config), expert)


@pytest.mark.parametrize(
    ('task', 'arm'),
    [
        ('shirt_folding', 'wx250s'),
        ('shirt_folding', 'fr3'),
        ('pants_folding', 'wx250s'),
        ('pants_folding', 'fer'),
    ],
)
def test_the_expert_folds_and_each_event_comes_once_and_in_order(task, arm):
    done = episode(task, 1, arm=arm)
    assert done.success, done.failure_kind
    assert done.failure_kind == ''
    names = [str(name) for name in done.event_names]
    one_fold = ['grasped', 'grasped', 'fold_done']
    assert names == one_fold * FOLDS[task] + ['success']
    assert (np.diff(done.event_indices) >= 0).all()
    assert set(done.event_kinds) == {'milestone'}
    assert len(done.stamps) < 70


def test_two_arms_are_fourteen_numbers():
    env = TaskEnv('shirt_folding', CONFIGS['shirt_folding'])
    observation, _ = env.reset(seed=0)
    env.close()
    assert observation['state'].shape == env.action_space.shape == (14,)


@pytest.mark.parametrize('mistake', FoldingExpert.MISTAKES)
@pytest.mark.parametrize('task', list(CONFIGS))
def test_a_designed_mistake_fails_in_its_own_way(task, mistake):
    event = {'missed_grasp': 'grasp_missed', 'dropped': 'cloth_dropped', 'misfold': 'misfold'}
    done = episode(task, 2, ExpertConfig().with_mistake(mistake))
    assert not done.success
    assert done.failure_kind == mistake
    errors = [str(name) for name in done.event_names[done.event_kinds == 'error']]
    assert errors[:1] == [event[mistake]] if mistake in event else not errors


def test_a_missed_grasp_is_tried_again():
    expert = replace(ExpertConfig().with_mistake('missed_grasp'), recovery_probability=1.0)
    done = episode('shirt_folding', 2, expert)
    assert 'grasp_missed' in done.event_names
    assert done.success


class Driven:
    """The shirt's environment with its expert, which can be stopped."""

    def __init__(self):
        self.env = TaskEnv('shirt_folding', CONFIGS['shirt_folding'], stop_on_success=False)
        self.world = self.env.world
        self.world.images = dict

    def start(self, seed):
        self.env.reset(seed=seed)
        entry = task_entry('shirt_folding')
        self.expert = entry.make_expert(self.world, self.env.targets, ExpertConfig(), seed)

    def step(self, action=None):
        clean = self.expert.act()[0] if action is None else action
        self.env.step(clean.astype(np.float32))

    def hold(self, opening, steps):
        action = np.zeros(14)
        action[6::7] = opening
        for _ in range(steps):
            self.step(action)


@pytest.fixture
def driven():
    result = Driven()
    yield result
    result.env.close()


def test_a_shirt_that_is_folded_in_part_is_no_success(driven):
    driven.start(0)
    stages = set()
    while driven.world.stage < 3:
        driven.step()
        stages.add(driven.world.stage)
        assert not driven.world.success() or driven.world.stage == 3
    assert stages == {0, 1, 2, 3}
    for _ in range(4):
        driven.step()
    assert driven.world.success()
    assert driven.world.failure_kind() == ''
    driven.start(1)
    assert driven.world.stage == 0
    assert driven.world.events == []
    assert not driven.world.success()
    assert driven.world.failure_kind() == 'timeout'
    assert not driven.world.cloth.held(driven.world.data).any()


def test_what_is_let_go_in_the_air_was_dropped(driven):
    driven.start(0)
    while not (driven.expert.phase == 'carry' and driven.world.tip_point(0)[2] > 0.05):
        driven.step()
    assert driven.world.holds(0)
    assert driven.world.holds(1)
    driven.hold(1.0, 4)
    dropped = [event.kind for event in driven.world.events if event.name == 'cloth_dropped']
    assert sorted(dropped) == ['left', 'right']
    assert driven.world.failure_kind() == 'dropped'
    assert driven.world.stage == 0


def test_fingers_that_close_in_the_air_miss(driven):
    driven.start(0)
    driven.hold(0.0, 2)
    assert [(e.name, e.kind) for e in driven.world.events] == [
        ('grasp_missed', 'left'),
        ('grasp_missed', 'right'),
    ]
    driven.hold(0.0, 2)
    assert len(driven.world.events) == 2


def test_settings_and_axes_change_what_they_name():
    worlds = {}
    for name, config in {
        'train': ShirtFoldingConfig(image_size=16),
        'held_out': ShirtFoldingConfig(image_size=16, setting='held_out'),
        'axes': ShirtFoldingConfig(image_size=16, axes=('objects', 'distractors')),
    }.items():
        world = worlds[name] = ShirtFoldingWorld(config)
        world.reset(3)
        world.close()
    plain, other, axes = (worlds[name].layout for name in ('train', 'held_out', 'axes'))
    assert plain.place != other.place
    assert plain.place == axes.place
    assert plain.fabric != axes.fabric
    assert len(axes.distractors) >= 2
