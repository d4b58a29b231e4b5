# SPDX-License-Identifier: Apache-2.0
"""CQL's actor while it clones: what, how, and that nothing else reaches it."""

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import SIZE, STATE_DIM, small_cql, toy_store
from vvf_models.data.frames import SUCCESS
from vvf_models.errors import UserError
from vvf_models.policies.cql import Cql
from vvf_models.policies.cql_losses import (
    cloning_loss,
)
from vvf_models.training.cql import CqlLearner
from vvf_models.training.learner import Batch
from vvf_models.training.trainer import LearnerTrainer


def test_the_actor_may_clone_first_and_then_heeds_the_critics():
    learner = CqlLearner.create(small_cql(cloning_steps=1), toy_store(12), 0)
    actor = {name: w for name, w in learner.state_dict().items() if '.actor.mean' in name}
    before = {name: weight.clone() for name, weight in actor.items()}
    with torch.no_grad():  # critics that say nothing of any action
        for last in learner.model.critic.heads.lasts:
            last.weight.zero_()
    trainer = LearnerTrainer(learner)
    temperature = learner.model.log_temperature.item()
    assert trainer.step(0, 1.0)['actor_loss'] != 0
    assert learner.model.log_temperature.item() == temperature  # nothing heeds it yet
    assert any(not torch.equal(before[name], weight) for name, weight in actor.items())
    assert int(learner.updates) == 1
    assert 'updates' in learner.state_dict()  # or a resumed run would clone again
    trainer.close()
    assert cloning_loss(torch.tensor([3.0, 5.0]))[0].item() == -4


def test_an_evaluation_is_of_what_the_steps_before_it_did():
    config = small_cql(cloning_steps=1, cloning='distance', deviation=0.1)
    trainer = LearnerTrainer(CqlLearner.create(config, toy_store(12), 0))
    trainer.step(0, 1.0)
    assert 'held_out_motion_error' in trainer.evaluate()
    trainer.step(1, 1.0)
    assert 'held_out_motion_error' not in trainer.evaluate()
    trainer.close()


def test_the_actor_may_clone_successes_alone():
    store = toy_store(12)
    alike = CqlLearner.create(small_cql(cloning_steps=1), store, 0)
    assert 'cloned_action' not in alike.draw(np.random.default_rng(0), 'training', 40).data
    learner = CqlLearner.create(small_cql(cloned='successes', cloning_steps=1), store, 0)
    draw = learner.draw(np.random.default_rng(0), 'training', 400)
    succeeded = store.outcome[store.episode_of[draw.frames]] == SUCCESS
    assert 0 < succeeded[:400].mean() < 1, 'critics learn from failures, too'
    assert len(draw.frames) == 1200
    assert succeeded[800:].all(), 'as many as a batch has, however few succeed'
    assert torch.equal(draw.data['cloned_action'], learner.actions[draw.frames[800:]])
    with pytest.raises(UserError, match='"cloned" must be one of all, successes'):
        small_cql(cloned='failures')


def test_the_actor_may_clone_by_distance_around_which_it_draws_with_a_given_deviation():
    config = small_cql(cloning='distance', deviation=0.1, cloning_steps=9, gripper='binary')
    learner = CqlLearner.create(config, toy_store(12), 0)
    model = learner.model
    assert not [name for name, _ in model.named_parameters() if 'log_std' in name]
    latent, task = torch.randn(5, model.actor.encoder.output_dim), model.embed(['x'] * 5)
    with torch.no_grad():
        mean, log_std, logit = model.actor(latent, task)
        usual = model.usual(latent, task)
    assert log_std.exp().numpy() == pytest.approx(0.1)
    assert torch.equal(usual[:, :-1], mean.tanh())
    likely = (1 + usual[:, -1]) / 2  # of an open gripper
    assert likely.numpy() == pytest.approx(torch.sigmoid(logit).numpy(), abs=1e-6)
    draw = learner.draw(np.random.default_rng(0), 'training', 8)
    batch = Batch([torch.rand(16, 3, SIZE, SIZE)], torch.randn(16, STATE_DIM), None, draw.data)
    learner.eval()
    info = learner(batch)[1]
    with torch.no_grad():
        seen = model.actor.encoder([batch.images[0][:8]], batch.state[:8])
        usual = model.usual(seen, learner.task_vectors[draw.data['task']])
    error = (usual - draw.data['action']).abs().double()
    expected = torch.where(error < 0.1, 5 * error**2, error - 0.05).mean()
    assert info['actor_loss'].item() == pytest.approx(expected.item(), rel=1e-5)
    before = model.log_temperature.item()
    trainer = LearnerTrainer(learner)
    trainer.step(0, 1.0)
    trainer.close()
    assert model.log_temperature.item() == before, 'no temperature could bring its entropy about'
    with pytest.raises(UserError, match='wants a "deviation" above 0'):
        small_cql(cloning='distance')
    with pytest.raises(UserError, match='"cloning" must be one of likelihood, distance'):
        small_cql(cloning='closely')


