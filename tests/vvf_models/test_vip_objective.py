# SPDX-License-Identifier: Apache-2.0
"""Values that follow from VIP's equations, its sampling laws, and what a VIP is at run time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from tests.vvf_models.toy import toy_episode, toy_episodes, toy_store
from vvf_models.checkpoints import CONFIGS, load_checkpoint
from vvf_models.config import from_mapping
from vvf_models.data.episode import Episode
from vvf_models.data.frames import FAILURE, SUCCESS, UNKNOWN, FrameStore
from vvf_models.encoders.resnet import resnet
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import encode_frames, episode_values
from vvf_models.runtime import load_value
from vvf_models.training import train
from vvf_models.training.vip import VipLearner
from vvf_models.values.base import Goal
from vvf_models.values.clip_sampling import ClipSampler, FirstFrame
from vvf_models.values.vip import Vip, VipConfig, difference_reward, vip_loss


def small_vip(**changes):
    defaults = {
        'cameras': ('front',),
        'image_size': 16,
        'latent_dim': 64,
        'width': 16,
        'embedding_dim': 32,
        'batch_size': 32,
        'n_goals': 4,
        'held_out_fraction': 0.25,
        'evaluate_every': 100,
        'warmup_steps': 5,
        'learning_rate': 1e-3,
        'shift': 1,
        'bfloat16': False,
        'negatives': 0,
        'p_task': 0.8,
        'tcc_frames': 6,
    }
    return VipConfig(**{**defaults, **changes})


def store_of(lengths, outcomes=None, done=None, instructions=None):
    """A store without images, for samplers."""
    lengths = np.array(lengths)
    count = len(lengths)
    return FrameStore(
        images={},
        state=None,
        actions=None,
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        outcome=np.array([UNKNOWN] * count if outcomes is None else outcomes, np.int8),
        success_index=np.full(count, -1) if done is None else np.array(done),
        episode_ids=[str(e) for e in range(count)],
        failure_kinds=[''] * count,
        instructions=[''] * count if instructions is None else instructions,
    )


def sampler_of(store, **options):
    return ClipSampler(store, np.arange(store.n_episodes), **options)


def test_loss_of_a_constant_embedding():
    same = torch.ones(5, 3)
    shuffles = torch.stack([torch.randperm(5) for _ in range(3)])
    loss, _ = vip_loss(same, same, same, same, shuffles[:0], small_vip())
    assert loss.item() == pytest.approx(1.0)
    loss, _ = vip_loss(same, same, same, same, shuffles, small_vip())
    assert loss.item() == pytest.approx(2.0)
    penalised = small_vip(l1=0.1, l2=0.01)
    loss, _ = vip_loss(same, same, same, same, shuffles, penalised)
    assert loss.item() == pytest.approx(2.0 + 0.1 * 3 + 0.01 * math.sqrt(3), abs=1e-6)


def test_loss_by_hand():
    """One dimension, goals at 0: distances are the numbers themselves."""
    first, here, following = (
        torch.tensor(v)[:, None] for v in ([4.0, 2.0], [3.0, 2.0], [2.0, 1.0])
    )
    goal = torch.zeros(2, 1)
    config = small_vip(discount=0.5)
    # -(r + γ V' - V) = 1 + γ d' - d: 1 + 1 - 3 = -1 and 1 + .5 - 2 = -.5.
    positive = math.log((math.exp(-1) + math.exp(-0.5)) / 2)
    loss, info = vip_loss(first, goal, here, following, torch.zeros(0, 2, dtype=torch.long), config)
    assert loss.item() == pytest.approx(0.5 * 3 + positive)
    assert info['step_up'] == 1
    # Goals at 0 and 10: the swapped neighbours are 3, 2 from goal 1 (7, 8) and 2, 1 from goal 0.
    goal = torch.tensor([[0.0], [10.0]])
    swapped = torch.tensor([[1, 0]])
    loss, _ = vip_loss(first, goal, here, following, swapped, config)
    own = math.log((math.exp(1 + 0.5 * 2 - 3) + math.exp(1 + 0.5 * 9 - 8)) / 2)
    other = math.log((math.exp(1 + 0.5 * 1 - 2) + math.exp(1 + 0.5 * 8 - 7)) / 2)
    assert loss.item() == pytest.approx(0.5 * (4 + 8) / 2 + own + other)


def test_gradients_flow_through_every_frame_and_never_become_nan():
    frames = [torch.randn(4, 8, requires_grad=True) for _ in range(4)]
    loss, _ = vip_loss(*frames, torch.randperm(4)[None], small_vip(l1=1e-3, l2=1e-3))
    loss.backward()
    assert all(frame.grad.abs().sum() > 0 for frame in frames)
    same = torch.zeros(4, 8, requires_grad=True)  # the distance has no gradient at 0
    vip_loss(same, same, same, same, torch.randperm(4)[None], small_vip(l2=1e-3))[0].backward()
    assert torch.isfinite(same.grad).all()


def test_clips_are_drawn_as_the_authors_draw_them():
    rng, count, length = np.random.default_rng(0), 40_000, 9
    clips = sampler_of(store_of([length])).sample(rng, count)
    expected = np.zeros((length, length, length))
    for first in range(length - 2):
        for goal in range(first + 1, length):
            for here in range(first, goal):
                expected[first, goal, here] = (
                    1 / (length - 2) / (length - 1 - first) / (goal - first)
                )
    drawn = np.zeros_like(expected)
    np.add.at(drawn, (clips.first, clips.goal, clips.here), 1 / count)
    assert expected.sum() == pytest.approx(1)
    assert (drawn[expected == 0] == 0).all()
    np.testing.assert_allclose(drawn, expected, atol=5 * np.sqrt(expected.max() / count))
    np.testing.assert_array_equal(clips.next, np.minimum(clips.here + 1, clips.goal))
    shortest = sampler_of(store_of([2, 1])).sample(rng, 10)
    assert (shortest.first == 0).all()
    assert (shortest.goal == 1).all()
    assert (shortest.here == 0).all()


def test_every_episode_and_every_stream_is_drawn_equally_often():
    rng = np.random.default_rng(0)
    store = store_of([5, 40, 1])
    clips = sampler_of(store, streams=3).sample(rng, 6000)
    episode = store.episode_of[clips.first]
    for frames in (clips.goal, clips.here, clips.next):
        np.testing.assert_array_equal(store.episode_of[frames], episode)
    assert np.bincount(episode, minlength=3) == pytest.approx([3000, 3000, 0], abs=200)
    assert np.bincount(clips.stream) == pytest.approx([2000] * 3, abs=200)
    with pytest.raises(ValueError, match='single frame'):
        sampler_of(store_of([1, 1]))


@pytest.mark.parametrize(
    ('law', 'distribution'),
    [
        (FirstFrame('uniform'), stats.uniform()),
        # Rising with time: Exp(5) is the law of what is left of the clip.
        (FirstFrame('exponential', rate=5.0), stats.truncexpon(5, scale=1 / 5)),
        (FirstFrame('exponential', rate=-3.0), stats.truncexpon(3, scale=1 / 3)),
        (FirstFrame('beta', alpha=2.0, beta=5.0), stats.beta(2, 5)),
    ],
)
def test_first_frames_follow_their_law(law, distribution):
    times = law.sample(np.random.default_rng(0), 20_000)
    assert times.min() >= 0
    assert times.max() < 1
    rising = law.law == 'exponential' and law.rate > 0
    assert stats.kstest(1 - times if rising else times, distribution.cdf).pvalue > 1e-3
    store = store_of([102])
    first = sampler_of(store, first=law).sample(np.random.default_rng(0), 20_000).first
    assert first.mean() / 100 == pytest.approx(times.mean(), abs=0.02)
    with pytest.raises(ValueError, match='uniform, exponential, beta'):
        FirstFrame('gauss').sample(np.random.default_rng(0), 1)


def test_goals_of_other_episodes_are_of_the_same_instruction_and_done():
    store = store_of(
        [10, 10, 10, 10, 10],
        [SUCCESS, SUCCESS, FAILURE, SUCCESS, SUCCESS],
        [6, 7, -1, 8, 0],
        ['a', 'a', 'a', 'b', 'b'],
    )
    clips = sampler_of(store, p_task=0.5).sample(np.random.default_rng(0), 8000)
    episode, other = store.episode_of[clips.first], store.episode_of[clips.goal]
    assert not clips.task[np.isin(episode, (2, 4))].any()  # nothing leads to a success there
    for number, goals in ((0, {0, 1}), (1, {0, 1}), (3, {3, 4})):
        here = clips.task & (episode == number)
        assert here.sum() == pytest.approx(800, abs=150)
        assert set(other[here]) == goals
    assert store.done[clips.goal[clips.task]].all()
    assert (
        clips.next[clips.task] <= (store.starts + store.success_index)[episode[clips.task]]
    ).all()
    assert (episode == other)[~clips.task].all()


def test_videos_of_the_task_being_done():
    store = store_of([9, 12, 7, 11], [SUCCESS, SUCCESS, FAILURE, SUCCESS], [6, 11, -1, 9])
    store.instructions[3] = 'another task'
    sampler = sampler_of(store, streams=2)
    rng = np.random.default_rng(0)
    assert sampler.frames_per_video(20) == 7
    for _ in range(20):
        rows, streams, times = sampler.sample_videos(rng, 4, 5)
        episode = store.episode_of[rows[:, 0]]
        assert rows.shape == times.shape == (4, 5)
        assert set(episode) in ({0, 1}, {3})
        if 3 not in episode:
            assert len({*zip(episode, streams, strict=True)}) == 4
        assert (np.diff(rows, axis=1) > 0).all()
        assert (rows.max(1) - store.starts[episode] <= store.success_index[episode]).all()
        span = store.success_index[episode][:, None]
        np.testing.assert_allclose(times * span, rows - store.starts[episode][:, None])
    failures = store_of([5, 6], [FAILURE, FAILURE])
    assert sampler_of(failures).frames_per_video(5) == 0
    assert sampler_of(store_of([5, 6])).frames_per_video(9) == 5  # clips without any label


def test_a_value_is_the_mean_distance_over_cameras_and_goals():
    model = Vip(small_vip(cameras=('left', 'right'), embedding_dim=2))
    latents = torch.tensor([[0.0, 0.0, 1.0, 0.0], [3.0, 4.0, 1.0, 1.0]])
    goals = torch.tensor([[3.0, 4.0, 1.0, 1.0], [0.0, 0.0, 1.0, 3.0]])
    value, uncertainty = model.estimate(latents, Goal(goals))
    assert value.tolist() == pytest.approx([-(5 + 1 + 0 + 3) / 4, -(0 + 0 + 5 + 2) / 4])
    assert uncertainty.isnan().all()
    assert model.latent_size == 4
    images = [torch.rand(3, 3, 16, 16) for _ in range(2)]
    encoded = model.encode(images, torch.zeros(3, 7))
    assert torch.equal(encoded[:, 2:], model.encode(images[::-1], None)[:, :2])  # one encoder
    with pytest.raises(ValueError, match='goal observations'):
        model.values(latents, Goal())


def test_reward_is_the_difference_of_values():
    values = np.array([-3.0, -1.0, -1.5])
    np.testing.assert_allclose(difference_reward(values), [2.0, -0.5])
    assert difference_reward(torch.tensor(values)).tolist() == [2.0, -0.5]


def test_it_learns_to_rank_time_and_outcome_on_layouts_never_seen(tmp_path):
    store = toy_store(60)
    metrics = train('vip', store, small_vip(), tmp_path, steps=200, progress=False)
    assert metrics['held_out_spearman_mean'] > 0.85
    assert metrics['held_out_auc_end'] > 0.9
    checkpoint = load_checkpoint(tmp_path, 'vip')
    config = checkpoint.config
    assert config.state_dim == 0
    assert config.d_max > config.d_min > 0
    runtime = load_value(tmp_path)
    assert runtime.state_dim == 0
    fresh = [e for e in toy_episodes(72)[60:] if e.success]
    gains, first, last = [], [], []
    for episode in fresh:
        answer = runtime.value(runtime.encode(episode.images))
        assert np.isnan(answer.uncertainty).all()
        done = episode.success_index
        gains.append(runtime.gamma * answer.value[1 : done + 1] - answer.value[:done])
        first.append(answer.progress[0])
        last.append(answer.progress[done])
    # A step of a demonstration neither gains nor loses against the step cost that was measured.
    assert np.concatenate(gains).mean() == pytest.approx(runtime.step_cost, rel=0.25)
    assert np.mean(first) < 0.3
    assert np.mean(last) > 0.7


def test_values_of_a_store_are_those_of_the_runtime(tmp_path):
    store = toy_store(24)
    train('vip', store, small_vip(), tmp_path, steps=3, progress=False)
    checkpoint, runtime = load_checkpoint(tmp_path), load_value(tmp_path)
    frames = FrameStore.from_episodes(toy_episodes(3), ('front',), 16)
    images = {'front': checkpoint.goals['front'].permute(0, 2, 3, 1).numpy()}
    goals = runtime.encode(images)
    for number, episode in enumerate(toy_episodes(3)):
        latents = encode_frames(checkpoint.model, frames, frames.frames_of(np.array([number])))
        live = runtime.encode(episode.images)
        torch.testing.assert_close(latents, live, atol=1e-4, rtol=1e-4)
        expected = -torch.cdist(live, goals).mean(1).numpy()
        np.testing.assert_allclose(runtime.value(live).value, expected, atol=1e-4)
    own = episode_values(checkpoint.model, frames, np.array([1]))[0]
    assert own[-1] == 0
    latents = runtime.encode({'front': toy_episode(5).images['front'][-1:]})
    assert runtime.value(latents, Goal(latents)).value == pytest.approx(0)


def two_views(seed):
    """A toy episode with a copy of its stream in which the dot is hard to see."""
    episode = toy_episode(seed)
    bare = (episode.images['front'] // 2).astype(np.uint8)
    return replace(episode, images={**episode.images, 'bare': bare})


def test_views_are_further_clips_and_videos(tmp_path):
    store = FrameStore.from_episodes([two_views(s) for s in range(12)], ('front', 'bare'), 16)
    config = small_vip(views=('bare', 'front'), tcc_weight=0.5, batch_size=8)
    learner = VipLearner.create(config, store, 0)
    assert learner.streams == ('front', 'bare')
    draw = learner.draw(np.random.default_rng(0), 'training', 40)
    assert len(draw.frames) == len(draw.camera) == len(draw.groups) == 4 * 40 + 4 * 6
    assert set(draw.camera) == {0, 1}
    first, goal, here, following = draw.camera[:160].reshape(4, 40)
    for part in (goal, here, following):
        assert (part == first).all()  # a clip is seen through one camera
    first, goal, here, following = draw.groups[:160].reshape(4, 40)
    for part in (first, here, following):
        assert (part == np.arange(40)).all()  # and with one crop
    other = store.episode_of[draw.frames[40:80]] != store.episode_of[draw.frames[:40]]
    assert other.any()
    assert (goal[other] >= 40).all()
    assert len(np.unique(draw.groups[160:])) == 4
    metrics = train('vip', store, config, tmp_path, steps=2, progress=False)
    assert np.isfinite(metrics['seen_spearman_mean'])
    assert load_value(tmp_path).cameras == ('front',)


def test_the_same_seed_gives_the_same_weights_after_an_interruption(tmp_path, monkeypatch):
    import signal

    from safetensors.torch import load_file

    from vvf_models.training.trainer import LearnerTrainer

    store = toy_store(12)
    config = small_vip(tcc_weight=0.5, negatives=2, ema_decay=0.9, evaluate_every=4)
    train('vip', store, config, tmp_path / 'whole', steps=8, progress=False)
    step = LearnerTrainer.step

    def interrupted(self, number, rate):
        if number == 5:
            signal.raise_signal(signal.SIGINT)
        return step(self, number, rate)

    with monkeypatch.context() as patch:
        patch.setattr(LearnerTrainer, 'step', interrupted)
        train('vip', store, config, tmp_path / 'cut', steps=8, progress=False)
    train('vip', store, config, tmp_path / 'cut', steps=8, progress=False, resume=True)
    whole, cut = (load_file(tmp_path / name / 'model.safetensors') for name in ('whole', 'cut'))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_released_weights_are_a_start_and_no_part_of_the_checkpoint(tmp_path):
    given = resnet(18, 8)
    released = {f'module.convnet.{name}': value for name, value in given.state_dict().items()}
    torch.save({'vip': released}, tmp_path / 'model.pt')
    config = small_vip(
        encoder='resnet18',
        latent_dim=8,
        embedding_dim=0,
        image_size=32,
        encoder_weights=str(tmp_path / 'model.pt'),
    )
    store = FrameStore.from_episodes(toy_episodes(4), ('front',), 32)
    learner = VipLearner.create(config, store, 0)
    assert torch.equal(learner.model.encoder.conv1.weight, given.conv1.weight)
    assert torch.equal(learner.model.encoder.fc.weight, given.fc.weight)
    assert learner.finish(learner.model).encoder_weights == ''
    (tmp_path / 'model.pt').unlink()
    with pytest.raises(UserError, match='does not exist'):
        VipLearner.create(config, store, 0)


def test_what_cannot_be_trained_says_why(tmp_path):
    failures = [e for e in toy_episodes(9) if not e.success]
    with pytest.raises(UserError, match='No episode succeeded'):
        train('vip', failures, small_vip(tcc_weight=1.0), tmp_path, steps=1, progress=False)
    still = Episode(images={'front': np.zeros((1, 32, 32, 3), np.uint8)}, episode_id='still')
    with pytest.raises(UserError, match=r'single frame|still'):
        train('vip', [still], small_vip(), tmp_path, steps=1, progress=False)
    for changes, words in (
        ({'first_frame': 'late'}, '"first_frame" must be one of uniform'),
        ({'tcc_loss': 'mse'}, '"tcc_loss" must be one of'),
        ({'tcc_cycle_length': 5}, 'at most "tcc_videos"'),
        ({'freeze_encoder': True, 'embedding_dim': 0}, 'leaves nothing to train'),
        ({'discount': 1.0}, '"discount"'),
    ):
        with pytest.raises(UserError, match=words):
            small_vip(**changes)


@pytest.mark.parametrize('name', ['vip', 'vip_ego4d', 'vip_object_aware'])
def test_presets_load(name, request):
    path = request.config.rootpath / 'config' / 'models' / f'{name}.yaml'
    entries = yaml.safe_load(path.read_text())
    assert entries.pop('kind') == 'vip'
    config = from_mapping(CONFIGS['vip'], entries, str(path), partial=True)
    assert config.discount == 0.98
    # Negatives of other layouts contradict goals of other layouts.
    assert (config.negatives == 3) == (config.p_task == 0)
