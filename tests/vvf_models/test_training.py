# SPDX-License-Identifier: Apache-2.0
"""Learning tests: small, seeded, and failing when an algorithm stops learning."""

import json
import signal
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.shared_data import shared_data
from tests.vvf_models.toy import (
    SIZE,
    STATE_DIM,
    small_bc,
    small_distributional,
    small_icvf,
    toy_episodes,
    toy_store,
)
from vvf_models.checkpoints import load_checkpoint
from vvf_models.data.frames import FrameStore
from vvf_models.data.open import open_episodes
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import encode_frames, episode_values, outcomes
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.policies.bc import bc_loss
from vvf_models.policies.chunks import ChunkScale, chunk_targets, counted_steps
from vvf_models.runtime import load_policy, load_value
from vvf_models.training import loop, train
from vvf_models.training.bc import BcLearner
from vvf_models.training.loop import is_unfinished
from vvf_models.training.trainer import LearnerTrainer
from vvf_models.values.base import GoalSet
from vvf_models.values.proprio import returns, train_proprio

SMALL = {'icvf': small_icvf, 'distributional': small_distributional, 'bc': small_bc}


def interrupt_at(monkeypatch, step):
    original = LearnerTrainer.step

    def stepping(self, number, rate):
        if number == step:
            signal.raise_signal(signal.SIGINT)
        return original(self, number, rate)

    monkeypatch.setattr(LearnerTrainer, 'step', stepping)


def weights(folder):
    return load_file(folder / 'model.safetensors')


@pytest.mark.parametrize(('kind', 'at'), [*((kind, 13) for kind in SMALL), ('icvf', 9)])
def test_ctrl_c_keeps_what_is_done_and_resuming_equals_never_stopping(
    kind, at, store, tmp_path, monkeypatch
):
    config = SMALL[kind]
    train(kind, store, config(), tmp_path / 'whole', steps=24, progress=False)
    with monkeypatch.context() as patch:
        interrupt_at(patch, at)
        stopped = train(kind, store, config(), tmp_path / 'cut', steps=24, progress=False)
    assert stopped['interrupted'] == 1
    assert stopped['steps'] == at + 1
    load = load_policy if kind == 'bc' else load_value
    load(tmp_path / 'cut')  # a whole checkpoint already
    finished = train(kind, store, config(), tmp_path / 'cut', steps=24, progress=False, resume=True)
    assert finished['interrupted'] == 0
    assert finished['steps'] == 24
    for name, tensor in weights(tmp_path / 'whole').items():
        assert torch.equal(tensor, weights(tmp_path / 'cut')[name]), name
    assert not (tmp_path / 'cut' / '.resume').exists()
    logs = [(tmp_path / name / 'log.jsonl').read_text().splitlines() for name in ('whole', 'cut')]
    assert [[json.loads(line)['step'] for line in log] for log in logs] == [[10, 20, 24]] * 2


def test_what_is_killed_while_it_writes_goes_on(store, tmp_path, monkeypatch):
    train('bc', store, small_bc(), tmp_path / 'whole', steps=9, progress=False)

    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(sys.modules[train.__module__], 'save_checkpoint', killed)
        train('bc', store, small_bc(), tmp_path / 'cut', steps=9, progress=False)
    assert is_unfinished(tmp_path / 'cut')
    train('bc', store, small_bc(), tmp_path / 'cut', steps=9, progress=False, resume=True)
    assert not is_unfinished(tmp_path / 'cut')
    for name, tensor in weights(tmp_path / 'whole').items():
        assert torch.equal(tensor, weights(tmp_path / 'cut')[name]), name


