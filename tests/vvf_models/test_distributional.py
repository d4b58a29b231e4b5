# SPDX-License-Identifier: Apache-2.0
"""Distributional values: targets and bins against hand-worked numbers, learning, round trip."""

import json
import logging
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.vvf_models.toy import SIZE, small_distributional, toy_episode, toy_episodes, toy_store
from vvf_models.data.frames import UNKNOWN, FrameStore
from vvf_models.errors import UserError
from vvf_models.evaluation.scoring import episode_values
from vvf_models.evaluation.value_metrics import auc
from vvf_models.runtime import load_value
from vvf_models.training import train
from vvf_models.training.distributional import DistributionalLearner
from vvf_models.values.base import Goal
from vvf_models.values.distributional import (
    DistributionalValue,
    distributional_loss,
    mean_and_deviation,
    two_hot,
)
from vvf_models.values.returns import is_known_wrong, normalised_return, steps_left


def test_targets_are_those_of_evo_rl():
    left = steps_left(100)
    success = normalised_return(left, False, 100)
    failure = normalised_return(left, True, 100)
    np.testing.assert_allclose(success[[0, -1]], [-99 / 200, 0])
    np.testing.assert_allclose(failure[[0, -1]], [-199 / 200, -0.5])
    assert success.min() >= -0.5 >= failure.max()
    half = normalised_return(left, True, 100, c_fail_coef=0.5)
    np.testing.assert_allclose(half[[0, -1]], [-149 / 150, -50 / 150], rtol=1e-6)
    # An episode that is longer than any in training goes no further down.
    assert normalised_return(steps_left(300), True, 100)[0] == -1


def test_frames_after_the_success_have_no_step_left():
    assert steps_left(6, 3).tolist() == [3, 2, 1, 0, 0, 0]
    assert steps_left(6, 0).tolist() == [0] * 6
    assert steps_left(4).tolist() == [3, 2, 1, 0]


def test_two_hot_keeps_the_mean():
    rows = two_hot(torch.tensor([-0.4975, -0.5, 0.0, -1.0, -1.5, 0.2]), 201)
    assert rows[0].nonzero().flatten().tolist() == [100, 101]
    torch.testing.assert_close(rows[0, [100, 101]], torch.tensor([0.5, 0.5]))
    for row, at in zip(rows[1:], (100, 200, 0, 0, 200), strict=True):
        assert float(row[at]) == pytest.approx(1)
    values = -torch.rand(1000, generator=torch.Generator().manual_seed(0))
    rows = two_hot(values, 201)
    torch.testing.assert_close(rows.sum(1), torch.ones(1000))
    torch.testing.assert_close(rows @ torch.linspace(-1, 0, 201), values)
    assert ((rows > 0).sum(1) <= 2).all()


def test_the_loss_is_the_cross_entropy_and_least_at_the_target():
    target = torch.tensor([-0.4975, -0.25])
    flat, info = distributional_loss(torch.zeros(2, 201), target)
    assert float(flat) == pytest.approx(math.log(201))
    assert float(info['absolute_error']) == pytest.approx((0.0025 + 0.25) / 2)
    exact, info = distributional_loss((two_hot(target, 201) + 1e-9).log(), target)
    assert float(exact) == pytest.approx(math.log(2) / 2, abs=1e-4)  # the entropy of the target
    assert float(info['near_accuracy']) == 1
    logits = torch.full((1, 201), -9.0)
    logits[0, 153] = 9.0  # three bins above that of -.25
    _, info = distributional_loss(logits, torch.tensor([-0.25]))
    assert (float(info['accuracy']), float(info['near_accuracy'])) == (0, 1)


def test_mean_and_deviation_of_two_bins():
    logits = torch.full((1, 201), -50.0)
    logits[0, [100, 200]] = 0.0
    mean, deviation = mean_and_deviation(logits)
    assert float(mean) == pytest.approx(-0.25)
    assert float(deviation) == pytest.approx(0.25)


