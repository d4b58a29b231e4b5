# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import SIZE, toy_episodes
from vvf_models.data.frames import FrameStore
from vvf_models.evaluation.instructions import ask_all, instruction_metrics, instructions_of
from vvf_models.evaluation.scoring import (
    causal_mean,
    encode_episodes,
    episode_values,
    goals_of,
    latent_values,
)
from vvf_models.values.base import Goal, GoalSet, ValueConfig, ValueModel

CONFIG = ValueConfig(cameras=('front',), image_size=SIZE, state_dim=3)
WORDS = {'right': 1.0, 'up': 2.0}


class Ruler(ValueModel):
    """Its latent is the state; its value minus the distance to the goals along an axis."""

    kind = 'ruler'
    takes_goal = True

    def __init__(self):
        super().__init__(CONFIG)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.encoded = 0

    def encode(self, images, state, hide_state=None):
        assert len(images) == 1
        assert images[0].shape[1:] == (3, SIZE, SIZE)
        assert -1 <= float(images[0].min()) <= float(images[0].max()) <= 1
        self.encoded += len(state)
        return state

    @property
    def latent_size(self):
        return 3

    def values(self, latents, goal):
        distance = (latents[:, None, :2] - goal.latents[None, :, :2]).norm(dim=-1)
        return -distance.mean(1)[None]

    def progress(self, value):
        return (1 + value).clamp(0, 1)

    @property
    def discount(self):
        return 1.0

    @property
    def step_cost(self):
        return 0.1


class Reader(Ruler):
    """How far along the axis that the instruction names."""

    takes_goal = False
    reads_text = True

    def embed(self, instructions):
        return torch.tensor([[WORDS[text]] for text in instructions])

    def values(self, latents, goal):
        assert goal.latents is None
        return latents[None, :, int(goal.text) - 1] - 1


@pytest.fixture
def data():
    episodes = toy_episodes(6)
    for number, episode in enumerate(episodes):
        episode.instruction = ('right', 'up')[number % 2]
    return FrameStore.from_episodes(episodes, ('front',), SIZE)


def state_of(store, episode):
    return store.state[store.frames_of(np.array([episode]))]


def test_values_against_goals_and_against_the_own_last_frame(data):
    model = Ruler()
    chosen = np.array([4, 1])
    goals = GoalSet(torch.tensor([[0.0, 0, 0], [1, 1, 0]]))
    values = episode_values(model, data, chosen, goals)
    for value, episode in zip(values, chosen, strict=True):
        state = state_of(data, episode)[:, None, :2]
        expected = -np.linalg.norm(state - goals.latents[None, :, :2].numpy(), axis=-1).mean(1)
        assert value == pytest.approx(expected, abs=1e-5)
    own = episode_values(model, data, chosen)
    assert [value[-1] for value in own] == [0, 0]
    assert all((value <= 0).all() for value in own)


def test_goals_are_those_of_the_instruction(data):
    model = Ruler()
    goals = GoalSet(torch.tensor([[0.0, 0, 0], [1, 1, 0]]), ('right', 'up'))
    values = episode_values(model, data, np.array([0, 1]), goals)
    for episode, corner in ((0, 0.0), (1, 1.0)):
        expected = -np.linalg.norm(state_of(data, episode)[:, :2] - corner, axis=1)
        assert values[episode] == pytest.approx(expected, abs=1e-5)


def test_a_frame_is_encoded_once_however_often_it_is_judged(data):
    model = Ruler()
    everyone = np.arange(data.n_episodes)
    latents = encode_episodes(model, data, everyone)
    assert model.encoded == data.n_frames
    assert [len(part) for part in latents] == data.lengths.tolist()
    episode_values(model, data, everyone, latents=latents)
    ask_all(model, latents, data.instructions, ['right', 'up'])
    assert model.encoded == data.n_frames


def test_long_episodes_are_judged_in_batches():
    latents = torch.arange(700.0)[:, None].expand(-1, 3) / 700
    goal = Goal(torch.ones(1, 3))
    together = -(latents[:, :2] - 1).norm(dim=1)
    assert latent_values(Ruler(), latents, goal) == pytest.approx(together.numpy(), abs=1e-6)


def test_the_mean_looks_back_only():
    values = np.array([0.0, 3.0, 6.0, 0.0], np.float32)
    assert causal_mean(values, 1).tolist() == values.tolist()
    assert causal_mean(values, 3).tolist() == [0, 1.5, 3, 3]
    assert causal_mean(values, 9).tolist() == [0, 1.5, 3, 2.25]
    assert causal_mean(values, 3).dtype == np.float32
    with pytest.raises(ValueError, match='at least one'):
        causal_mean(values, 0)


def test_smoothing_is_a_choice_of_the_caller(data):
    model, first = Ruler(), np.array([0])
    plain = episode_values(model, data, first)[0]
    assert episode_values(model, data, first, smooth=3)[0] == pytest.approx(causal_mean(plain, 3))


def test_each_episode_is_judged_by_its_own_instruction(data):
    values = episode_values(Reader(), data, np.arange(data.n_episodes))
    for episode, value in enumerate(values):
        assert value == pytest.approx(state_of(data, episode)[:, episode % 2] - 1, abs=1e-6)


def test_the_right_instruction_against_the_others_by_hand(data):
    model = Reader()
    latents = [torch.tensor([[0.0, 0, 0], [x, y, 0.0]]) for x, y in ((0.9, 0.5), (0.5, 0.6))]
    asked = ask_all(model, latents, ['right', 'up'], ['right', 'up'])
    assert asked.values == pytest.approx(np.array([[-0.1, -0.5], [-0.5, -0.4]]), abs=1e-6)
    assert asked.confusion == pytest.approx(np.array([[0.9, 0.5], [0.5, 0.6]]), abs=1e-6)
    result = instruction_metrics(asked, bootstrap=0)
    assert result['instructions'] == 2
    assert result['instruction_margin_mean'] == pytest.approx((0.4 + 0.1) / 2)
    assert result['instruction_right_share'] == 1
    assert result['instruction_auc'] == 1
    swapped = ask_all(model, latents, ['up', 'right'], ['right', 'up'])
    worst = instruction_metrics(swapped)
    assert worst['instruction_margin_mean'] == pytest.approx(-0.25)
    assert worst['instruction_right_share'] == worst['instruction_auc'] == 0
    smooth = ask_all(model, latents, ['right', 'up'], ['right', 'up'], smooth=2)
    assert smooth.progress[0] == pytest.approx([0.45, 0.25], abs=1e-6)


def test_only_models_that_can_tell_are_asked():
    present = ['up', 'right', 'right', '']
    assert instructions_of(Reader(), None, present) == ['right', 'up']
    assert instructions_of(Reader(), None, ['up', 'up']) == []
    assert instructions_of(Ruler(), None, present) == []
    one, both = torch.zeros(1, 3), torch.zeros(2, 3)
    assert instructions_of(Ruler(), GoalSet(one, ('up',)), present) == []
    assert instructions_of(Ruler(), GoalSet(both, ('up', 'right')), present) == ['right', 'up']
    assert instruction_metrics(None) == {'instructions': 0}


def test_a_model_that_reads_and_one_without_goals_get_no_goal():
    goals = goals_of(Reader(), [torch.zeros(2, 3)], ['up'])
    assert goals[0].latents is None
    assert goals[0].text.tolist() == [2.0]
    assert goals_of(Reader(), [], []) == []
    assert math.isclose(float(goals_of(Ruler(), [torch.ones(2, 3)], [''])[0].latents.sum()), 3)
