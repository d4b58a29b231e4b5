# SPDX-License-Identifier: Apache-2.0
"""Policies in simulation: what is recorded, who watches, and what a value gate does on a fall."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vvf.errors import UserError, is_user_error
from vvf.rollouts import Rollout, RolloutJob, roll_out, run, watch, wilson
from vvf.rollouts.from_task import job_of, settings_of
from vvf.rollouts.store import RolloutStore
from vvf.task import load_task
from vvf.value_gate import GateConfig
from vvf_sim.collect import load_npz
from vvf_sim.disturbances import Disturbance
from vvf_sim.registry import task_entry

POLICY = Path('checkpoints/bc_pick_place')
VALUE = Path('checkpoints/icvf_pick_place')
SEED = 700001
HEIGHT = 9  # of the state's numbers, the tip's z


def scene(**entries: Any) -> Any:
    known = {'targets': ('carrot',), 'n_distractors': 2, 'setting': 'held_out', 'image_size': 64}
    return task_entry('pick_place').make_config(**{**known, **entries})


def job(**changes: Any) -> RolloutJob:
    plain = RolloutJob(POLICY, 'pick_place', scene(), SEED, max_steps=60)
    return dataclasses.replace(plain, **changes)


class Rising:
    """A policy that goes up by a cm in each step, and counts how often it was asked."""

    name, cameras, state_dim, action_dim, horizon = 'rising', ('shoulder',), 0, 7, 6
    dt, displacements = 0.2, True
    up = 0.01

    def __init__(self) -> None:
        self.asked = 0

    def act(self, images: Any, state: Any) -> Any:
        self.asked += 1
        return np.tile(np.float32([0, 0, self.up, 0, 0, 0, 0]), (6, 1))

    def set_instruction(self, instruction: str) -> None:
        self.told = instruction

    def reseed(self, seed: int) -> None:
        assert seed == SEED


class Falling:
    """A value that rises and falls once, with the frame `at`."""

    cameras, state_dim, ready = ('wrist',), 0, True
    at = 8

    def set_instruction(self, instruction: str) -> None:
        self.seen = 0

    def encode(self, images: Any, state: Any) -> Any:
        assert images['wrist'].shape == (1, 64, 64, 3)
        return None

    def value(self, latents: Any) -> Any:
        self.seen += 1
        self.progress = [0.5 + 0.05 * self.seen if self.seen <= self.at else 0.1]
        return self


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Rising:
    """Policy and value by the book, under the names `up` and `down`."""
    policy = Rising()
    monkeypatch.setitem(run._policies, (Path('up'), None, None, 1), policy)
    monkeypatch.setitem(watch._values, Path('down'), Falling())
    return policy


def gated(reaction: str, **changes: Any) -> RolloutJob:
    named = {'policy': Path('up'), 'value': Path('down'), 'gate': GateConfig(reaction)}
    return job(**{**named, 'max_steps': 16, **changes})


def test_equal_jobs_go_alike_whatever_ran_before() -> None:
    first = roll_out(job(value=VALUE, record=None))
    roll_out(job(seed=SEED + 1, max_steps=3))
    again = roll_out(job(value=VALUE))
    assert first == dataclasses.replace(again, disturbed_at=first.disturbed_at)
    assert first.success
    assert first.milestones == ('grasped', 'lifted', 'placed', 'success')
    assert len(first.progress) == first.steps


def test_a_record_is_an_episode_to_train_on(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'one.npz'
    plain, kept = roll_out(job()), roll_out(job(record=path))
    assert (kept.success, kept.steps, kept.path) == (True, plain.steps, path)
    episode = load_npz(path)
    assert episode.success_index == kept.steps
    assert 2 <= len(episode.stamps) - 1 - episode.success_index <= 8
    np.testing.assert_array_equal(episode.action, episode.executed_action)
    assert not episode.interventions.any()
    assert episode.mistake == ''
    assert json.loads(episode.facts)['policy'] == 'bc_pick_place'


def test_a_person_mends_what_lasts_and_the_record_says_so(tmp_path: Path) -> None:
    path = tmp_path / 'helped.npz'
    disturbed = job(disturbance=Disturbance('slip'), patience=1, record=path)
    result = roll_out(disturbed)
    assert result.success
    assert result.takeovers == 1
    assert result.errors
    episode = load_npz(path)
    assert episode.interventions.sum() == result.human_steps > 0
    slip = list(episode.event_names).index('slip')
    assert result.disturbed_at == pytest.approx(episode.stamps[episode.event_indices[slip]])
    # What was meant is kept beside what was done.
    opened = (episode.action[:, 6] < 0.5) & (episode.executed_action[:, 6] > 0.5)
    assert opened.any()


def test_a_fall_is_reported_and_nothing_else(scripted: Rising) -> None:
    result = roll_out(gated('report'))
    # Two of three low values are needed: the second low frame, the tenth, is at 9 periods.
    assert result.falls == pytest.approx([1.8])
    assert result.steps == scripted.asked == 16


def test_a_policy_is_asked_for_what_the_job_says_and_else_for_what_the_world_says(
    scripted: Rising,
) -> None:
    roll_out(job(policy=Path('up'), max_steps=1))
    assert scripted.told == 'put the carrot in the bowl'
    roll_out(job(policy=Path('up'), max_steps=1, instruction='target'))
    assert scripted.told == 'target'


def test_numbers_that_are_none_are_one_sentence(scripted: Rising) -> None:
    scripted.up = np.nan
    with pytest.raises(UserError, match=f'rising, seed {SEED}: .* numbers that are not finite'):
        roll_out(job(policy=Path('up')))


def test_stop_ends_the_episode_at_once(scripted: Rising) -> None:
    result = roll_out(gated('stop'))
    assert result.steps == 9
    assert not result.success


def test_a_fall_makes_the_policy_act_anew(scripted: Rising) -> None:
    roll_out(gated('report', execute=6))
    assert scripted.asked == 3
    scripted.asked = 0
    roll_out(gated('resample', execute=6))
    assert scripted.asked == 4  # with steps 0, 6, 9 and 15


def test_a_fall_calls_a_person_who_mends_it(scripted: Rising) -> None:
    result = roll_out(gated('human', max_steps=40))
    assert result.takeovers == 1
    assert result.human_steps > 3
    assert result.milestones[0] == 'grasped'


def test_a_retreat_goes_back_to_where_it_was_better(scripted: Rising, tmp_path: Path) -> None:
    path = tmp_path / 'back.npz'
    roll_out(gated('retreat', max_steps=10, record=path))
    heights = load_npz(path).state[:, HEIGHT]
    assert (np.diff(heights[:10]) > 0.005).all()
    # The best median of three is that of frames 6 to 8; one step leads back by 2 cm, but for lag.
    assert heights[10] == pytest.approx(heights[7], abs=0.008)
    assert heights[9] - heights[10] > 0.01


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'config': scene(cameras=('shoulder',))}, "camera 'wrist'"),
        ({'config': scene(arm='fr3')}, 'a state of 16 numbers'),
        ({'gate': GateConfig('stop')}, 'needs a value model'),
        ({'guidance': 2.0}, 'guidance'),
        ({'temperature': 0.0}, 'temperature'),
    ],
)
def test_what_does_not_fit_is_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words) as caught:
        roll_out(job(**changes))
    assert type(caught.value).__name__ == 'UserError'


def test_an_episode_has_the_pace_of_its_job(scripted: Rising, tmp_path: Path) -> None:
    scripted.dt = 0.1
    path = tmp_path / 'quick.npz'
    roll_out(job(policy=Path('up'), rate_hz=10.0, max_steps=4, record=path))
    np.testing.assert_allclose(np.diff(load_npz(path).stamps), 0.1)


@pytest.mark.parametrize(
    ('entries', 'words'),
    [
        ({'dt': 0.1}, 'a step every 0.1 s, simulated pick_place takes one every 0.2 s'),
        ({'displacements': False}, 'joint positions, simulated pick_place takes displacements'),
        ({'action_dim': 14}, '14 numbers, an action of simulated pick_place has 7'),
    ],
)
def test_a_policy_of_other_actions_is_refused(
    scripted: Rising, entries: dict[str, Any], words: str
) -> None:
    for name, value in entries.items():
        setattr(scripted, name, value)
    with pytest.raises(UserError, match=words):
        roll_out(job(policy=Path('up'), max_steps=1))


def test_what_a_policy_does_not_say_of_its_actions_is_not_asked(scripted: Rising) -> None:
    scripted.dt, scripted.displacements = float('nan'), None
    assert roll_out(job(policy=Path('up'), max_steps=1)).steps == 1
    # The period in a configuration is rounded, and one that was measured is never quite even.
    scripted.dt = 0.2082
    assert roll_out(job(policy=Path('up'), max_steps=1)).steps == 1


def at_rate(rate_hz: float) -> RolloutJob:
    task = load_task('pick_place')
    assert task.action is not None
    task = dataclasses.replace(task, action=dataclasses.replace(task.action, rate_hz=rate_hz))
    return job_of(task, POLICY, SEED, {})


def test_a_task_is_simulated_at_its_rate_as_near_as_the_physics_come() -> None:
    assert (at_rate(5.0).rate_hz, at_rate(5.0).max_steps) == (5.0, 60)
    assert (at_rate(10.0).rate_hz, at_rate(10.0).max_steps) == (10.0, 120)
    assert at_rate(8.0).rate_hz == pytest.approx(1 / 0.12)
    assert at_rate(8.0).max_steps == 100, 'the time limit is in seconds'
    with pytest.raises(Exception, match='30 actions a second cannot be simulated') as caught:
        at_rate(30.0)
    assert is_user_error(caught.value)


def test_folders_from_before_there_was_a_rate_go_on_at_what_they_were_run_at(
    tmp_path: Path,
) -> None:
    before = {k: v for k, v in settings_of(at_rate(5.0)).items() if k != 'rate_hz'}
    RolloutStore(tmp_path, before)._keep('p', Rollout(SEED, True, 20, ''))
    RolloutStore(tmp_path, settings_of(at_rate(5.0)))
    quicker = dataclasses.replace(at_rate(5.0), rate_hz=10.0)
    with pytest.raises(UserError, match=r'other settings \(rate_hz\)'):
        RolloutStore(tmp_path, settings_of(quicker))


def test_two_arms_are_driven_but_not_retreated(scripted: Rising) -> None:
    config = task_entry('pants_folding').make_config(image_size=64)
    with pytest.raises(UserError, match="'shoulder'"):
        roll_out(job(policy=Path('up'), task='pants_folding', config=config))
    scripted.cameras, scripted.action_dim = ('front',), 14
    with pytest.raises(UserError, match='one arm'):
        roll_out(gated('retreat', task='pants_folding', config=config))
    scripted.act = lambda images, state: np.zeros((6, 14), np.float32)
    result = roll_out(job(policy=Path('up'), task='pants_folding', config=config, max_steps=2))
    assert (result.success, result.steps) == (False, 2)
    assert scripted.told.startswith('fold the pants')


def test_wilson() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(50, 50)
    assert high == pytest.approx(1.0)
    assert low == pytest.approx(1 / (1 + 1.96**2 / 50))
    # Wilson's own: the roots of (p - 0.3)^2 = z^2 p (1 - p) / n.
    for p in wilson(6, 20):
        assert (p - 0.3) ** 2 == pytest.approx(1.96**2 * p * (1 - p) / 20)
