# SPDX-License-Identifier: Apache-2.0
"""Training a ViVa: it learns, on labels and on clips; what is unknown teaches no value."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.vvf_models.test_training import interrupt_at
from tests.vvf_models.test_viva_parts import vae_folder, wan  # noqa: F401
from tests.vvf_models.toy import small_viva, toy_episodes, toy_store
from vvf_models.checkpoints import load_checkpoint
from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import encode_frames, episode_values, outcomes
from vvf_models.evaluation.value_metrics import value_metrics
from vvf_models.runtime import load_value
from vvf_models.training import train
from vvf_models.training.common import Batches
from vvf_models.training.viva import VivaLearner
from vvf_models.values.viva_flow import read_repeated


def learning(**changes):
    defaults = {'learning_rate': 3e-3, 'batch_size': 32, 'evaluate_every': 300}
    return small_viva(**{**defaults, **changes})


def batch_of(learner, count=64, split='training', seed=0):
    draw = learner.draw(np.random.default_rng(seed), split, count)
    return draw, Batches(learner).take(draw, None)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('viva')
    metrics = train('viva', toy_store(60), learning(), folder, steps=150, progress=False)
    return folder, metrics


def test_it_learns_to_rank_time_and_outcome(trained):
    folder, metrics = trained
    assert metrics['held_out_spearman_mean'] > 0.85
    assert metrics['held_out_auc_end'] > 0.95
    runtime = load_value(folder)
    fresh = toy_episodes(72)[60:]
    answers = [runtime.value(runtime.encode(e.images, e.state)) for e in fresh]
    scored = value_metrics(
        [answer.value for answer in answers],
        [e.success for e in fresh],
        [e.success_index for e in fresh],
        bootstrap=0,
    )
    assert scored['spearman_mean'] > 0.85
    assert scored['auc_end'] > 0.95
    assert scored['value_end_success_mean'] > -0.4
    assert scored['value_end_failure_mean'] < -0.8
    for answer in answers:
        assert np.isnan(answer.uncertainty).all()
        assert ((answer.progress >= 0) & (answer.progress <= 1)).all()


def test_it_tells_the_future_of_the_state(tmp_path):
    # Every episode takes as long, so that the state says when it ends and what comes before.
    store = toy_store(48)
    store = replace(store, lengths=np.full(48, 10), starts=np.arange(48) * 10)
    store.success_index[store.outcome == SUCCESS] = 9
    store.images['front'] = store.images['front'][:480]
    store.interventions = store.interventions[:480]
    share = np.tile(np.arange(10) / 9, 48).astype(np.float32)
    store.state = np.stack([share, 1 - share, np.zeros_like(share)], 1)
    train('viva', store, learning(horizon=4), tmp_path, steps=120, progress=False)
    model = load_checkpoint(tmp_path).model
    frames = np.arange(40)
    future = np.minimum(frames + 4, store.last[frames])
    state = model.normalise(torch.from_numpy(store.state))
    with torch.inference_mode():
        told = read_repeated(model.generate(encode_frames(model, store, frames))[:, 0], 3)
    error = (told - state[future])[:, :2].abs().mean()
    standing_still = (state[frames] - state[future])[:, :2].abs().mean()
    assert error < 0.5 * standing_still


def test_a_checkpoint_gives_the_values_that_were_judged(trained):
    folder, _ = trained
    runtime, checkpoint = load_value(folder), load_checkpoint(folder)
    assert (runtime.kind, runtime.takes_goal, runtime.reads_text) == ('viva', False, False)
    assert runtime.ready
    assert runtime.gamma == 1
    assert 0.05 < runtime.step_cost < 0.15  # successes take 7 to 11 steps
    store = toy_store(3)
    scored = episode_values(checkpoint.model, store, np.arange(3))
    for values, episode in zip(scored, toy_episodes(3), strict=True):
        live = runtime.value(runtime.encode(episode.images, episode.state)).value
        np.testing.assert_allclose(values, live, atol=1e-4)
        again = runtime.value(runtime.encode(episode.images, episode.state)).value
        np.testing.assert_array_equal(live, again)


def test_images_alone_and_without_a_future_are_enough(tmp_path):
    config = learning(state_dim=0, future=False)
    metrics = train('viva', toy_store(60), config, tmp_path, steps=200, progress=False)
    assert metrics['held_out_auc_end'] > 0.8
    assert metrics['held_out_spearman_mean'] > 0.6
    assert 'held_out_future_state_loss' not in metrics


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('video')
    config = learning(objective='video', state_dim=0)
    metrics = train('viva', toy_store(60), config, folder, steps=150, progress=False)
    return folder, metrics


def test_pre_training_on_video_learns_to_tell_images_ahead(pretrained):
    folder, metrics = pretrained
    assert 'held_out_spearman_mean' not in metrics
    model, store = load_checkpoint(folder).model, toy_store(72)
    frames = store.frames_of(np.arange(60, 72))
    future = np.minimum(frames + model.config.horizon, store.last[frames])
    with torch.inference_mode():
        now, then = (encode_frames(model, store, part) for part in (frames, future))
        told = model.generate(now)[:, 0].flatten(1)
    mean = encode_frames(model, store, np.arange(600)).mean(0)
    assert (told - then).square().mean() < 0.75 * (mean - then).square().mean()
    with pytest.raises(UserError, match='knows no values'):
        load_value(folder).value(now[:1])


def test_values_start_from_pre_training_even_with_a_state_beside_the_images(pretrained, tmp_path):
    folder, _ = pretrained
    losses = {}
    for name, init in (('fresh', None), ('begun', folder)):
        # So slow that what is judged is where it starts from.
        config = learning(learning_rate=1e-9, evaluate_every=1)
        train('viva', toy_store(24), config, tmp_path / name, steps=1, progress=False, init=init)
        losses[name] = load_file(tmp_path / name / 'model.safetensors')
    video = load_file(folder / 'model.safetensors')
    taken = [name for name in video if name != 'noise' and 'future' not in name]
    for name in taken:
        torch.testing.assert_close(losses['begun'][name], video[name], atol=1e-6, rtol=0)
    assert 'codec.weight' in taken  # the transformer knows latents of this codec only
    assert not torch.equal(losses['fresh']['codec.weight'], video['codec.weight'])


def test_what_nobody_labelled_is_never_a_failure_and_teaches_no_value():
    store = toy_store(24)
    store.outcome[::2] = UNKNOWN
    learner = VivaLearner.create(small_viva(), store, 0)
    draw, batch = batch_of(learner)
    unlabelled = store.outcome[store.episode_of[draw.frames]] == UNKNOWN
    assert 0.2 < unlabelled.mean() < 0.8  # they are drawn, for the future of the state
    np.testing.assert_array_equal(draw.data['known'].numpy(), ~unlabelled)
    assert draw.data['cost'][torch.from_numpy(unlabelled)].max() <= 1
    learner.eval()
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        losses.append(learner(batch)[1])
        batch.data['cost'][torch.from_numpy(unlabelled)] = 2.0  # says nothing to anybody
    torch.testing.assert_close(losses[0]['value_loss'], losses[1]['value_loss'])
    assert learner.notes == (
        '12 episodes without a label teach the future of the state, not the value',
    )
    # Where the future is not told, they are not even drawn.
    learner = VivaLearner.create(small_viva(future=False), store, 0)
    assert (store.outcome[store.episode_of[learner.frames['training']]] != UNKNOWN).all()


def test_without_any_label_one_has_to_say_what_the_episodes_are(tmp_path):
    store = toy_store(12)
    store.outcome[:] = UNKNOWN
    with pytest.raises(UserError, match='unlabelled_as_success'):
        VivaLearner.create(small_viva(), store, 0)
    learner = VivaLearner.create(small_viva(unlabelled_as_success=True), store, 0)
    draw, _ = batch_of(learner)
    assert draw.data['known'].all()
    assert draw.data['cost'].max() <= 1
    assert 'count as successes' in learner.notes[0]
    metrics = train('viva', store, small_viva(objective='video'), tmp_path, steps=2, progress=False)
    assert np.isfinite(metrics['held_out_loss'])


def test_pairs_of_a_clip_are_the_horizon_apart_and_disturbed_alike():
    store = toy_store(12)
    learner = VivaLearner.create(small_viva(objective='video', horizon=4), store, 0)
    draw = learner.draw(np.random.default_rng(0), 'training', 50)
    now, then = draw.frames[:50], draw.frames[50:]
    assert (store.episode_of[now] == store.episode_of[then]).all()
    np.testing.assert_array_equal(then, np.minimum(now + 4, store.last[now]))
    assert (then > now).all()
    np.testing.assert_array_equal(draw.groups[:50], draw.groups[50:])
    batch = Batches(learner).take(draw, torch.Generator().manual_seed(0))
    assert batch.images[0].shape[0] == 100
    alone = toy_store(12)
    alone.lengths[:], alone.starts[:] = 1, np.arange(12)
    with pytest.raises(ValueError, match='one frame only'):
        VivaLearner.create(small_viva(objective='video'), alone, 0)


def test_a_wrong_instruction_makes_a_success_fail_slowly():
    store = toy_store(24)
    store.instructions = [
        f'put the {"carrot" if e % 2 else "plum"} into the bowl' for e in range(24)
    ]
    config = small_viva(text='sentence', wrong_instruction_share=0.5)
    learner = VivaLearner.create(config, store, 0)
    draw, _ = batch_of(learner, 400)
    episode = store.episode_of[draw.frames]
    wrong = draw.data['instruction'].numpy() != learner.instruction[draw.frames]
    success = store.outcome[episode] == SUCCESS
    assert not wrong[~success].any()
    assert wrong[success].mean() == pytest.approx(0.5, abs=0.1)
    left = (store.last - np.arange(store.n_frames))[draw.frames] / (store.lengths[episode] - 1)
    np.testing.assert_allclose(draw.data['cost'].numpy()[wrong], 1 + left[wrong], rtol=1e-5)
    assert (draw.data['cost'].numpy()[success & ~wrong] <= 1).all()
    assert (store.outcome[episode[draw.data['cost'].numpy() >= 1.01]] == FAILURE).any()


def test_the_text_is_learned_from(tmp_path):
    # The instruction alone says how it ends.
    store = toy_store(48)
    store.instructions = [
        'put the plum into it' if outcome == SUCCESS else 'open the window'
        for outcome in store.outcome
    ]
    config = learning(text='sentence', state_dim=0)
    train('viva', store, config, tmp_path, steps=60, progress=False)
    runtime = load_value(tmp_path)
    assert runtime.reads_text
    assert not runtime.ready
    fresh = toy_episodes(54)[48:]
    values = {}
    for text in ('put the plum into it', 'open the window'):
        runtime.set_instruction(text)
        values[text] = np.concatenate(
            [runtime.value(runtime.encode(e.images)).value for e in fresh]
        )
    assert (values['put the plum into it'] > values['open the window'] + 0.3).mean() > 0.9


@pytest.mark.usefixtures('vae_folder')
def test_images_are_encoded_once_where_the_codec_is_slow(vae_folder, tmp_path):  # noqa: F811
    folder = tmp_path / 'vae'
    shutil.copytree(vae_folder, folder)
    store = toy_store(8)
    config = wan(folder, latents_folder=str(tmp_path / 'latents'))
    learner = VivaLearner.create(config, store, 0)
    draw, batch = batch_of(learner, 5)
    assert not len(draw.frames)
    assert batch.images == []
    kept = learner.latents['front']
    assert kept.shape == (store.n_frames, 6, 8, 6)
    frames = np.array([0, 30, 77])
    direct = encode_frames(learner.model, store, frames)[:, : 6 * 8 * 6].view(3, 6, 8, 6)
    torch.testing.assert_close(torch.from_numpy(kept[frames]).float(), direct, atol=5e-3, rtol=5e-3)
    loss, _ = learner(batch)
    assert torch.isfinite(loss)
    # The next run finds them; other frames are not taken for these.
    written = (tmp_path / 'latents' / 'front.npy').stat().st_mtime_ns
    again = VivaLearner.create(config, store, 0)
    assert (tmp_path / 'latents' / 'front.npy').stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.latents['front'], kept)
    in_memory = VivaLearner.create(wan(folder), store, 0)
    np.testing.assert_array_equal(in_memory.latents['front'], kept)
    changed = toy_store(8)
    changed.images['front'][changed.starts[3]] = 0
    VivaLearner.create(config, changed, 0)
    assert (tmp_path / 'latents' / 'front.npy').stat().st_mtime_ns != written
    with pytest.raises(UserError, match='set "codec_folder"'):
        VivaLearner.create(wan(''), store, 0)


def test_clips_are_learned_from_through_the_autoencoder_too(vae_folder, tmp_path):  # noqa: F811
    config = wan(vae_folder, objective='video')
    metrics = train('viva', toy_store(8), config, tmp_path, steps=2, progress=False)
    assert np.isfinite(metrics['held_out_future_images_loss'])
    assert np.isfinite(metrics['held_out_future_state_loss'])
    model = load_checkpoint(tmp_path).model
    assert not any(name.startswith('codec') for name in model.state_dict())


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path, monkeypatch):
    store = toy_store(12)
    train('viva', store, small_viva(), tmp_path / 'whole', steps=6, progress=False)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        stopped = train('viva', store, small_viva(), tmp_path / 'cut', steps=6, progress=False)
    assert stopped['interrupted'] == 1
    train('viva', store, small_viva(), tmp_path / 'cut', steps=6, progress=False, resume=True)
    whole, cut = (load_file(tmp_path / name / 'model.safetensors') for name in ('whole', 'cut'))
    for name, tensor in whole.items():
        assert torch.equal(tensor, cut[name]), name


def test_the_same_seed_gives_the_same_weights(tmp_path):
    store = toy_store(12)
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        train('viva', store, small_viva(), tmp_path / name, steps=3, seed=seed, progress=False)
    a, b, c = (load_file(tmp_path / name / 'model.safetensors') for name in 'abc')
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)
    assert outcomes(store, np.arange(3)) == [False, True, True]