def test_only_another_target_is_known_to_be_wrong():
    carrot = 'put the carrot into the bowl'
    assert is_known_wrong(carrot, 'put the banana into the bowl')
    assert is_known_wrong(carrot, 'Pick up the banana and place it in the bowl')
    for other in (carrot, 'place the carrot in the white bowl', 'tidy up', '', 'open the drawer'):
        assert not is_known_wrong(carrot, other), other


def test_progress_and_unit_follow_the_longest_episode():
    config = small_distributional(tasks=('a', 'b'), task_lengths=(20, 50), c_fail_coef=1.0)
    model = DistributionalValue(config)
    assert model.step_cost_of('a') == pytest.approx(1 / 40)
    assert model.step_cost_of('b') == model.step_cost == pytest.approx(1 / 100)
    assert model.failure_value == -0.5
    progress = model.progress(torch.tensor([0.0, -0.25, -0.5, -0.9]))
    assert progress.tolist() == [1.0, 0.5, 0.0, 0.0]
    with pytest.raises(UserError, match='task_lengths'):
        small_distributional(tasks=('a', 'b'), task_lengths=(20,))


def coloured_episode(seed):
    """A red and a blue dot; the one that the instruction names travels to the disc, or half-way."""
    rng = np.random.default_rng(seed)
    episode = toy_episode(seed)
    red = bool(rng.integers(2))
    count = len(episode)
    starts = rng.uniform((0.1, 0.1), (0.35, 0.45), (2, 2))
    starts[1, 1] += 0.45
    goal = rng.uniform((0.7, 0.3), (0.9, 0.7))
    part = np.minimum(np.arange(count) / (count - 3), 1.0 if episode.success else 0.4)
    frames = np.full((count, 32, 32, 3), 90, np.uint8)
    for frame, fraction in zip(frames, part, strict=True):
        cv2.circle(frame, [int(v * 32) for v in goal], 5, (255, 255, 255), -1)
        for number, colour in enumerate(((255, 0, 0), (0, 0, 255))):
            moves = fraction * (number == int(not red))
            at = starts[number] + (goal - starts[number]) * moves
            cv2.circle(frame, [int(v * 32) for v in at], 3, colour, -1)
    name = 'red' if red else 'blue'
    return replace(
        episode, images={'front': frames}, instruction=f'put the {name} dot into the disc'
    )


def coloured_store(count):
    episodes = [coloured_episode(seed) for seed in range(count)]
    return FrameStore.from_episodes(episodes, ('front',), SIZE)


def learner_of(store, **changes):
    return DistributionalLearner.create(small_distributional(**changes), store, 0)


def test_draws_give_each_frame_its_own_return_and_instruction():
    store = coloured_store(20)
    learner = learner_of(store, wrong_instruction_share=0.0)
    draw = learner.draw(np.random.default_rng(0), 'training', 200)
    assert set(store.episode_of[draw.frames]) <= set(learner.train_episodes)
    names = sorted(set(store.instructions))
    for frame, target, text in zip(
        draw.frames, draw.data['target'], draw.data['instruction'], strict=True
    ):
        episode = store.episode_of[frame]
        assert names[text] == store.instructions[episode]
        longest = learner.config.longest(store.instructions[episode])
        index = store.success_index[episode]
        last = index if index >= 0 else store.lengths[episode] - 1
        steps = max(0, last - (frame - store.starts[episode]))
        steps += longest * (store.outcome[episode] < 0)
        assert float(target) == pytest.approx(-steps / (2 * longest), abs=1e-6)


def test_only_successes_are_shown_with_a_wrong_instruction_and_as_failures():
    store = coloured_store(20)
    learner = learner_of(store, wrong_instruction_share=0.5)
    draw = learner.draw(np.random.default_rng(0), 'training', 2000)
    names = sorted(set(store.instructions))
    episodes = store.episode_of[draw.frames]
    own = np.array([names.index(store.instructions[e]) for e in episodes])
    wrong = draw.data['instruction'].numpy() != own
    success = store.outcome[episodes] > 0
    assert not wrong[~success].any()
    assert wrong[success].mean() == pytest.approx(0.5, abs=0.05)
    assert (draw.data['target'][torch.from_numpy(wrong)] <= -0.5).all()
    assert not learner.notes
    alone = learner_of(toy_store(8), wrong_instruction_share=0.5)
    assert 'No two instructions' in alone.notes[0]


