# SPDX-License-Identifier: Apache-2.0
"""A policy with a Q function may draw several actions and take the best of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import SIZE, STATE_DIM, small_bc, small_cql
from vvf_models.checkpoints import Checkpoint
from vvf_models.policies.bc import BcPolicy
from vvf_models.policies.cql import Cql
from vvf_models.runtime.policy import PolicyRuntime

IMAGE, STATE = {'front': np.zeros((SIZE, SIZE, 3), np.uint8)}, np.zeros(STATE_DIM)


def runtime(kind, model):
    return PolicyRuntime(Checkpoint(kind, 'x', model.config, model.eval(), {}))


def actor_and_wish(monkeypatch):
    """A broad actor, and critics that wish for a large first entry."""
    torch.manual_seed(0)
    model = Cql(small_cql(tasks=('a',), task_slots=1, action_scale=(1.0,) * 6))
    with torch.no_grad():
        model.actor.log_std.bias.fill_(-0.5)
    heads = SimpleNamespace(forward=lambda latent, task, action: action[..., :1].movedim(-1, 0))
    monkeypatch.setattr(model.critic.heads, 'forward', heads.forward)
    return model


def test_the_best_candidate_is_taken_and_one_is_the_mean_action(monkeypatch):
    model = actor_and_wish(monkeypatch)
    policy = runtime('cql', model)
    mean = policy.act(IMAGE, STATE)
    np.testing.assert_array_equal(policy.act(IMAGE, STATE), mean)  # nothing is drawn
    policy.candidates = 64
    first, second = policy.act(IMAGE, STATE), policy.act(IMAGE, STATE)
    # The expected largest of 64 Gaussians is 2.4 deviations of .6 above the mean.
    assert min(first[0, 0], second[0, 0]) > mean[0, 0] + 0.5
    assert not np.array_equal(first, second)
    policy.ask_for(candidates=64, temperature=0.2)
    assert mean[0, 0] < policy.act(IMAGE, STATE)[0, 0] < mean[0, 0] + 0.5
    policy.ask_for(candidates=64, temperature=0.0)
    np.testing.assert_array_equal(policy.act(IMAGE, STATE), mean)
    policy.ask_for(candidates=64, temperature=1.0)
    policy.reseed(0)
    np.testing.assert_array_equal(policy.act(IMAGE, STATE), first)


def test_each_observation_of_a_batch_gets_its_own_best(monkeypatch):
    model = actor_and_wish(monkeypatch)
    images = [torch.zeros(5, 3, SIZE, SIZE)]
    state, task = torch.zeros(5, STATE_DIM), torch.ones(5, 1)
    chunk = model.best_of(images, state, task, 8, torch.Generator().manual_seed(3))
    mean, log_std, _ = model.actor(model.actor.encoder(images, state), task)
    noise = torch.randn((8, 5, 7), generator=torch.Generator().manual_seed(3))
    noise[0] = 0
    drawn = (mean + log_std.exp() * noise).tanh()
    assert chunk.shape == (5, 1, 7)
    torch.testing.assert_close(chunk[:, 0, 0], drawn[..., 0].amax(0))


def test_a_policy_without_a_q_function_has_nothing_to_choose_by():
    policy = runtime('bc', BcPolicy(small_bc()))
    policy.candidates = 4
    with pytest.raises(ValueError, match='no Q function'):
        policy.act(IMAGE, STATE)