@pytest.mark.parametrize('cloned', ['all', 'successes'])
def test_what_comes_next_may_be_cloned_too_and_changes_no_action(cloned):
    store = toy_store(12)
    config = small_cql(
        cloning='distance', deviation=0.1, cloning_steps=9, lookahead=2, cloned=cloned
    )
    learner = CqlLearner.create(config, store, 0)
    model = learner.model
    draw = learner.draw(np.random.default_rng(0), 'training', 40)
    first = draw.frames[80:] if cloned == 'successes' else draw.frames[:40]
    ends = store.ends[store.episode_of[first]]
    assert draw.data['later'].shape == (40, 2, 7)
    for frame, end, later in zip(first, ends, draw.data['later'], strict=True):
        for offset, action in enumerate(later, 1):
            inside = frame + offset <= end
            expected = learner.actions[min(frame + offset, end)].clone()
            expected[:-1] *= inside  # at the end nothing moves, and the gripper stays
            assert torch.equal(action, expected)
    assert (first + 2 > ends).any()
    count = len(draw.frames)
    images, state = [torch.rand(count, 3, SIZE, SIZE)], torch.randn(count, STATE_DIM)
    learner.eval()
    loss, info = learner(Batch(images, state, None, draw.data))
    loss.backward()
    assert model.actor.later.weight.grad.abs().max() > 0
    with torch.no_grad():
        rows = slice(80, 120) if cloned == 'successes' else slice(0, 40)
        task = learner.task_vectors[draw.data['cloned_task' if rows.start else 'task']]
        seen = model.actor.encoder([images[0][rows]], state[rows])
        error = (model.actor.say_later(seen, task) - draw.data['later']).abs()
        expected = torch.where(error < 0.1, 5 * error**2, error - 0.05).mean()
        assert info['later_loss'].item() == pytest.approx(expected.item(), rel=1e-5)
        before = model([images[0][rows]], state[rows], task)
        model.actor.later.weight.add_(1)
        assert torch.equal(model([images[0][rows]], state[rows], task), before)
    with pytest.raises(UserError, match='"lookahead" is for "cloning" by distance'):
        small_cql(lookahead=2)


def test_joints_stay_where_they_are_beyond_the_end():
    store = toy_store(12)
    config = small_cql(
        cloning='distance', deviation=0.1, cloning_steps=9, lookahead=2, displacements=False
    )
    learner = CqlLearner.create(config, store, 0)
    learner.actions.uniform_(-1, 1)
    draw = learner.draw(np.random.default_rng(0), 'training', 40)
    first = draw.frames[:40]
    ends = store.ends[store.episode_of[first]]
    for frame, end, later in zip(first, ends, draw.data['later'], strict=True):
        assert torch.equal(later[1], learner.actions[min(frame + 2, end)])
    assert (first + 2 > ends).any()


@pytest.mark.parametrize('part', ['actor', 'critic'])
def test_hidden_layers_may_be_normalised(part):
    plain, normalised = (
        {name for name, _ in Cql(config).named_parameters() if 'norms' in name}
        for config in (
            small_cql(tasks=('x',)),
            small_cql(tasks=('x',), **{f'{part}_layer_norm': True}),
        )
    )
    assert not plain
    assert normalised
    assert all(name.startswith(part) for name in normalised)


def test_cloning_successes_leaves_the_actor_nothing_of_the_others():
    learner = CqlLearner.create(small_cql(cloned='successes', cloning_steps=9), toy_store(12), 0)
    draw = learner.draw(np.random.default_rng(0), 'training', 8)
    images = [torch.rand(24, 3, SIZE, SIZE)]
    state = torch.randn(24, STATE_DIM)

    def gradients(images):
        torch.manual_seed(0)
        learner.zero_grad()
        learner(Batch(images, state, None, draw.data))[0].backward()
        critic, actor = learner.model.critic, learner.model.actor
        return [[p.grad.clone() for p in part.parameters()] for part in (critic, actor)]

    critic, actor = gradients(images)
    changed = torch.cat([torch.zeros(8, 3, SIZE, SIZE), images[0][8:]])
    other_critic, same_actor = gradients([changed])
    assert all(torch.equal(a, b) for a, b in zip(actor, same_actor, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(critic, other_critic, strict=True))


@pytest.mark.parametrize('bfloat16', [False, True])
@pytest.mark.parametrize('cloned', ['all', 'successes'])
@pytest.mark.parametrize('cloning_steps', [0, 9])
def test_every_encoder_learns(bfloat16, cloned, cloning_steps):
    config = small_cql(cloned=cloned, cloning_steps=cloning_steps, bfloat16=bfloat16)
    learner = CqlLearner.create(config, toy_store(12), 0)
    with torch.no_grad():  # at the beginning, last layers are so small that little comes through
        for weight in learner.model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    draw = learner.draw(np.random.default_rng(0), 'training', 8)
    count = len(draw.frames)
    images = [torch.rand(count, 3, SIZE, SIZE)]
    learner(Batch(images, torch.randn(count, STATE_DIM), None, draw.data))[0].backward()
    for encoder in learner.model.observation_encoders:
        for name, weight in encoder.cameras.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.abs().max() > 0, name


def test_held_out_failures_alone_can_be_judged():
    store = toy_store(12)
    config = small_cql(cloned='successes', cloning_steps=9)
    failures = np.flatnonzero(store.outcome != SUCCESS)
    learner = CqlLearner.create(config, store, 0)
    learner = CqlLearner(
        learner.model, learner.config, store, (learner.train_episodes, failures[:1]), 0
    )
    draw = learner.draw(np.random.default_rng(0), 'held_out', 4)
    assert len(draw.frames) == 8