def test_unlabelled_episodes_are_left_out_and_named():
    episodes = toy_episodes(12)
    for number in (3, 7):
        episodes[number] = replace(episodes[number], success=None, success_index=-1)
    store = FrameStore.from_episodes(episodes, ('front',), SIZE)
    learner = learner_of(store)
    used = np.concatenate([learner.train_episodes, learner.held_out_episodes])
    assert sorted(used) == [e for e in range(12) if e not in (3, 7)]
    for split in ('training', 'held_out'):
        draw = learner.draw(np.random.default_rng(0), split, 300)
        assert (store.outcome[store.episode_of[draw.frames]] != UNKNOWN).all()
    assert learner.notes[0] == '2 episodes without a label are left out: toy_3, toy_7'
    nobody = [replace(e, success=None, success_index=-1) for e in episodes]
    with pytest.raises(UserError, match='No episode says whether it succeeded'):
        learner_of(FrameStore.from_episodes(nobody, ('front',), SIZE))


def test_data_without_failures_are_pointed_out(tmp_path, caplog):
    episodes = [toy_episode(seed, success=True) for seed in range(8)]
    store = FrameStore.from_episodes(episodes, ('front',), SIZE)
    config = small_distributional()
    with caplog.at_level(logging.WARNING):
        train('distributional', store, config, tmp_path, steps=2, progress=False)
    assert 'No episode failed' in caplog.text
    assert '- No episode failed' in (tmp_path / 'card.md').read_text()


def test_lengths_are_per_task_or_one_for_all():
    episodes = toy_episodes(12)
    for number, episode in enumerate(episodes):
        episode.instruction = 'even' if number % 2 == 0 else 'odd'
    store = FrameStore.from_episodes(episodes, ('front',), SIZE)
    learner = learner_of(store)
    chosen = learner.train_episodes
    for parity, task in enumerate(('even', 'odd')):
        assert learner.config.tasks[parity] == task
        longest = store.lengths[chosen[chosen % 2 == parity]].max()
        assert learner.config.longest(task) == longest
    one = learner_of(store, per_task=False)
    assert one.config.tasks == ()
    assert one.config.task_lengths == (store.lengths[chosen].max(),)
    assert one.config.longest('even') == one.config.longest('anything')


def test_fine_tuning_keeps_the_unit_of_tasks_that_are_known():
    def store_of(tasks, count):
        episodes = toy_episodes(count)
        for number, episode in enumerate(episodes):
            episode.instruction = tasks[number % len(tasks)]
        return FrameStore.from_episodes(episodes, ('front',), SIZE)

    for per_task in (True, False):
        earlier = learner_of(store_of(['old'], 12), per_task=per_task).config
        known = replace(earlier, task_lengths=(500,))
        config = small_distributional(per_task=per_task)
        config = DistributionalLearner.continued(config, known)
        learner = DistributionalLearner.create(config, store_of(['old', 'new'], 12), 0)
        assert learner.config.longest('old') == 500
        assert (learner.config.longest('new') == 500) != per_task
        assert learner.longest.tolist() == [learner.config.longest(t) for t in ('new', 'old')]
    # Of another kind of length nothing is taken over.
    assert DistributionalLearner.continued(small_distributional(), known).task_lengths == ()


