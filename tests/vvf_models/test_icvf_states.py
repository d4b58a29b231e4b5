# SPDX-License-Identifier: Apache-2.0
"""An ICVF of states learns how far it is, and is a checkpoint like any other."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vvf_models.checkpoints import load_checkpoint, save_checkpoint
from vvf_models.errors import UserError
from vvf_models.runtime import load_value
from vvf_models.training.icvf_states import (
    StateIcvfTrainer,
    store_of_states,
    with_statistics,
)
from vvf_models.values import icvf_states
from vvf_models.values.goal_sampling import Transitions
from vvf_models.values.icvf_states import StateIcvfConfig

LENGTH = 13


@pytest.fixture(scope='module')
def trained():
    """Trips along a line, either way; a state's second entry is noise, and no part of goals."""
    rng = np.random.default_rng(0)
    line = np.arange(LENGTH, dtype=np.float32)
    trips = [
        np.stack([line[:: rng.choice([-1, 1])], rng.normal(size=LENGTH)], 1).astype(np.float32)
        for _ in range(20)
    ]
    config = StateIcvfConfig(
        goal_entries=(0,),
        hidden=(32, 32),
        discount=0.9,
        value_scale=5.0,
        batch_size=64,
        learning_rate=2e-3,
        target_rate=0.05,
    )
    store = store_of_states(trips)
    trainer = StateIcvfTrainer(with_statistics(config, store), store, seed=0)
    for step in range(400):
        trainer.step(step, 1.0)
    return trainer


def test_values_are_minus_the_discounted_steps(trained):
    states = np.stack([np.arange(LENGTH), np.zeros(LENGTH)], 1).astype(np.float32)
    goal = np.array([LENGTH - 1, 0.0], np.float32)
    distance = LENGTH - 1 - np.arange(LENGTH)
    exact = -(1 - 0.9**distance) / (1 - 0.9)
    value = trained.target.values(states, goal)
    assert np.abs(value - exact).max() < 1.5
    assert (np.diff(value) > 0).all()


def test_values_of_many_states_are_those_of_each(trained, monkeypatch):
    states = np.random.default_rng(0).uniform(0, LENGTH, (3, 10, 2)).astype(np.float32)
    goal = np.array([LENGTH - 1, 0.0], np.float32)
    together = trained.target.values(states, goal)
    monkeypatch.setattr(icvf_states, '_AT_ONCE', 7)
    apart = trained.target.values(states, goal)
    assert apart.shape == (3, 10)
    np.testing.assert_allclose(apart, together, atol=1e-5)


@pytest.mark.parametrize(
    'wrong',
    [
        {'batch_size': 0},
        {'learning_rate': -1.0},
        {'target_rate': 5.0},
        {'goal_entries': (9,), 'state_dim': 4},
    ],
)
def test_what_no_training_can_have_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        StateIcvfConfig(**wrong)


def test_a_goal_is_reached_by_whoever_comes_near(trained):
    """The first step of the way that is within the radius in what is shown of a goal."""
    line = np.arange(8, dtype=np.float32)
    trips = [np.stack([line, 9 * line], 1), np.stack([line + 0.25, -line], 1)]
    config = replace(trained.config, goal_radius=0.5, n_step=3)
    trainer = StateIcvfTrainer(config, store_of_states(trips), 0)
    never = 99
    current = np.repeat([0, 0, 0, 8, 8], 400)
    goal = np.repeat([8, 10, 13, 2, 9], 400)  # of the other trip, but for the last
    steps = np.minimum(np.repeat([never, never, never, never, 1], 400), 3)
    intent = np.where(np.arange(len(goal)) % 2, goal, 1)
    drawn = Transitions(
        current, current + 3, goal, intent, steps < 3, steps < 3, steps.copy(), steps.copy()
    )
    near, goals, intents = trainer._goals(drawn, np.random.default_rng(0))
    offsets = (goals - trainer._state[torch.from_numpy(goal)]).numpy()
    assert 0.45 < np.abs(offsets[:, 0]).max() < 0.5
    assert not offsets[:, 1].any(), 'an entry that no goal shows'
    same = (goals == intents).all(1).numpy()
    np.testing.assert_array_equal(same, goal == intent)
    way = trainer._state.numpy()[current[:, None] + np.arange(4), 0]
    close = np.abs(way - goals.numpy()[:, :1]) < 0.5
    first = np.where(close.any(1), close.argmax(1), never)
    np.testing.assert_array_equal(near.goal_steps, np.minimum(first, steps))
    np.testing.assert_array_equal(near.goal_reached, near.goal_steps < 3)
    assert set(near.goal_steps) == {0, 1, 2, 3}
    assert near.goal_reached[-400:].all(), 'the frame that was drawn is always near enough'
    unchanged, exact, _ = trained._goals(drawn, np.random.default_rng(0))
    assert unchanged is drawn
    assert (exact == trained._state[torch.from_numpy(goal)]).all()


def test_entries_that_are_no_goal_are_not_looked_at(trained):
    states = np.zeros((3, 2), np.float32)
    goals = np.array([[5.0, -1.0], [5.0, 3.0]], np.float32)
    values = [trained.target.values(states, goal) for goal in goals]
    np.testing.assert_array_equal(values[0], values[1])


def test_its_checkpoint_gives_the_same_values_and_is_no_value_of_images(trained, tmp_path):
    config, model = trained.config, trained.target
    save_checkpoint(tmp_path / 'value', 'icvf_states', config, model.state_dict(), '# card')
    again = load_checkpoint(tmp_path / 'value').model
    states, goal = np.ones((4, 2), np.float32), np.zeros(2, np.float32)
    np.testing.assert_array_equal(again.values(states, goal), model.values(states, goal))
    with pytest.raises(UserError, match='no value model'):
        load_value(tmp_path / 'value')


def test_a_resumed_training_goes_on_as_if_nothing_had_been(trained):
    store = store_of_states([np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)] * 3)
    config = with_statistics(StateIcvfConfig(hidden=(8,), batch_size=8), store)
    whole, first, second = (StateIcvfTrainer(config, store, seed) for seed in (1, 1, 2))
    second.seed = 1
    for step in range(4):
        whole.step(step, 1.0)
    for step in range(2):
        first.step(step, 1.0)
    second.load_tensors({name: tensor.clone() for name, tensor in first.tensors().items()})
    for step in range(2, 4):
        second.step(step, 1.0)
    for name, tensor in whole.tensors().items():
        torch.testing.assert_close(tensor, second.tensors()[name])
