# SPDX-License-Identifier: Apache-2.0
"""The imitation baselines of V-PTR: cloning on any encoder, and weighted by a VIP's reward."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.vvf_models.test_cql_learning import PLAIN, SIZE, aimless_episode, arrivals, picture
from tests.vvf_models.toy import small_bc_task, small_rwr, small_vip, toy_episodes, toy_store
from vvf_models.checkpoints import load_config
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FrameStore
from vvf_models.errors import UserError
from vvf_models.policies.bc_task import BcTaskPolicy
from vvf_models.policies.rwr import reward_weights, rwr_loss
from vvf_models.policies.tasks import trained_target
from vvf_models.runtime import load_policy
from vvf_models.training import train
from vvf_models.training.bc_task import BcTaskLearner
from vvf_models.training.learner import Batch
from vvf_models.training.rwr import RwrLearner, store_weights
from vvf_models.training.trainer import LearnerTrainer


def test_weights_grow_with_the_reward_are_cut_and_have_a_mean_of_one():
    rewards = np.array([-1, 0, 1, 0], np.float32)
    spread = rewards.std()
    weights = reward_weights(rewards, 0.5, 20.0)
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[1], np.exp(0.5 * rewards / spread), rtol=1e-5)
    assert (reward_weights(rewards, 0.0, 20.0) == 1).all()
    cut = reward_weights(np.array([0.0] * 99 + [1.0], np.float32), 5.0, 20.0)
    assert cut.max() / cut.min() == pytest.approx(20 * np.exp(5 * 0.01 / 0.0995), rel=1e-3)
    assert (reward_weights(np.zeros(3, np.float32), 1.0, 20.0) == 1).all()
    error = torch.tensor([1.0, 3.0]).view(2, 1, 1).expand(2, 2, 4)
    loss, info = rwr_loss(error, torch.tensor([2.0, 0.0]))
    assert (loss.item(), info['unweighted'].item()) == (1.0, 2.0)


def video(seed):
    """Of a dot that goes straight to the right end; nobody says by what actions."""
    start, speed = np.random.default_rng(seed).uniform((0.05, 0.05), (0.4, 0.1))
    places = np.arange(start, 0.95, speed)
    return Episode(
        images={'front': np.stack([picture(place) for place in places])},
        success=True,
        success_index=len(places) - 1,
        episode_id=f'{seed}',
    )


def test_steps_towards_the_goal_weigh_more_and_the_policy_follows_them(tmp_path):
    episodes = [e for e in (aimless_episode(seed) for seed in range(120)) if len(e) > 1]
    store = FrameStore.from_episodes(episodes, ('front',), SIZE)
    videos = FrameStore.from_episodes([video(seed) for seed in range(40)], ('front',), SIZE)
    vip = small_vip(image_size=SIZE, shift=0, learning_rate=3e-3, p_task=0.8)
    train('vip', videos, vip, tmp_path / 'vip', steps=100, progress=False)
    plain = {**PLAIN, 'action_scale': (0.12,), 'hidden': (64, 64), 'horizon': 1}
    config = small_rwr(**plain, vip=str(tmp_path / 'vip'), reward_temperature=3.0)
    weights = store_weights(config, store, np.arange(store.n_episodes), 0)
    inside = np.arange(store.n_frames) < store.last
    right = store.actions[:, 0] > 0
    assert weights[inside & right].mean() > 3 * weights[inside & ~right].mean()
    train('rwr', store, config, tmp_path / 'rwr', steps=150, progress=False)
    assert arrivals(tmp_path / 'rwr') >= 0.5  # of plain cloning at most .2: test_cql_learning.py
    assert load_config(tmp_path / 'rwr')[1].vip == ''


@pytest.mark.parametrize('config', [small_bc_task, small_rwr])
def test_hidden_layers_may_be_normalised_as_those_of_cqls_actor(config):
    plain, normalised = (
        [name for name, _ in BcTaskPolicy(settings).named_parameters() if 'norms' in name]
        for settings in (config(tasks=('x',)), config(tasks=('x',), actor_layer_norm=True))
    )
    assert not plain
    assert len(normalised) == 4, 'weight and bias of two layers'


@pytest.mark.parametrize('kind', ['bc_task', 'rwr'])
def test_what_follows_the_chunk_is_learned_as_much_and_never_executed(kind, tmp_path):
    store = toy_store(12)
    train('vip', store, small_vip(), tmp_path / 'vip', steps=1, progress=False)
    plain = {'horizon': 2, 'lookahead': 3, 'held_out_fraction': 0.0}
    if kind == 'bc_task':
        learner = BcTaskLearner.create(small_bc_task(**plain), store, 0)
    else:
        learner = RwrLearner.create(small_rwr(**plain, vip=str(tmp_path / 'vip')), store, 0)
    draw = learner.draw(np.random.default_rng(0), 'training', 8)
    assert draw.data['target'].shape == (8, 5, 7)
    batch = Batch([torch.rand(8, 3, 16, 16)], torch.randn(8, 3), None, draw.data)
    loss, info = learner.eval()(batch)
    with torch.no_grad():
        told = learner.task_vectors[draw.data['task']]
        said = learner.model.foresee(batch.images, batch.state, told)
        executed = learner.model(batch.images, batch.state, told)
    assert torch.equal(executed, said[:, :2])
    error = (said - draw.data['target']).abs()
    error = torch.where(error < 0.1, 5 * error**2, error - 0.05)
    weight = draw.data['weight'] if kind == 'rwr' else torch.ones(8)
    first, later = ((weight * part.mean((1, 2))).mean() for part in error.split((2, 3), 1))
    assert info['later_loss'].item() == pytest.approx(later.item(), rel=1e-5)
    assert loss.item() == pytest.approx((first + later).item(), rel=1e-5)
    assert info['loss'].item() == pytest.approx(loss.item())
    with pytest.raises(UserError, match='"lookahead" must not be negative'):
        small_bc_task(lookahead=-1)


def test_the_last_weights_are_kept_but_those_of_the_least_loss_with_patience():
    store = toy_store(12)
    scores = [
        BcTaskLearner.create(small_bc_task(patience=patience), store, 0).score({'loss': 2.0})
        for patience in (0, 3)
    ]
    assert scores == [math.inf, -2]
    learner = BcTaskLearner.create(small_bc_task(), store, 0)
    trainer = LearnerTrainer(learner)
    for step in range(3):
        trainer.step(step, 1.0)
        trainer.evaluate()
        kept, now = trainer.best.chunk.weight, learner.model.chunk.weight
        assert torch.equal(kept, now)
    trainer.close()


def test_nothing_is_cloned_or_rewarded_after_a_success(tmp_path):
    store = toy_store(12)
    store.actions += 0.01  # nothing stands still
    train('vip', store, small_vip(), tmp_path / 'vip', steps=1, progress=False)
    after = store.done.copy()
    after[store.ends] = False
    assert after.any()
    plain = {'held_out_fraction': 0.0, 'horizon': 2}
    cloning = BcTaskLearner.create(small_bc_task(**plain), store, 0)
    weighing = RwrLearner.create(small_rwr(**plain, vip=str(tmp_path / 'vip')), store, 0)
    for learner in (cloning, weighing):
        drawn = learner.draw(np.random.default_rng(0), 'training', 2000).frames
        assert set(drawn) == set(np.flatnonzero(~after))
    # A chunk that reaches beyond the success stays there, however the episode went on.
    assert (cloning.targets[torch.from_numpy(store.ends), 1, :6] == 0).all()
    assert weighing.weights[torch.from_numpy(~after)].mean() == pytest.approx(1, rel=1e-4)
    assert (weighing.weights[torch.from_numpy(after)] == 0).all()


def test_what_rewards_has_to_be_named_and_fit(tmp_path):
    store = toy_store(9)
    with pytest.raises(UserError, match='--set vip='):
        train('rwr', store, small_rwr(), tmp_path / 'a', steps=1, progress=False)
    train('vip', toy_store(6), small_vip(), tmp_path / 'vip', steps=1, progress=False)
    config = small_rwr(vip=str(tmp_path / 'vip'), image_size=32)
    larger = FrameStore.from_episodes(toy_episodes(9), ('front',), 32)
    with pytest.raises(UserError, match='make both equal'):
        train('rwr', larger, config, tmp_path / 'b', steps=1, progress=False)


def test_a_frozen_encoder_stays_as_the_video_made_it_and_the_rest_learns(tmp_path):
    store = toy_store(9)
    train('vip', store, small_vip(), tmp_path / 'vip', steps=2, progress=False)
    config = small_bc_task(freeze_encoder=True)
    how = {'init_encoder': tmp_path / 'vip', 'progress': False}
    metrics = train('bc_task', store, config, tmp_path / 'bc', steps=60, **how)
    given, kept = (load_file(tmp_path / name / 'model.safetensors') for name in ('vip', 'bc'))
    own = {k.removeprefix('encoder.cameras.0.'): v for k, v in kept.items()}
    layers = [name for name in given if name.startswith('encoder.layers')]
    assert layers
    assert all(torch.equal(given[n], own[n.removeprefix('encoder.')]) for n in layers)
    start = train('bc_task', store, config, tmp_path / 'start', steps=1, **how)
    assert metrics['held_out_loss'] < start['held_out_loss']


def test_tasks_keep_their_places_from_phase_to_phase_and_target_data_are_one(tmp_path):
    first = toy_store(12)
    first.instructions = ['a', 'b'] * 6
    config = small_bc_task(task_slots=3)
    train('bc_task', first, config, tmp_path / 'first', steps=2, progress=False)
    second = toy_store(12)
    second.instructions, second.target = ['b', 'a'] * 4 + ['new'] * 4, np.arange(12) >= 8
    config = small_bc_task(task_slots=3, target_task='target', mixing_ratio=0.75)
    start = {'init': tmp_path / 'first', 'progress': False}
    train('bc_task', second, config, tmp_path / 'second', steps=2, **start)
    second_config = load_config(tmp_path / 'second')[1]
    assert second_config.tasks == ('a', 'b', 'target')
    assert trained_target(second_config) == 'target'
    assert trained_target(config) == trained_target(load_config(tmp_path / 'first')[1]) == ''
    learner = BcTaskLearner.create(replace(config, held_out_fraction=0.0), second, 0)
    frames = learner.draw(np.random.default_rng(0), 'training', 40).frames
    assert second.target[second.episode_of[frames]].sum() == 10
    policy = load_policy(tmp_path / 'second')
    policy.set_instruction('what nobody ever asked')
    assert policy.task.tolist() == [[0, 0, 1]]
    image = {'front': np.zeros((16, 16, 3), np.uint8)}
    assert policy.act(image, np.zeros(3)).shape == (1, 7)