def test_it_learns_time_outcome_and_instruction(tmp_path):
    config = small_distributional(
        learning_rate=2e-3, batch_size=64, evaluate_every=50, hidden=128, latent_dim=64, width=16
    )
    store = coloured_store(80)
    metrics = train('distributional', store, config, tmp_path, steps=200, progress=False)
    assert metrics['held_out_spearman_mean'] > 0.85
    assert metrics['held_out_auc_end'] > 0.9
    assert metrics['held_out_loss'] < 3.0  # of log(201) = 5.3 for a flat distribution
    assert metrics['held_out_near_accuracy'] > 0.2
    assert {'seen_loss', 'seen_accuracy', 'held_out_accuracy'} <= set(metrics)
    runtime = load_value(tmp_path)
    fresh = [coloured_episode(seed) for seed in range(200, 230)]
    ends: dict[bool, list[float]] = {True: [], False: []}
    for episode in (e for e in fresh if e.success):
        latents = runtime.encode({'front': episode.images['front'][-1:]}, episode.state[-1:])
        for right in ends:
            red = ('red' in episode.instruction) == right
            runtime.set_instruction(f'put the {"red" if red else "blue"} dot into the disc')
            ends[right].append(float(runtime.value(latents).value[0]))
    assert auc(ends[True], ends[False]) > 0.9


def test_a_checkpoint_gives_the_same_values_without_the_sentence_encoder(tmp_path):
    store = coloured_store(12)
    config = small_distributional()
    train('distributional', store, config, tmp_path, steps=12, progress=False, seed=3)
    weights = load_file(tmp_path / 'model.safetensors')
    assert sum(w.numel() for w in weights.values()) < 100_000
    runtime = load_value(tmp_path)
    assert (runtime.kind, runtime.gamma, runtime.reads_text) == ('distributional', 1.0, True)
    assert not runtime.takes_goal
    episode = coloured_episode(0)
    latents = runtime.encode(episode.images, episode.state)
    assert not runtime.ready
    with pytest.raises(ValueError, match='set_instruction'):
        runtime.value(latents)
    runtime.set_instruction(episode.instruction)
    assert runtime.ready
    found = runtime.value(latents)
    assert ((found.value >= -1) & (found.value <= 0)).all()
    assert ((found.progress >= 0) & (found.progress <= 1)).all()
    assert (found.uncertainty > 0).all()
    lengths = dict(zip(runtime.model.config.tasks, runtime.model.config.task_lengths, strict=True))
    assert runtime.step_cost == pytest.approx(1 / (2 * lengths[episode.instruction]))
    assert runtime.failure_value == -0.5
    ours = episode_values(runtime.model, store, np.array([0]))[0]
    np.testing.assert_allclose(found.value, ours, atol=1e-5)
    text = runtime.model.embed([episode.instruction])[0]
    given = runtime.value(latents, Goal(text=text))
    np.testing.assert_array_equal(given.value, found.value)


@pytest.mark.parametrize('fusion', ['film', 'concat'])
def test_the_text_reaches_the_logits(fusion):
    torch.manual_seed(0)
    model = DistributionalValue(small_distributional(fusion=fusion, dropout=0.0))
    texts = model.embed(['put the red dot into the disc', 'put the blue dot into the disc'])
    latents = torch.randn(1, model.latent_size).expand(2, -1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    target = torch.tensor([-0.1, -0.9])
    for _ in range(60):
        loss, _ = distributional_loss(model.logits(latents, texts), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values = mean_and_deviation(model.logits(latents, texts))[0]
    torch.testing.assert_close(values, target, atol=0.1, rtol=0)


def test_the_metrics_are_those_of_the_weights_that_are_kept(tmp_path, monkeypatch):
    scores = iter(range(0, -100, -1))  # the first evaluation is the best
    monkeypatch.setattr(DistributionalLearner, 'score', lambda self, metrics: next(scores))
    metrics = train(
        'distributional', toy_store(12), small_distributional(), tmp_path, steps=30, progress=False
    )
    lines = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    assert len(lines) == 3
    for name in ('held_out_loss', 'seen_loss', 'held_out_spearman_mean'):
        assert metrics[name] == pytest.approx(lines[0][name], abs=1e-6)
        assert metrics[name] != pytest.approx(lines[-1][name], abs=1e-6)
