# SPDX-License-Identifier: Apache-2.0
"""CQL's losses, rewards and networks against what can be worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import SIZE, STATE_DIM, small_cql, toy_episode, toy_episodes, toy_store
from vvf_models.data.frames import FrameStore
from vvf_models.errors import UserError
from vvf_models.policies.cql import Cql, CqlConfig, scaled_actions
from vvf_models.policies.cql_losses import (
    actor_loss,
    backup_target,
    conservative_loss,
    critic_loss,
    temperature_loss,
)
from vvf_models.policies.cql_networks import LOG_STD_LIMITS, tanh_gaussian
from vvf_models.training.cql import CqlLearner, q_of_action
from vvf_models.training.phases import ToldTasks
from vvf_models.training.trainer import LearnerTrainer
from vvf_models.training.transitions import transitions


@pytest.mark.parametrize('dim', [1, 7])
def test_the_conservative_term_of_q_zero_and_a_uniform_policy(dim):
    log_prob = torch.full((4, 5), dim * math.log(0.5))
    zeros = torch.zeros(2, 4, 5)
    loss, _ = conservative_loss(torch.zeros(2, 5), zeros, log_prob, zeros, dim)
    assert loss.item() == pytest.approx(math.log(8) + dim * math.log(2))
    if dim == 7:
        assert loss.item() == pytest.approx(6.9315, abs=1e-4)


def test_the_versions_of_the_conservative_term():
    data_q, policy_q, random_q = (torch.randn(2, *size) for size in ((3,), (4, 3), (4, 3)))
    log_prob = torch.randn(4, 3)
    given = (data_q, policy_q, log_prob, random_q, 2)
    plain = torch.cat([policy_q, random_q], 1).exp().sum(1).log() - data_q
    weighed = (policy_q - log_prob).exp().sum(1) + 4 * random_q.exp().sum(1)
    expected = {
        1: (policy_q.mean(1) - data_q).mean(),
        2: plain.mean(),  # over the batch and both critics
        3: (weighed.log() - data_q).mean(),
    }
    for version, value in expected.items():
        assert conservative_loss(*given, version)[0] == pytest.approx(value.item(), rel=1e-5)


def test_the_target_takes_the_best_action_by_the_smaller_critic():
    # Of the three actions the smaller critic says 1, 2 and -5.
    next_q = torch.tensor([[[1.0], [9.0], [-5.0]], [[4.0], [2.0], [8.0]]]).expand(2, 3, 2)
    reward, mask = torch.tensor([-1.0, 10.0]), torch.tensor([1.0, 0.0])
    best = backup_target(reward, mask, next_q, 0.96)
    assert best.tolist() == pytest.approx([-1 + 0.96 * 2, 10.0])
    mean = backup_target(reward, mask, next_q, 0.96, max_backup=False)
    assert mean.tolist() == pytest.approx([-1 + 0.96 * (1 + 2 - 5) / 3, 10.0])


def test_losses_are_means_over_batch_and_critics():
    data_q = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    target = torch.tensor([1.0, 3.0])
    loss, info = critic_loss(data_q, target, torch.tensor(0.5), alpha=10.0)
    assert info['bellman_error'] == pytest.approx((0 + 1 + 4 + 4) / 4)
    assert loss.item() == pytest.approx(9 / 4 + 5)
    log_prob, certain = torch.tensor([2.0, 4.0]), torch.zeros(1, 2)
    improved, _ = actor_loss(data_q[:, None], log_prob, certain, torch.tensor(0.5))
    assert improved.item() == pytest.approx(((1 - 1) + (2 - 2)) / 2)


def test_the_temperature_rises_below_the_entropy_wanted_and_falls_above():
    for entropy, sign in ((-9.0, -1), (-5.0, 1)):
        log_temperature = torch.zeros((), requires_grad=True)
        loss, _ = temperature_loss(log_temperature.exp(), torch.tensor(entropy), -7.0)
        loss.backward()
        assert math.copysign(1, log_temperature.grad.item()) == sign


def test_densities_of_the_policy_integrate_to_one_and_hold_where_tanh_saturates():
    policy = tanh_gaussian(torch.tensor([[0.4]]), torch.tensor([[-0.3]]))
    grid = torch.linspace(-1 + 1e-5, 1 - 1e-5, 20001)
    mass = torch.trapezoid(policy.log_prob(grid[:, None, None]).exp()[:, 0], grid)
    assert mass.item() == pytest.approx(1, abs=1e-3)
    far = tanh_gaussian(torch.full((1, 2), 30.0), torch.zeros(1, 2))
    action = far.rsample()
    assert torch.isfinite(far.log_prob(action)).all()


def test_rewards_are_on_the_last_three_steps_of_a_success_which_are_terminal():
    unlabelled = replace(toy_episode(2), success=None, success_index=-1)
    episodes = [toy_episode(1), toy_episode(0), unlabelled]
    store = FrameStore.from_episodes(episodes, ('front',), SIZE)
    config = small_cql()
    found = transitions(store, config)
    success, failure = episodes[0].success_index, len(episodes[1])
    start = len(episodes[0])
    # The success to the frame in which the task is done, the failure up to its last step.
    expected = [*range(success + 1), *range(start, start + failure - 1)]
    assert found.frames.tolist() == expected
    assert np.flatnonzero(found.label).tolist() == [success - 2, success - 1, success]
    learner = CqlLearner.create(replace(config, held_out_fraction=0.0), store, 0)
    draw = learner.draw(np.random.default_rng(0), 'training', 400)
    frames = draw.frames[:400]
    rewarded = np.isin(frames, [success - 2, success - 1, success])
    assert rewarded.any()
    assert (draw.data['reward'].numpy() == np.where(rewarded, 10, -1)).all()
    assert (draw.data['mask'].numpy() == ~rewarded).all()
    assert (draw.frames[400:][~rewarded] == frames[~rewarded] + 1).all()
    everything = transitions(store, small_cql(unlabelled_as_success=True))
    assert everything.label[-3:].tolist() == [1, 1, 1]


def test_the_critics_are_told_action_task_and_pixels_at_every_layer_and_no_state():
    config = small_cql(tasks=('a', 'b'), task_slots=2, hidden=(12, 13))
    model = Cql(config)
    told = model.critic.encoder.output_dim + 2 + config.action_dim
    for body in model.critic.heads.bodies:
        assert [layer.in_features for layer in body.layers] == [told, told + 12]
    # Together with the layer before, each hidden layer is a plain one on all of it.
    latent, task = torch.randn(3, told - 9), torch.eye(2)[[0, 1, 1]]
    action = torch.rand(4, 3, 7) * 2 - 1
    body = model.critic.heads.bodies[0]
    row = torch.cat([latent[1], task[1], action[2, 1]])
    first = torch.relu(body.layers[0](row))
    row = torch.cat([row, first])
    result = body(torch.cat([latent, task], 1), action, None)
    torch.testing.assert_close(result[2, 1], torch.relu(body.layers[1](row)))
    assert model.critic.encoder.state is None
    assert model.actor.encoder.state is not None
    assert [layer.in_features for layer in model.actor.body.layers] == [
        2 + model.actor.encoder.output_dim,
        2 + 12,
    ]


def test_encoders_begin_alike_are_apart_and_deviations_are_limited():
    model = Cql(small_cql())
    mine, theirs = (dict(e.cameras.named_parameters()) for e in model.observation_encoders)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert not {id(p) for p in mine.values()} & {id(p) for p in theirs.values()}
    with torch.no_grad():
        model.actor.log_std.weight.mul_(1e9)
        _, log_std, _ = model.actor(
            torch.randn(50, model.actor.encoder.output_dim), torch.ones(50, 1)
        )
    assert (log_std.min().item(), log_std.max().item()) == LOG_STD_LIMITS


def trained_one_step(**changes):
    learner = CqlLearner.create(small_cql(**changes), toy_store(12), 0)
    before = {name: weight.clone() for name, weight in learner.state_dict().items()}
    trainer = LearnerTrainer(learner)
    trainer.step(0, 1.0)
    trainer.close()
    return learner, before


def test_the_delayed_critics_follow_the_updated_ones():
    learner, before = trained_one_step(target_rate=0.25)
    after = learner.state_dict()
    names = [name for name in before if name.startswith('target.')]
    assert names
    for name in names:
        now = after[name.replace('target.', 'model.critic.')]
        torch.testing.assert_close(after[name], 0.75 * before[name] + 0.25 * now)


def test_each_loss_moves_its_own_weights_at_its_own_rate():
    learner, _ = trained_one_step()
    learner.train()
    rates = [group['scale'] * learner.config.learning_rate for group in learner.parameter_groups()]
    config = learner.config
    assert rates == pytest.approx(
        [config.learning_rate, config.actor_learning_rate, config.temperature_learning_rate]
    )
    latent = torch.randn(3, learner.model.critic.encoder.output_dim)
    action = torch.rand(3, 7, requires_grad=True)
    learner.model.zero_grad()
    q_of_action(learner.model.critic, latent, torch.ones(3, 1), action).sum().backward()
    assert action.grad.abs().sum() > 0
    assert all(p.grad is None for p in learner.model.critic.parameters())


def test_batches_are_stratified_and_task_data_is_told_apart():
    store = toy_store(20)
    store.target = np.arange(20) >= 15
    store.instructions = ['dot to disc'] * 15 + ['disc to dot'] * 5
    learner = CqlLearner.create(small_cql(mixing_ratio=0.7), store, 0)
    draw = learner.draw(np.random.default_rng(1), 'training', 50)
    of_target = store.target[store.episode_of[draw.frames[:50]]]
    assert of_target.sum() == 15
    assert learner.config.tasks == ('disc to dot', 'dot to disc')
    vectors = learner.task_vectors[draw.data['task']]
    assert (vectors.argmax(1).numpy() == ~of_target).all()


def test_actions_are_scaled_by_the_largest_and_come_back():
    store = toy_store(9)
    learner = CqlLearner.create(small_cql(), store, 0)
    config = learner.config
    training = store.actions[store.frames_of(learner.train_episodes)]
    largest = np.maximum(np.abs(training[:, :6]).max(0), 1e-3)
    np.testing.assert_allclose(config.action_scale, largest, rtol=1e-6)
    scaled = scaled_actions(training, config)
    assert np.abs(scaled).max() <= 1
    np.testing.assert_allclose(learner.model.actions(torch.tensor(scaled)), training, atol=1e-6)


def test_what_no_q_function_can_be_learned_from_says_why():
    episodes = toy_episodes(6)
    failures = [e for e in episodes if not e.success]
    unlabelled = [replace(e, success=None) for e in episodes]
    for some, words in ((failures, 'nothing is rewarded'), (unlabelled, 'nothing is rewarded')):
        store = FrameStore.from_episodes(some, ('front',), SIZE)
        with pytest.raises(UserError, match=words):
            CqlLearner.create(small_cql(), store, 0)
    with pytest.raises(UserError, match='set "action_dim"'):
        CqlLearner.create(small_cql(action_dim=3), toy_store(6), 0)
    with pytest.raises(UserError, match='must be 1, 2 or 3'):
        small_cql(min_q_version=4)
    assert small_cql().state_dim == STATE_DIM


def test_all_target_data_can_be_one_task_which_also_stands_for_what_was_never_asked():
    store = toy_store(20)
    store.target = np.arange(20) >= 15
    store.instructions = ['a'] * 15 + ['b', 'c'] * 2 + ['b']
    learner = CqlLearner.create(small_cql(target_task='target', task_slots=3), store, 0)
    assert learner.config.tasks == ('a', 'target')
    a, b, never = learner.model.embed(['a', 'b', 'never'])
    assert a.tolist() == [1, 0, 0]
    assert b.tolist() == never.tolist() == [0, 1, 0]
    store.target[:] = False  # without target data beside them, all data are
    alone = CqlLearner.create(small_cql(target_task='target'), store, 0)
    assert alone.config.tasks == ('target',)


@pytest.mark.parametrize('share', [0.0, 0.25, 1.0])
def test_a_share_of_prior_data_is_told_as_the_target_task(share):
    store = toy_store(20)
    store.target = np.arange(20) >= 15
    store.instructions = ['a', 'b'] * 10
    config = small_cql(target_task='target', prior_as_target=share)
    told = ToldTasks(store, config)
    assert told.names == ['a', 'b', 'target']
    prior = np.flatnonzero(~store.target[store.episode_of])
    frames = np.concatenate([np.repeat(prior, 20), np.flatnonzero(store.target[store.episode_of])])
    drawn = told.draw(np.random.default_rng(0), frames).numpy()
    count = 20 * len(prior)
    assert (drawn[count:] == 2).all()
    assert (drawn[:count] == 2).mean() == pytest.approx(share, abs=0.02)
    kept = drawn[:count] < 2
    assert (drawn[:count][kept] == store.episode_of[frames[:count][kept]] % 2).all()
    store.target[:] = False  # nothing to go on to yet: each is of its own task
    assert set(ToldTasks(store, config).draw(np.random.default_rng(0), prior).tolist()) == {0}
    with pytest.raises(UserError, match='wants a "target_task"'):
        small_cql(prior_as_target=0.5)


def test_on_a_chain_the_backups_come_to_the_discounted_steps_and_the_last_reward():
    steps, discount = 6, 0.96
    label = torch.zeros(steps)
    label[-1] = 1
    value = torch.zeros(steps)
    for _ in range(steps):
        following = torch.cat([value[1:], torch.full((1,), 99.0)])  # beyond the end nothing counts
        actions = torch.stack([following, following - 5])  # one leads on, one is worse
        value = backup_target(11 * label - 1, 1 - label, actions.expand(2, 2, -1), discount)
    ahead = torch.arange(steps - 1, -1, -1)
    expected = 10 * discount**ahead - (1 - discount**ahead) / (1 - discount)
    torch.testing.assert_close(value, expected)


def test_the_defaults_are_ptrs():
    config = CqlConfig()
    assert (config.alpha, config.discount, config.min_q_version) == (10.0, 0.96, 3)
    assert (config.n_actions, config.ensemble, config.max_backup) == (4, 2, True)
    assert (config.reward_steps, config.reward_scale, config.reward_shift) == (3, 11.0, -1.0)
    assert (config.target_rate, config.initial_temperature) == (0.005, 1.0)
    rates = config.learning_rate, config.actor_learning_rate, config.temperature_learning_rate
    assert rates == (3e-4, 1e-4, 3e-4)
    assert (config.hidden, config.batch_size, config.mixing_ratio) == ((256, 256, 256), 64, 0.9)
    assert (config.target_entropy_factor, config.cloning_steps) == (1.0, 0)
    assert (config.gripper, config.critic_layer_norm) == ('continuous', False)