def test_the_same_seed_gives_the_same_weights_and_another_does_not(store, tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        train('bc', store, small_bc(), tmp_path / name, steps=5, seed=seed, progress=False)
    a, b, c = (weights(tmp_path / name) for name in 'abc')
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


def test_resuming_with_other_settings_or_a_finished_run_is_refused(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        train('bc', store, small_bc(), tmp_path, steps=9, progress=False)
    with pytest.raises(UserError, match='begun with another "seed"'):
        train('bc', store, small_bc(), tmp_path, steps=9, seed=7, progress=False, resume=True)
    with pytest.raises(UserError, match='begun with another "config"'):
        train('bc', store, small_bc(hidden=16), tmp_path, steps=9, progress=False, resume=True)
    state = tmp_path / '.resume' / 'training.safetensors'
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(UserError, match='not a safetensors file'):
        train('bc', store, small_bc(), tmp_path, steps=9, progress=False, resume=True)
    train('bc', store, small_bc(), tmp_path, steps=3, progress=False)
    with pytest.raises(UserError, match='trained to its end'):
        train('bc', store, small_bc(), tmp_path, steps=9, progress=False, resume=True)


def test_a_checkpoint_is_complete_and_says_how_it_was_made(store, tmp_path):
    metrics = train(
        'icvf',
        store,
        small_icvf(),
        tmp_path,
        steps=20,
        seed=5,
        progress=False,
        command='vvf train x',
    )
    card = (tmp_path / 'card.md').read_text()
    for text in ('vvf train x', 'Seed 5', 'held_out_spearman_mean', '| episodes | 24 |'):
        assert text in card
    lines = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    assert [line['step'] for line in lines] == [10, 20]
    assert {'train_loss', 'held_out_loss', 'seen_auc_end', 'held_out_auc_end'} <= set(lines[0])
    assert metrics['parameters'] > 0
    runtime = load_value(tmp_path)
    assert runtime.n_goals == 4
    assert {p.name for p in tmp_path.iterdir()} == {
        'card.md',
        'metrics.json',
        'tensorboard',
        'config.yaml',
        'goals.safetensors',
        'log.jsonl',
        'model.safetensors',
    }


def test_icvf_learns_to_rank_time_and_outcome(tmp_path):
    config = small_icvf(
        target_rate=0.05, learning_rate=2e-3, discount=0.9, batch_size=32, evaluate_every=100
    )
    metrics = train('icvf', toy_store(60), config, tmp_path, steps=400, progress=False)
    assert metrics['held_out_spearman_mean'] > 0.85
    assert metrics['held_out_auc_end'] > 0.9
    runtime = load_value(tmp_path)
    fresh = toy_episodes(72)[60:]
    values = [runtime.value(runtime.encode(e.images, e.state)).value for e in fresh]
    scored = value_metrics(
        values,
        [e.success for e in fresh],
        [e.success_index for e in fresh],
        failure_kinds=[e.failure_kind for e in fresh],
    )
    assert scored['spearman_mean'] > 0.8
    assert scored['auc_end'] > 0.9
    assert scored['auc_end_stopped'] == scored['auc_end']
    assert scored['value_end_success_mean'] > scored['value_end_failure_mean']


def test_values_of_a_store_are_those_of_the_runtime(store, tmp_path):
    train('icvf', store, small_icvf(), tmp_path, steps=5, progress=False)
    runtime = load_value(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    frames = FrameStore.from_episodes(toy_episodes(3), ('front',), SIZE)
    goals = runtime.encode(
        {'front': checkpoint.goals['front'].permute(0, 2, 3, 1).numpy()},
        checkpoint.goals['state'].numpy(),
    )
    scored = episode_values(checkpoint.model, frames, np.arange(3), GoalSet(goals))
    for values, episode in zip(scored, toy_episodes(3), strict=True):
        live = runtime.value(runtime.encode(episode.images, episode.state)).value
        np.testing.assert_allclose(values, live, atol=1e-4)
    assert outcomes(frames, np.arange(3)) == [False, True, True]
    latents = encode_frames(checkpoint.model, frames, np.array([4, 2]))
    assert latents.shape == (2, checkpoint.model.encoder.output_dim)


def test_icvf_of_one_camera_learns_from_unlabelled_clips(tmp_path):
    clips = open_episodes(shared_data('widowx_bridge'))
    config = small_icvf(cameras=('image_0',), image_size=32, state_dim=0, evaluate_every=20)
    metrics = train('icvf', clips[:12], config, tmp_path, steps=20, progress=False)
    assert 'held_out_auc_end' not in metrics
    assert np.isfinite(metrics['held_out_spearman_mean'])
    runtime = load_value(tmp_path)
    assert runtime.state_dim == 0
    clip = clips[12]
    latents = runtime.encode(clip.images)
    assert runtime.value(latents, latents[-1]).value.shape == (10,)


def test_cloning_overfits_a_few_demonstrations(tmp_path):
    episodes = [e for e in toy_episodes(8) if e.success][:4]
    config = small_bc(
        held_out_fraction=0.0, shift=0, contrast=0.0, brightness=0.0, evaluate_every=400
    )
    metrics = train('bc', episodes, config, tmp_path, steps=400, progress=False)
    assert metrics['seen_loss'] < 0.05
    policy = load_policy(tmp_path)
    errors = []
    for episode in episodes:
        for t in range(len(episode) - policy.horizon):
            chunk = policy.act({'front': episode.images['front'][t]}, episode.state[t])
            errors.append(chunk - episode.actions[t : t + policy.horizon])
    errors = np.abs(np.concatenate(errors)).mean(0)
    assert errors[:2].max() < 0.005
    assert errors[6] < 0.1


def test_failures_are_not_cloned(store):
    learner = BcLearner.create(small_bc(), store, 0)
    assert (store.outcome[learner.train_episodes] == 1).all()
    everything = BcLearner.create(small_bc(successes_only=False), store, 0)
    assert len(everything.train_episodes) > len(learner.train_episodes)


def test_chunks_stop_at_the_end_of_an_episode():
    actions = np.full((5, 3), 0.1, np.float32)
    actions[:, 2] = (1, 1, 0, 1, 0)
    config = small_bc(action_dim=3, action_scale=(0.1, 0.2))
    chunks = chunk_targets(actions, np.array([2, 2, 2, 4, 4]), config)
    np.testing.assert_allclose(chunks[0], [[1, 0.5, 1], [1, 0.5, 1], [1, 0.5, -1]])
    np.testing.assert_allclose(chunks[1], [[1, 0.5, 1], [1, 0.5, -1], [0, 0, -1]])
    np.testing.assert_allclose(chunks[4], [[1, 0.5, -1], [0, 0, -1], [0, 0, -1]])


def test_a_chunk_counts_until_somebody_else_acts_or_a_failure_ends():
    human = np.array([0, 0, 1, 1, 0, 0, 0, 0], bool)
    last = np.array([5, 5, 5, 5, 5, 5, 7, 7])
    whole = counted_steps(human, last, np.zeros(8, bool), 3)
    assert whole.sum(1).tolist() == [2, 1, 2, 1, 3, 3, 3, 3]
    assert (np.diff(whole.astype(int), axis=1) <= 0).all(), 'from the first step on'
    # Of a failure neither what lies beyond its end counts nor its last action, which nobody did.
    failed = counted_steps(human, last, np.ones(8, bool), 3)
    assert failed.sum(1).tolist() == [2, 1, 2, 1, 1, 0, 1, 0]


def test_beyond_the_end_both_grippers_stay_and_positions_stay():
    actions = np.array([[0.1, 1, 0.2, 0], [0.1, 0, 0.2, 1]], np.float32)
    config = small_bc(action_dim=4, arms=2, action_scale=(0.1,), horizon=3)
    chunks = chunk_targets(actions, np.array([1, 1]), config)
    np.testing.assert_allclose(chunks[0], [[1, 1, 2, -1], [1, -1, 2, 1], [0, -1, 0, 1]])
    again = ChunkScale(config)(torch.from_numpy(chunks[0, :2])).numpy()
    np.testing.assert_allclose(again, actions, atol=1e-6)
    positions = small_bc(action_dim=4, arms=2, action_scale=(0.1,), displacements=False)
    stays = chunk_targets(actions, np.array([1, 1]), positions)
    np.testing.assert_allclose(stays[1], [[1, -1, 2, 1]] * positions.horizon)


def test_bc_loss_by_hand():
    prediction = torch.tensor([[[0.05, 1.0]]], requires_grad=True)
    loss, info = bc_loss(prediction, torch.zeros(1, 1, 2), torch.tensor([False, True]))
    # Smooth L1 with beta .1: .05^2 / .2 and 1 - .05.
    assert loss.item() == pytest.approx((0.0125 + 0.95) / 2)
    assert float(info['motion_error']) == pytest.approx(0.05)
    assert float(info['gripper_error']) == pytest.approx(0.5)


def test_what_cannot_be_trained_says_why(store, tmp_path):
    with pytest.raises(UserError, match='Say how long'):
        train('bc', store, small_bc(), tmp_path, progress=False)
    with pytest.raises(UserError, match='no camera "wrist"'):
        train('bc', store, small_bc(cameras=('wrist',)), tmp_path, steps=1, progress=False)
    with pytest.raises(UserError, match='set "state_dim" to 3'):
        train('icvf', store, small_icvf(state_dim=16), tmp_path, steps=1, progress=False)
    with pytest.raises(UserError, match='make both equal'):
        train('icvf', store, small_icvf(image_size=32), tmp_path, steps=1, progress=False)
    failures = [e for e in toy_episodes(9) if not e.success]
    with pytest.raises(UserError, match='No episode succeeded'):
        train('bc', failures, small_bc(), tmp_path, steps=1, progress=False)


def test_learning_rate_warms_up_holds_and_falls():
    share = loop.learning_rate_share
    assert share(0, 0.0, 10, 0.5) == pytest.approx(0.1)
    assert share(100, 0.5, 10, 0.5) == pytest.approx(1.0)
    assert share(100, 1.0, 10, 0.5) == pytest.approx(0.02)


def test_returns_of_the_baseline_rank_outcomes(store):
    everything = np.arange(store.n_episodes)
    target = returns(store, everything)
    success = np.repeat(store.outcome == 1, store.lengths)
    assert target[success].min() >= -0.5
    assert target[~success].max() <= -0.5
    assert target[store.done].min() == 0
    model = train_proprio(store, everything, steps=300)
    assert np.corrcoef(model.values(store.state), target)[0, 1] > 0.6
    assert store.state.shape[1] == STATE_DIM
