# SPDX-License-Identifier: Apache-2.0
"""Slips lose what is held, pushes shove what is worked on; each is stamped, and drawn by seed."""

import numpy as np
import pytest

from vvf_sim.disturbances import Disturbance, Disturber
from vvf_sim.errors import UserError
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.registry import task_entry
from vvf_sim.worlds.env import TaskEnv


class Blind(TaskEnv):
    """Draws no images, which nobody looks at here."""

    def _observe(self):
        return {'state': self.world.state()}


def play(task, kind, seed=0, steps=None, control_hz=5.0):
    """The disturber and the world after the expert was disturbed, and where things were pushed."""
    env = Blind(task, task_entry(task).make_config(), control_hz, stop_on_success=False)
    env.reset(seed=seed)
    world = env.world
    expert = task_entry(task).make_expert(world, env.targets, ExpertConfig(), seed)
    disturber = Disturber(Disturbance(kind), world, task, seed, control_hz)
    for _ in range(steps or task_entry(task).max_steps):
        action = disturber.before_step(expert.act()[0])
        _, reward, _, _, _ = env.step(action.astype(np.float32))
        if reward:
            break
    return disturber, world


def events(world, since):
    return [event.name for event in world.events if event.time >= since]


@pytest.mark.parametrize(
    ('task', 'lost'), [('pick_place', ('dropped', 'set_down')), ('sweep_beans', ('tool_dropped',))]
)
def test_a_slip_loses_what_is_held(task, lost):
    disturber, world = play(task, 'slip')
    stamped, first, *_ = events(world, disturber.at)
    assert stamped == 'slip'
    assert first in lost
    assert world.event_kind(world.events[0]) == 'milestone'
    assert world.success(), 'the expert mends it'


def test_twice_the_rate_is_disturbed_at_the_same_time_for_as_long():
    still = np.zeros(7, np.float32)
    for kind in ('push', 'slip'):
        begins, lasts = [], []
        for rate in (5.0, 10.0):
            env = Blind('pick_place', control_hz=rate, stop_on_success=False)
            env.reset(seed=1)
            env.world.holds = lambda arm, slip=kind == 'slip': slip
            disturber = Disturber(Disturbance(kind), env.world, 'pick_place', 1, rate)
            opened = 0
            for _ in range(round(4 * rate)):
                opened += disturber.before_step(still)[6] > 0.5
                env.step(still)
            begins.append(disturber.at)
            lasts.append(opened / rate)
        assert begins[1] == pytest.approx(begins[0], abs=0.11)
        assert lasts[1] == lasts[0] == (0.4 if kind == 'slip' else 0.0)


def test_where_nothing_is_held_what_was_done_comes_undone():
    disturber, world = play('box_assembly', 'slip', steps=20)
    assert events(world, disturber.at)[:2] == ['slip', 'flap_sprang_open']


@pytest.mark.parametrize('task', ['pick_place', 'box_assembly'])
def test_a_push_shoves_what_is_worked_on_while_nothing_is_held(task):
    env = Blind(task, task_entry(task).make_config())
    env.reset(seed=1)
    world = env.world
    (body,) = world.pushable()
    disturber = Disturber(Disturbance('push'), world, task, 1)
    before = world.data.xpos[body, :2].copy()
    still = np.append(np.zeros(6, np.float32), 1.0)
    while np.isnan(disturber.at):
        assert np.abs(world.data.xpos[body, :2] - before).max() < 0.002
        env.step(disturber.before_step(still).astype(np.float32))
    for _ in range(3):
        env.step(still.astype(np.float32))
    gone = np.linalg.norm(world.data.xpos[body, :2] - before)
    assert world.PUSH_M[0] < gone < 0.2
    assert [event.name for event in world.events][:1] == ['push']
    assert world.event_kind(world.events[0]) == ''
    assert world.disturb is None


def test_the_target_is_pushed_only_while_it_lies_on_the_table():
    _, world = play('pick_place', 'push')
    assert world.success()
    assert not world.pushable().size


def test_the_garment_is_pushed_as_a_whole():
    env = Blind('pants_folding')
    env.reset(seed=0)
    world = env.world
    bodies = world.pushable()
    before = world.data.xpos[bodies].copy()
    disturber = Disturber(Disturbance('push'), world, 'pants_folding', 0)
    still = np.tile(np.append(np.zeros(6, np.float32), 1.0), 2)
    while np.isnan(disturber.at):
        env.step(disturber.before_step(still).astype(np.float32))
    moved = np.linalg.norm((world.data.xpos[bodies] - before)[:, :2], axis=1)
    assert (moved > 0.02).all()


def test_equal_seeds_disturb_alike_and_others_do_not():
    def stamps(seed):
        disturber, world = play('pick_place', 'slip', seed)
        return disturber.at, [(event.name, event.time) for event in world.events]

    assert stamps(3) == stamps(3)
    assert len({stamps(seed)[0] for seed in range(3, 7)}) > 1


def test_what_cannot_be_is_one_sentence():
    with pytest.raises(UserError, match='disturbance'):
        Disturbance('earthquake')
    with pytest.raises(UserError, match='pushed'):
        play('window_open', 'push')
