# SPDX-License-Identifier: Apache-2.0
"""CQL through the one loop: resuming, phases, encoders handed on, tasks, the policy at run time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.vvf_models.test_training import interrupt_at
from tests.vvf_models.toy import small_bc_task, small_cql, small_icvf, small_viva, toy_episodes
from vvf_models.checkpoints import load_checkpoint, load_config
from vvf_models.errors import UserError
from vvf_models.policies.cql_networks import ToldMlp
from vvf_models.runtime import load_policy
from vvf_models.training import train
from vvf_models.training.common import Batches
from vvf_models.training.cql import CqlLearner
from vvf_models.training.icvf import IcvfLearner
from vvf_models.training.learner import Draw
from vvf_models.training.viva import VivaLearner


def weights(folder):
    return load_file(folder / 'model.safetensors')


def act(policy, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (40, 40, 3), np.uint8)
    return policy.act({'front': image}, np.zeros(3, np.float32))


def test_resuming_equals_never_stopping(store, tmp_path, monkeypatch):
    how = {'steps': 8, 'progress': False}
    config = small_cql(evaluate_every=3)
    train('cql', store, config, tmp_path / 'whole', **how)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        stopped = train('cql', store, config, tmp_path / 'cut', **how)
    assert stopped['interrupted'] == 1
    train('cql', store, config, tmp_path / 'cut', resume=True, **how)
    for name, tensor in weights(tmp_path / 'whole').items():
        assert torch.equal(tensor, weights(tmp_path / 'cut')[name]), name


def test_the_policy_acts_within_what_the_data_did(store, tmp_path):
    metrics = train('cql', store, small_cql(), tmp_path, steps=4, progress=False)
    assert {'held_out_q_data', 'held_out_q_random', 'seen_bellman_error'} <= set(metrics)
    policy = load_policy(tmp_path)
    assert (policy.kind, policy.horizon, policy.action_dim) == ('cql', 1, 7)
    action = act(policy)
    assert action.shape == (1, 7)
    _, config = load_config(tmp_path)
    assert (np.abs(action[0, :6]) <= np.array(config.action_scale)).all()
    assert 0 <= action[0, 6] <= 1
    policy.set_instruction('anything, since it knows one task only')
    np.testing.assert_array_equal(act(policy), action)


def test_both_encoders_start_from_those_of_an_icvf(store, tmp_path):
    train('icvf', store, small_icvf(), tmp_path / 'video', steps=3, seed=3, progress=False)
    config = small_cql(freeze_encoder=True)
    out = tmp_path / 'robot'
    train('cql', store, config, out, steps=2, progress=False, init_encoder=tmp_path / 'video')
    after = weights(out)
    for name, tensor in weights(tmp_path / 'video').items():
        if name.startswith('encoder.cameras.0.layers.'):
            for whose in ('actor', 'critic'):
                assert torch.equal(tensor, after[f'{whose}.{name}']), name


@pytest.mark.parametrize('task_vector', ['one-hot', 'language'])
def test_a_task_is_added_to_those_of_an_earlier_phase(tmp_path, task_vector):
    prior = [replace(e, instruction='z' if n % 2 else 'b') for n, e in enumerate(toy_episodes(12))]
    target = [replace(e, instruction='a') for e in toy_episodes(6)]
    config = small_cql(task_vector=task_vector, task_slots=3, held_out_fraction=0.0)
    how = {'steps': 2, 'progress': False}
    train('cql', prior, config, tmp_path / 'phase2', **how)
    begun = load_checkpoint(tmp_path / 'phase2')
    assert begun.config.tasks == ('b', 'z')
    larger = [replace(e, actions=2 * e.actions) for e in target]
    init = tmp_path / 'phase2'
    train('cql', prior, config, tmp_path / 'phase3', init=init, task_data=larger, **how)
    after = load_checkpoint(tmp_path / 'phase3')
    assert after.config.tasks == ('b', 'z', 'a')  # the new one last: the others keep their places
    assert after.config.action_scale == begun.config.action_scale
    policy = load_policy(tmp_path / 'phase3')
    with pytest.raises(ValueError, match='set_instruction'):
        act(policy)
    policy.set_instruction('a')
    mine = act(policy)
    policy.set_instruction('b')
    assert not np.array_equal(act(policy), mine)
    if task_vector == 'one-hot':
        with pytest.raises(UserError, match='knows no task "c"; choose one of "b", "z", "a"'):
            policy.set_instruction('c')
        fourth = [replace(e, instruction='c') for e in target]
        with pytest.raises(UserError, match='4 tasks, but the one-hot vector has 3'):
            init = tmp_path / 'phase3'
            train('cql', prior, config, tmp_path / 'x', init=init, task_data=fourth, **how)


@pytest.mark.parametrize('kind', ['cql', 'bc_task'])
def test_a_new_task_begins_as_the_mean_of_those_before(tmp_path, kind):
    prior = [replace(e, instruction='z' if n % 2 else 'b') for n, e in enumerate(toy_episodes(12))]
    settings = {'task_slots': 3, 'held_out_fraction': 0.0}
    config = small_cql(**settings) if kind == 'cql' else small_bc_task(**settings)
    how = {'steps': 2, 'progress': False, 'init': tmp_path / 'phase2'}
    train(kind, prior, config, tmp_path / 'phase2', **{**how, 'init': None})
    still = replace(config, learning_rate=1e-12, target_task='target')
    if kind == 'cql':
        still = replace(still, actor_learning_rate=1e-12)
    train(kind, prior, still, tmp_path / 'phase3', task_data=toy_episodes(3), **how)
    model = load_checkpoint(tmp_path / 'phase3').model
    assert model.config.tasks == ('b', 'z', 'target')
    found = [part for part in model.modules() if isinstance(part, ToldMlp)]
    assert len(found) == (3 if kind == 'cql' else 1)
    for part in found:
        for layer in part.layers:
            places = layer.weight[:, part.context - 3 : part.context]
            assert not torch.equal(places[:, 0], places[:, 1])
            torch.testing.assert_close(places[:, 2], places[:, :2].mean(1))


def test_task_data_are_told_apart_whatever_is_left_out_before_them(tmp_path, monkeypatch):
    seen = []
    create = CqlLearner.create.__func__

    def creating(cls, config, store, seed):
        seen.append((store.target.copy(), store.episode_ids))
        return create(cls, config, store, seed)

    monkeypatch.setattr(CqlLearner, 'create', classmethod(creating))
    prior = toy_episodes(6)
    prior[1] = replace(prior[1], state=np.full_like(prior[1].state, np.nan))
    target = [replace(e, episode_id=f'target {n}') for n, e in enumerate(toy_episodes(4))]
    left_out: list[str] = []
    how = {'steps': 1, 'progress': False, 'skip_bad': left_out.append, 'cache': tmp_path / 'cache'}
    config = small_cql(held_out_fraction=0.0)
    for name in 'ab':  # the second time from the cache
        train('cql', prior, config, tmp_path / name, task_data=target, **how)
    assert len(left_out) == 2
    for mask, names in seen:
        assert mask.tolist() == [name.startswith('target') for name in names]
        assert mask.sum() == 4
    with pytest.raises(UserError, match='takes no task data'):
        train('icvf', prior, small_icvf(), tmp_path / 'x', steps=1, task_data=target)


def test_two_arms_are_refused_whatever_the_configuration_says(store):
    two = replace(store, actions=np.concatenate([store.actions] * 2, axis=1))
    with pytest.raises(UserError, match=r'CQL is for one arm.* these have 14; train bc'):
        CqlLearner.create(small_cql(), two, 0)
    with pytest.raises(UserError, match='CQL is for one arm'):
        small_cql(action_dim=14)
    assert small_cql(action_dim=8).action_dim == 8  # seven joints and a gripper


def test_noise_of_the_state_is_in_standard_deviations_of_the_training_data(store):

    frames = np.repeat(np.arange(50), 400)
    for learner in (
        IcvfLearner.create(small_icvf(state_noise=0.3), store, 0),
        VivaLearner.create(small_viva(state_noise=0.3), store, 0),
    ):
        batches = Batches(learner)
        noisy = batches.take(Draw(frames), torch.Generator().manual_seed(0)).state
        noise = noisy - batches.state[torch.from_numpy(frames)]
        training = batches.state[torch.from_numpy(store.frames_of(learner.train_episodes))]
        ratio = noise.std(0) / training.std(0)
        np.testing.assert_allclose(ratio, 0.3, rtol=0.03)
