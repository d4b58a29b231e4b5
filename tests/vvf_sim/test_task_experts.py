# SPDX-License-Identifier: Apache-2.0
"""Experts of tasks with doors and loose things: they succeed, err by design, make it good."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from vvf_sim.collect import collect_episode
from vvf_sim.experts.config import ExpertConfig
from vvf_sim.experts.open_microwave import OpenMicrowaveExpert
from vvf_sim.experts.paper_towel import PaperTowelExpert
from vvf_sim.experts.sweep_beans import SweepBeansExpert
from vvf_sim.experts.window_open import WindowOpenExpert
from vvf_sim.registry import TASKS
from vvf_sim.robots.arm import ARMS

DOORS = {'open_microwave': OpenMicrowaveExpert, 'window_open': WindowOpenExpert}
LOOSE = {'paper_towel': PaperTowelExpert, 'sweep_beans': SweepBeansExpert}
#: Of each task with a door, each mistake that is more than doing nothing.
ERRORS = [(task, m) for task, e in DOORS.items() for m in e.MISTAKES if m != 'timeout']


def small(task, **entries):
    return TASKS[task].make_config(image_size=16, **entries)


@cache
def collect(task, seed, expert=None, patience=0, **entries):
    """An episode; one that two tests look at is played once."""
    return collect_episode(task, seed, small(task, **entries), expert, patience=patience)


def names(episode):
    return [str(name) for name in episode.event_names]


def event_of(mistake):
    return 'closed_empty' if mistake == 'missed_grasp' else mistake


@pytest.mark.parametrize('arm', ARMS)
@pytest.mark.parametrize(
    ('task', 'entries', 'seeds', 'events', 'steps'),
    [
        ('open_microwave', {'hinge': 'left'}, (0, 1), ('handle_grasped', 'ajar'), 30),
        ('open_microwave', {'hinge': 'right'}, (0, 1), ('handle_grasped', 'ajar'), 30),
        ('window_open', {'side': 'left'}, (0, 5), ('handle_reached', 'half_open'), 20),
        ('window_open', {'side': 'right'}, (0, 5), ('handle_reached', 'half_open'), 20),
    ],
)
def test_every_arm_opens_it(task, entries, seeds, events, steps, arm):
    for seed in seeds:
        episode = collect(task, seed, arm=arm, **entries)
        assert episode.success
        assert names(episode) == [*events, 'success']
        assert (np.diff(episode.event_indices) >= 0).all()
        assert episode.success_index < steps


@pytest.mark.parametrize('arm', ARMS)
@pytest.mark.parametrize(('task', 'seeds'), [('paper_towel', (0, 1)), ('sweep_beans', (1, 2))])
def test_every_arm_puts_all_of_it_where_it_belongs(task, seeds, arm):
    for seed in seeds:
        episode = collect(task, seed, arm=arm)
        assert episode.success
        if task == 'sweep_beans':
            assert names(episode)[:3] == ['tool_grasped', 'half_swept', 'success']
        else:
            assert names(episode).count('on_peg') == 2
            assert names(episode)[-1] == 'success'


@pytest.mark.parametrize(('task', 'mistake'), ERRORS)
@pytest.mark.parametrize('arm', ['wx250s', 'fr3'])
def test_a_designed_mistake_at_a_door_is_its_own_error(task, mistake, arm):
    # Of the two at the window the fingers pass over the handle once, and once before it.
    for seed in (5, 6) if task == 'window_open' else (5,):
        errs(collect(task, seed, ExpertConfig().with_mistake(mistake), arm=arm), mistake)


@pytest.mark.parametrize(
    ('task', 'mistake'), [(task, m) for task, expert in LOOSE.items() for m in expert.MISTAKES]
)
def test_a_designed_mistake_with_loose_things_is_its_own_error(task, mistake):
    for seed in range(2):
        errs(collect(task, seed, ExpertConfig().with_mistake(mistake)), mistake)


def errs(episode, mistake):
    assert not episode.success
    assert episode.failure_kind == mistake
    kinds = dict(zip(names(episode), episode.event_kinds, strict=True))
    assert kinds[event_of(mistake)] == 'error'


@pytest.mark.parametrize(
    ('task', 'mistake', 'seeds'),
    [
        *((task, mistake, (6,)) for task, mistake in ERRORS),
        ('paper_towel', 'missed_grasp', (0, 1)),
        ('paper_towel', 'dropped', (0, 1)),
        ('sweep_beans', 'missed_grasp', (0, 1)),
        ('sweep_beans', 'tool_dropped', (0, 1)),
    ],
)
def test_a_mistake_that_is_noticed_is_made_good(task, mistake, seeds):
    expert = replace(ExpertConfig().with_mistake(mistake), recovery_probability=1.0)
    for seed in seeds:
        episode = collect(task, seed, expert)
        assert episode.success
        assert names(episode).index(event_of(mistake)) < names(episode).index('success')


@pytest.mark.parametrize(('task', 'mistake'), ERRORS)
def test_a_person_can_take_over_from_where_things_stand(task, mistake):
    episode = collect(task, 4, ExpertConfig().with_mistake(mistake), patience=3)
    assert episode.success
    assert episode.interventions.any()


@pytest.mark.parametrize('task', DOORS)
def test_who_never_touches_it_runs_out_of_time(task):
    episode = collect(task, 2, ExpertConfig().with_mistake('timeout'))
    assert (episode.failure_kind, names(episode)) == ('timeout', [])


@pytest.mark.parametrize('task', DOORS)
def test_noise_alone_is_overcome(task):
    expert = replace(ExpertConfig.from_noise(1.0), mistake_probability=0.0)
    assert all(collect(task, seed, expert).success for seed in range(3))


def test_both_rolls_come_once_and_in_order():
    done = names(collect('paper_towel', 1, arm='wx250s'))
    assert done == ['grasped', 'lifted', 'on_peg'] * 2 + ['success']


@pytest.mark.parametrize('task', LOOSE)
def test_equal_seeds_are_equal_to_the_bit(task):
    first, again = (collect_episode(task, 5, small(task), max_steps=12) for _ in range(2))
    np.testing.assert_array_equal(first.state, again.state)
    np.testing.assert_array_equal(first.event_names, again.event_names)
    for camera, frames in first.images.items():
        np.testing.assert_array_equal(frames, again.images[camera])


@pytest.mark.parametrize(
    ('task', 'scene'), [('open_microwave', 'microwave'), ('window_open', 'window')]
)
def test_other_looks_leave_a_door_where_it_was(task, scene):
    plain, changed = (look(task, scene, axes=axes) for axes in ((), ('objects', 'distractors')))
    size, colour = {'microwave': ('size', 'body_colour'), 'window': ('width', 'frame_colour')}[
        scene
    ]
    for kept in ('xy', 'yaw', 'looks', size):
        assert getattr(changed, kept) == getattr(plain, kept)
    assert getattr(changed, colour) != getattr(plain, colour)
    assert (len(changed.others), len(plain.others)) == (3, 0)


def look(task, scene, **entries):
    world = TASKS[task].make_world(small(task, **entries))
    world.reset(3)
    world.close()
    return getattr(world, scene)


@pytest.mark.parametrize('axis', ['distractors', 'objects'])
@pytest.mark.parametrize('task', LOOSE)
def test_an_axis_changes_what_is_seen_and_not_where_things_lie(task, axis):
    plain, changed = (TASKS[task].make_world(small(task, axes=axes)) for axes in ((), (axis,)))
    for world in (plain, changed):
        world.reset(2)
    assert (changed.images()['shoulder'] != plain.images()['shoulder']).any()
    np.testing.assert_array_equal(places(task, changed), places(task, plain))
    plain.close()
    changed.close()


def places(task, world):
    if task == 'sweep_beans':
        return world.layout.beans
    return [roll.xy for roll in world.layout.rolls]
