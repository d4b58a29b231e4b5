# SPDX-License-Identifier: Apache-2.0
"""RECAP's policy: closed forms, guidance, indicators, and that it learns what is asked of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import STATE_DIM, small_icvf, toy_episodes, toy_store
from vvf_models.checkpoints import load_checkpoint, save_checkpoint
from vvf_models.errors import UserError
from vvf_models.policies.flow import draw_time, flow_loss, guided, integrate, interpolate
from vvf_models.policies.recap import DROPPED, NEGATIVE, POSITIVE, RecapConfig, RecapPolicy
from vvf_models.runtime import load_policy, load_value
from vvf_models.training import train
from vvf_models.training.indicators import REST_OF_EPISODE, indicate, store_advantages
from vvf_models.training.recap import RecapLearner, usable_frames
from vvf_models.training.trainer import LearnerTrainer


def small(**changes):
    own = {
        'cameras': ('front',),
        'image_size': 16,
        'state_dim': STATE_DIM,
        'width': 8,
        'hidden': (32, 32),
        'batch_size': 16,
        'held_out_fraction': 0.25,
        'evaluate_every': 10,
        'warmup_steps': 5,
        'shift': 1,
        'bfloat16': False,
        'flow_steps': 5,
    }
    return RecapConfig(**{**own, **changes})


def told(store, value=1):
    return replace(store, improving=np.full(store.n_frames, value, np.int8))


def test_the_velocity_is_constant_along_a_path_and_leads_to_the_chunk():
    generator = torch.Generator().manual_seed(0)
    noise, chunk = (torch.randn(3, 4, 2, generator=generator) for _ in range(2))
    early, late = torch.tensor([0.0, 0.2, 0.5]), torch.tensor([0.5, 0.7, 1.0])
    moved = interpolate(noise, chunk, late) - interpolate(noise, chunk, early)
    torch.testing.assert_close(moved / (late - early)[:, None, None], chunk - noise)
    assert flow_loss(chunk - noise, noise, chunk) == 0
    assert flow_loss(chunk - noise + 2, noise, chunk) == pytest.approx(4)
    reached = integrate(lambda x, t: chunk - noise, noise, steps=7)
    torch.testing.assert_close(reached, chunk)


def test_times_are_the_papers_beta_turned_round():
    time = draw_time(200_000, torch.Generator().manual_seed(0)).double()
    assert 0 <= time.min() <= time.max() < 1
    # 1 - Beta(1.5, 1) has mean .4 and variance 12 / 175.
    assert time.mean().item() == pytest.approx(0.999 * 0.4, abs=2e-3)
    assert time.var().item() == pytest.approx(0.999**2 * 12 / 175, abs=2e-3)


def test_guidance_of_one_is_the_plain_conditional():
    torch.manual_seed(0)
    policy = RecapPolicy(small(state_dim=0)).eval()
    context, noise = torch.randn(2, policy.norm.normalized_shape[0]), torch.randn(2, 6, 7)
    plain = policy.sample(context, noise, indicator=POSITIVE, guidance=1.0)
    once = torch.full((2,), POSITIVE)
    by_hand = integrate(
        lambda x, t: policy.velocity(context, x, t, once), noise, policy.config.flow_steps
    )
    torch.testing.assert_close(plain, by_hand)
    beyond = policy.sample(context, noise, indicator=POSITIVE, guidance=2.0)
    assert (beyond - plain).abs().max() > 1e-4
    without = policy.sample(context, noise, indicator=POSITIVE, guidance=0.0)
    dropped = policy.sample(context, noise, indicator=DROPPED)
    torch.testing.assert_close(without, dropped)
    assert guided(torch.tensor(3.0), torch.tensor(1.0), 1.0) == 3.0


def test_steps_that_do_not_count_change_nothing():
    velocity, noise, chunk = torch.randn(3, 4, 2, 6, 7)
    counted = torch.tensor([[True] * 2 + [False] * 4, [False] * 6])
    loss = flow_loss(velocity, noise, chunk, counted)
    first = [part[:, 0, :2] for part in (velocity, noise, chunk)]
    torch.testing.assert_close(loss, flow_loss(*first))
    velocity[:, 0, 2:] += 100
    velocity[:, 1] += 100
    torch.testing.assert_close(flow_loss(velocity, noise, chunk, counted), loss)
    assert flow_loss(velocity, noise, chunk, torch.zeros(2, 6)) == 0


def test_without_temperature_all_noise_is_the_same():
    torch.manual_seed(0)
    policy = RecapPolicy(small(state_dim=0)).eval()
    context = torch.randn(1, policy.norm.normalized_shape[0]).expand(2, -1)
    noise = torch.randn(2, 6, 7)
    one, other = policy.sample(context, noise, temperature=0.0)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(
        policy.sample(context, noise, temperature=0.5), policy.sample(context, noise / 2)
    )


def test_asking_for_better_actions_gives_them():
    """Two chunks for one sight: a mean of them is neither, and the indicator chooses."""
    torch.manual_seed(0)
    config = small(state_dim=0, action_dim=2, action_scale=(1.0,), horizon=1, hidden=(64, 64))
    policy = RecapPolicy(config)
    images = [torch.zeros(64, 3, 16, 16)]
    task = torch.ones(64, 1)
    optimiser = torch.optim.Adam(policy.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(500):
        indicator = torch.randint(0, 2, (64,), generator=generator)
        target = torch.where(indicator == POSITIVE, 0.8, -0.8)[:, None, None].expand(-1, 1, 2)
        seen = torch.where(torch.rand(64, generator=generator) < 0.5, DROPPED, indicator)
        noise = torch.randn(64, 1, 2, generator=generator)
        time = draw_time(64, generator)
        context = policy.context(images, None, task)
        found = policy.velocity(context, interpolate(noise, target, time), time, seen)
        optimiser.zero_grad()
        flow_loss(found, noise, target).backward()
        optimiser.step()
    with torch.no_grad():
        context = policy.context(images, None, task)
        noise = torch.randn(64, 1, 2, generator=generator)
        chosen = {i: policy.sample(context, noise, indicator=i) for i in (0, 1, 2)}
    assert (chosen[POSITIVE] - 0.8).abs().mean() < 0.15
    assert (chosen[NEGATIVE] + 0.8).abs().mean() < 0.15
    either = chosen[DROPPED].mean(-1)
    assert 0.2 < (either > 0).float().mean() < 0.8, 'both are drawn'
    assert either.abs().mean() > 0.5, 'and not their mean'


def test_the_share_of_positives_is_the_one_asked_for():
    store = toy_store(12)
    rng = np.random.default_rng(0)
    advantages = rng.normal(size=store.n_frames)
    found = indicate(advantages, store, 0.3)
    assert found.share == pytest.approx(0.3, abs=0.02)
    assert found.share_strict <= found.share
    judged = ~store.done
    assert found.improving[judged].mean() == pytest.approx(0.3, abs=0.04)


def test_ties_make_at_least_and_above_differ():
    store = toy_store(6)
    advantages = np.where(np.arange(store.n_frames) % 2, 1.0, 0.0)
    found = indicate(advantages, store, 0.3)
    assert found.share > 0.4
    assert found.share_strict == 0.0


def test_every_task_has_its_own_threshold():
    episodes = [
        replace(e, instruction='easy' if n % 2 else 'hard') for n, e in enumerate(toy_episodes(12))
    ]
    store = type(toy_store(1)).from_episodes(episodes, ('front',), 16)
    easy = np.array([i == 'easy' for i in store.instructions])[store.episode_of]
    advantages = np.random.default_rng(0).normal(size=store.n_frames) + 10 * easy
    found = indicate(advantages, store, 0.3)
    assert found.thresholds['easy'] > 5 > found.thresholds['hard']
    assert found.improving[easy].mean() == pytest.approx(found.improving[~easy].mean(), abs=0.1)


def test_humans_and_demonstrations_are_positive_whatever_their_advantage():
    store = toy_store(6)
    store.interventions[store.starts[2] + 1] = True
    shown = np.arange(store.n_episodes) == 4
    found = indicate(np.full(store.n_frames, -1.0) - np.arange(store.n_frames), store, 0.3, shown)
    assert found.improving[store.starts[2] + 1] == 1
    assert found.improving[store.frames_of(np.array([4]))].all()
    assert found.forced == 1 + store.lengths[4]
    with pytest.raises(UserError, match='share of positives'):
        indicate(np.zeros(store.n_frames), store, 1.0)


def test_thresholds_are_of_what_the_policy_did_alone():
    store = toy_store(6)
    advantages = np.random.default_rng(0).normal(size=store.n_frames)
    plain = indicate(advantages, store, 0.4)
    # Somebody took over in every episode, and did far better than the policy.
    store.interventions[store.starts + 2] = store.interventions[store.starts + 3] = True
    helped = indicate(advantages + 100 * store.interventions, store, 0.4)
    alone = helped.judged
    assert not alone[store.interventions].any()
    assert helped.improving[store.interventions].all()
    assert helped.improving[alone].mean() == pytest.approx(0.4, abs=0.02)
    (name,) = helped.thresholds
    assert helped.thresholds[name] == np.quantile(advantages[alone], 0.6)
    assert (plain.judged & ~store.interventions == alone).all()


def test_every_iteration_has_its_own_share_of_positives():
    store = toy_store(12)
    batch = np.repeat(['iteration 1', 'iteration 2', 'demonstrations'], 4)
    later = (batch == 'iteration 2')[store.episode_of]
    advantages = np.random.default_rng(0).normal(size=store.n_frames) + 10 * later
    shown = batch == 'demonstrations'
    found = indicate(advantages, store, 0.4, shown, list(batch))
    for part in (later, (batch == 'iteration 1')[store.episode_of]):
        assert found.improving[part & found.judged].mean() == pytest.approx(0.4, abs=0.03)
    assert [name.split(', ')[-1] for name in found.thresholds] == ['iteration 1', 'iteration 2']
    assert np.isnan(found.limits).tolist() == shown.tolist()
    # All in one, the first iteration had none.
    pooled = indicate(advantages, store, 0.4, shown)
    assert not pooled.improving[~later & pooled.judged].any()
    # A single batch is the task's.
    one = indicate(advantages, store, 0.4, None, ['iteration 2'] * 12)
    assert set(one.thresholds) == set(store.instructions)


def test_a_value_model_judges_every_frame(tmp_path):
    train('icvf', toy_store(12), small_icvf(), tmp_path / 'value', steps=10, progress=False)
    runtime = load_value(tmp_path / 'value', 1, 'torch')
    store = toy_store(12)
    advantages = store_advantages(runtime, store, 3, open_failures=False)
    assert advantages.shape == (store.n_frames,)
    assert np.isfinite(advantages).all()
    # From the frame that ends a success, nothing is lost any more: -V, whatever N is.
    last = store.done & ~np.roll(store.done, 1)
    rest = store_advantages(runtime, store, REST_OF_EPISODE, open_failures=False)
    np.testing.assert_allclose(rest[last], advantages[last])
    # The end of a failure that a time limit cut off is judged as the last whole window is.
    opened = store_advantages(runtime, store, 3, open_failures=True)
    failed = np.flatnonzero(store.outcome == -1)[0]
    own = slice(store.starts[failed], store.starts[failed] + store.lengths[failed])
    assert len(set(opened[own][-4:])) == 1
    np.testing.assert_allclose(opened[own][:-4], advantages[own][:-4])
    well = (store.outcome == 1)[store.episode_of]
    np.testing.assert_array_equal(opened[well], advantages[well])
    # What a human brings about is not the policy's: windows end where one takes over.
    watched = toy_store(12)
    taken, given = own.start + 5, own.start + 7
    watched.interventions[taken:given] = True
    for open_failures, before in ((False, advantages), (True, opened)):
        seen = store_advantages(runtime, watched, 3, open_failures=open_failures)
        np.testing.assert_allclose(seen[taken - 3 : taken], before[taken - 3])
        rest = np.ones(store.n_frames, bool)
        rest[taken - 3 : taken] = False
        np.testing.assert_allclose(seen[rest], before[rest])
    np.testing.assert_allclose(
        store_advantages(runtime, watched, REST_OF_EPISODE, open_failures=True),
        store_advantages(runtime, store, REST_OF_EPISODE, open_failures=True),
    )
    other = replace(store, images={'top': store.images['front']})
    with pytest.raises(UserError, match='looks through front'):
        store_advantages(runtime, other, 3, open_failures=True)


def test_training_acts_and_resumes_and_says_what_it_learned_from(tmp_path):
    store = toy_store(12)
    how = {'steps': 6, 'progress': False, 'indicator': lambda s: told(s).improving}
    metrics = train('recap', store, small(), tmp_path / 'policy', **how)
    assert metrics['held_out_loss'] > 0
    assert '100.0% of the actions' in (tmp_path / 'policy' / 'card.md').read_text()
    policy = load_policy(tmp_path / 'policy')
    image = np.zeros((40, 40, 3), np.uint8)
    chunk = policy.act({'front': image}, np.zeros(STATE_DIM, np.float32))
    assert chunk.shape == (6, 7)
    assert np.isfinite(chunk).all()
    again = load_policy(tmp_path / 'policy')
    same = again.act({'front': image}, np.zeros(STATE_DIM, np.float32))
    np.testing.assert_array_equal(chunk, same)


def test_an_indicator_that_nobody_gave_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match='give a value model with --value'):
        train('recap', toy_store(6), small(), tmp_path, steps=1, progress=False)
    train('recap', toy_store(6), small(indicator_dropout=1.0), tmp_path, steps=1, progress=False)


@pytest.mark.parametrize('untold', [{'indicator_dropout': 1.0}, {'learn_from': 'positive'}])
def test_a_policy_without_an_indicator_says_so_instead_of_ignoring_it(tmp_path, untold):
    config = small(**untold, guidance=1.5, tasks=('fold',))
    save_checkpoint(tmp_path, 'recap', config, RecapPolicy(config).state_dict(), 'card')
    policy = load_policy(tmp_path)
    for asked in ({'indicator': 'negative'}, {'indicator': 'none'}, {'guidance': 2.0}):
        with pytest.raises(UserError, match='was trained without an indicator'):
            policy.ask_for(**asked)
    policy.ask_for(indicator='positive', guidance=1.0, temperature=0.5, goes_on=True)
    assert policy.temperature == 0.5
    policy.ask_for()


@pytest.mark.parametrize('name', ['guidance', 'temperature'])
@pytest.mark.parametrize('number', [-0.1, math.inf, math.nan])
def test_what_is_no_amount_is_one_sentence(tmp_path, name, number):
    config = small(tasks=('fold',))
    save_checkpoint(tmp_path, 'recap', config, RecapPolicy(config).state_dict(), 'card')
    policy = load_policy(tmp_path)
    with pytest.raises(UserError, match=f'{name} is {number:g}: use'):
        policy.ask_for(**{name: number})
    policy.ask_for(**{name: 0.0})
    assert getattr(policy, name) == 0


def test_filtered_cloning_learns_from_what_is_left():
    store = told(toy_store(9), 0)
    first = store.starts[store.split(small().held_out_fraction, 0)[0][0]]
    positive = np.arange(first, first + 5)
    store.improving[positive] = 1
    everything = np.arange(store.n_episodes)
    found = usable_frames(store, small(learn_from='positive'), everything)
    assert list(found) == list(positive)
    successes = usable_frames(store, small(learn_from='successes'), everything)
    assert set(store.outcome[store.episode_of[successes]]) == {1}
    learner = RecapLearner.create(small(learn_from='successes'), store, 0)
    assert learner.config.is_told
    assert not RecapLearner.create(small(learn_from='positive'), store, 0).config.is_told
    # Where nobody said which actions improve, there is nothing to be told.
    learner = RecapLearner.create(small(learn_from='successes'), toy_store(9), 0)
    assert not learner.config.is_told
    draw = learner.draw(np.random.default_rng(0), 'training', 8)
    assert (draw.data['indicator'] == DROPPED).all()
    failing = replace(store, outcome=np.where(everything == learner.train_episodes[0], 1, -1))
    alone = RecapLearner.create(small(learn_from='successes'), failing, 0)
    assert list(alone.held_out_episodes) == [], 'no failure is held out to judge cloning by'


def test_frames_of_which_nobody_said_have_no_indicator():
    store = told(toy_store(9), -1)
    first = store.frames_of(np.array([0]))
    store.improving[first] = 1
    learner = RecapLearner.create(small(held_out_fraction=0.0), store, 0)
    assert 'nobody said' in learner.notes[1]
    draw = learner.draw(np.random.default_rng(0), 'training', 64)
    known = np.isin(draw.frames, first)
    assert (draw.data['indicator'][~known] == DROPPED).all()
    assert (draw.data['indicator'][known] == POSITIVE).any()
    assert not (draw.data['indicator'] == NEGATIVE).any()


def test_each_observation_is_trained_at_several_times():
    learner = RecapLearner.create(small(flow_draws=3), told(toy_store(6)), 0)
    draw = learner.draw(np.random.default_rng(0), 'training', 5)
    assert draw.data['indicator'].shape == (5, 3)
    context, chunk = torch.randn(5, learner.model.norm.normalized_shape[0]), torch.randn(3, 5, 6, 7)
    time, told_of = torch.rand(3, 5), draw.data['indicator'].T
    together = learner.model.velocity(context, chunk, time, told_of)
    draws = zip(chunk, time, told_of, strict=True)
    apart = [learner.model.velocity(context, *each) for each in draws]
    torch.testing.assert_close(together, torch.stack(apart))


def test_the_last_weights_are_kept_whatever_the_loss():
    trainer = LearnerTrainer(RecapLearner.create(small(), told(toy_store(6)), 0))
    trainer.evaluate()
    weights = trainer.learner.judged.velocity_head.weight
    with torch.no_grad():
        weights += 10
    trainer.evaluate()
    assert torch.equal(trainer.best.velocity_head.weight, weights)
    assert not trainer.exhausted


def test_fine_tuning_keeps_its_tasks_and_a_new_one_begins_as_their_mean(tmp_path):
    prior = [replace(e, instruction='z' if n % 2 else 'b') for n, e in enumerate(toy_episodes(12))]
    config = small(task_slots=3, held_out_fraction=0.0, indicator_dropout=1.0)
    how = {'steps': 2, 'progress': False}
    train('recap', prior, config, tmp_path / 'before', **how)
    how |= {'init': tmp_path / 'before'}
    still = replace(config, learning_rate=1e-12)
    train('recap', prior, still, tmp_path / 'same', **how)
    before, same = (load_checkpoint(tmp_path / name).model for name in ('before', 'same'))
    for mine, theirs in zip(before.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    train('recap', toy_episodes(3), still, tmp_path / 'new', **how)
    model = load_checkpoint(tmp_path / 'new').model
    assert model.config.tasks[:2] == ('b', 'z')
    assert len(model.config.tasks) == 3
    for layer in model.flow.layers:
        places = layer.weight[:, model.flow.context - 3 : model.flow.context]
        assert not torch.equal(places[:, 0], places[:, 1])
        torch.testing.assert_close(places[:, 2], places[:, :2].mean(1))
