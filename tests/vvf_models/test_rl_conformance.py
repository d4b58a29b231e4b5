# SPDX-License-Identifier: Apache-2.0
"""RLPD's batches and losses, ViVa's reward, RND: as in closed forms and by the authors' rules."""

import numpy as np
import pytest
import torch

from vvf_models.errors import UserError
from vvf_models.policies.cql_networks import tanh_gaussian
from vvf_models.rl.drq import D4pgEncoder, Drq, DrqConfig, random_crop
from vvf_models.rl.replay import OfflineData, Replay
from vvf_models.rl.rlpd import interleave, minibatches, offline_rows, to_tensors
from vvf_models.rl.rnd import Rnd, RndConfig, RunningDeviation
from vvf_models.rl.sac import (
    AgentConfig,
    Draws,
    Sac,
    actor_loss,
    critic_loss,
    critic_target,
    squashed,
    temperature_loss,
)
from vvf_models.rl.shaping import RewardConfig, bonus, learner_reward, rediscounted

SMALL_RND = RndConfig(layers=(64, 64, 64), learning_rate=3e-3)


def generators(*seeds):
    return [np.random.default_rng([seed, 0]) for seed in seeds]


def rows(count, seeds=1, start=0.0):
    rng = np.random.default_rng(int(start) + count)
    return {
        'observation': rng.normal(size=(seeds, count, 3)).astype(np.float32),
        'action': rng.uniform(-1, 1, (seeds, count, 2)).astype(np.float32),
        'reward': (start + np.tile(np.arange(count), (seeds, 1))).astype(np.float32),
        'mask': np.ones((seeds, count), np.float32),
        'next_observation': rng.normal(size=(seeds, count, 3)).astype(np.float32),
    }


def test_at_one_half_offline_rows_are_the_even_ones():
    mixed = interleave(rows(4, start=100), rows(4), 0.5)['reward'][0]
    assert mixed.tolist() == [100, 0, 101, 1, 102, 2, 103, 3]


@pytest.mark.parametrize('ratio', [0.0, 0.25, 0.5, 0.75, 1.0])
def test_every_minibatch_has_the_ratio(ratio):
    chosen = offline_rows(5 * 128, ratio)
    assert chosen.reshape(5, 128).mean(1).tolist() == [ratio] * 5


def test_a_wrong_number_of_offline_rows_is_noticed():
    with pytest.raises(ValueError, match='not a share'):
        interleave(rows(3), rows(5), 0.5)


def test_minibatches_are_consecutive():
    parts = list(minibatches(to_tensors(rows(6)), 3))
    assert [part['reward'][0].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match='cannot be cut'):
        list(minibatches(to_tensors(rows(6)), 4))


def test_the_target_is_the_least_member_with_and_without_entropy():
    reward, mask = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    next_q = torch.tensor([[[3.0, 3.0], [2.0, 5.0]]])
    assert critic_target(reward, mask, next_q, 0.5).tolist() == [[2.0, 1.0]]
    entropy = torch.tensor([[0.5, 0.5]])
    assert critic_target(reward, mask, next_q, 0.5, entropy).tolist() == [[2.25, 1.0]]


def test_losses_in_closed_form():
    q = torch.tensor([[[1.0, 3.0], [2.0, 0.0]]])
    assert critic_loss(q, torch.tensor([[1.0, 1.0]])).tolist() == [(0 + 4 + 1 + 1) / 4]
    log_prob, temperature = torch.tensor([[-1.0, -3.0]]), torch.tensor([0.5])
    # The mean over the ensemble, where PTR's actor takes the least.
    assert actor_loss(q, log_prob, temperature).tolist() == [-0.5 * 2 - 1.5]
    assert temperature_loss(temperature, log_prob, -1.0).tolist() == [0.5 * (2 + 1)]


def test_densities_are_those_of_a_squashed_gaussian():
    generator = torch.Generator().manual_seed(0)
    # Small enough for the reference's inverse of tanh to be exact.
    out = 0.3 * torch.randn((1, 50, 4), generator=generator, dtype=torch.float64)
    noise = 0.3 * torch.randn((1, 50, 2), generator=generator, dtype=torch.float64)
    action, log_prob = squashed(out, noise)
    mean, log_std = out.chunk(2, -1)
    torch.testing.assert_close(log_prob, tanh_gaussian(mean, log_std).log_prob(action))


def test_the_critics_that_were_drawn_make_the_target():
    config = AgentConfig(hidden=(8,), num_qs=4, num_min_qs=2)
    agent = Sac(config, generators(1), 3, 2)
    features, action = torch.ones(1, 5, 3), torch.zeros(1, 5, 2)
    everyone = agent.q(features, action, agent.target)
    some = agent.q(features, action, agent.target, torch.tensor([[3, 1]]))
    torch.testing.assert_close(some, everyone[:, [3, 1]])
    drawn = Draws.make(generators(1), config, 5, 2).members
    assert drawn.shape == (1, 2)
    assert len(set(drawn[0].tolist())) == 2


def test_critics_learn_from_every_minibatch_and_the_actor_from_the_last():
    config = AgentConfig(hidden=(8,), num_qs=3, num_min_qs=1, utd=3)
    batch = to_tensors(rows(12))
    whole, stepped = (Sac(config, generators(1), 3, 2) for _ in range(2))
    whole.update(batch, generators(2))
    rngs = generators(2)
    for part in minibatches(batch, 3):
        draws = Draws.make(rngs, config, 4, 2)
        stepped.update_critic(part, draws)
    stepped.update_actor(part, draws)
    for name, tensor in whole.tensors().items():
        torch.testing.assert_close(tensor, stepped.tensors()[name])
    steps = {name: o.state_dict()['state'][0]['step'] for name, o in whole.optimizers.items()}
    assert steps == {'critic': 3, 'actor': 1, 'temperature': 1}


def test_a_seed_learns_alone_what_it_learns_in_company():
    config = AgentConfig(hidden=(16, 16), num_qs=3, num_min_qs=2, utd=2)
    together, alone = (Sac(config, generators(*seeds), 3, 2) for seeds in ((4, 5, 6), (5,)))
    batch = to_tensors(rows(16, seeds=3))
    for step in range(20):
        rngs = [np.random.default_rng([seed, 2, step]) for seed in (4, 5, 6)]
        together.update(batch, rngs)
        mine = {name: tensor[1:2] for name, tensor in batch.items()}
        alone.update(mine, [np.random.default_rng([5, 2, step])])
    observation = batch['observation'].numpy()
    np.testing.assert_allclose(
        together.act(observation)[1], alone.act(observation[1:2])[0], atol=1e-4
    )


def test_shaped_rewards_are_the_papers_and_the_authors():
    here, there = np.array([-10.0]), np.array([-9.0])
    config = RewardConfig(reward_scale=10.0)
    added = bonus('viva', here, there, config, 0.99, 0.99)
    # The authors' AntMaze: (r + .001 V(s', g)) 10 - 1.
    np.testing.assert_allclose(learner_reward(np.array([1.0]), added, config), 10 - 0.09 - 1)
    shaped = bonus('potential', here, there, config, 0.99, 0.99)
    np.testing.assert_allclose(shaped, 0.1 * (10 - 8.91))
    theirs = RewardConfig(potential_discounted=False)
    np.testing.assert_allclose(bonus('potential', here, there, theirs, 0.99, 0.999), 0.1)
    for kind in ('none', 'rnd'):
        assert bonus(kind, here, there, config, 0.99, 0.99) == 0


def test_a_potential_changes_returns_by_its_ends_alone():
    values, gamma = -np.random.default_rng(0).uniform(0, 9, 9), 0.9
    config = RewardConfig(potential_scale=1.0)
    added = bonus('potential', values[:-1], values[1:], config, gamma, gamma)
    total = (gamma ** np.arange(8) * added).sum()
    np.testing.assert_allclose(total, gamma**8 * values[-1] - values[0])


def value_of(steps, discount):
    return -(1 - discount**steps) / (1 - discount)


@pytest.mark.parametrize('theirs', [0.95, 0.99, 0.999, 1.0])
def test_another_discount_keeps_the_steps(theirs):
    steps = np.array([0.0, 1.0, 10.0, 250.0])
    given = -steps if theirs == 1 else value_of(steps, theirs)
    found = rediscounted(given, theirs, 0.99)
    np.testing.assert_allclose(found, value_of(steps, 0.99), rtol=1e-6)
    # What no number of steps gives is cut off.
    assert rediscounted(np.array([5.0, -1e6]), theirs, 0.99) == pytest.approx([0.0, -100.0])


def test_a_potential_leaves_the_unknown_as_good_as_what_does_not_reach_the_goal():
    config = RewardConfig(reward_scale=10.0)  # the authors' AntMaze; critics begin at 0

    def rewards(steps):
        values = value_of(np.asarray(steps, float), 0.999)
        added = bonus('potential', values[:-1], values[1:], config, 0.99, 0.999)
        return learner_reward(np.zeros(len(added)), added, config)

    # The shortest way costs nothing, standing still does, far and near, and so does any detour.
    np.testing.assert_allclose(rewards(np.arange(400, 0, -1)), 0, atol=1e-9)
    for steps in (5, 250, 900):
        assert rewards([steps, steps]) < 0
        assert rewards([steps, steps + 1]) < rewards([steps, steps])
    walk = 500 + np.cumsum(np.random.default_rng(0).integers(-1, 2, 5000)) % 400
    assert (0.99 ** np.arange(4999) * rewards(walk)).sum() < 0


def test_what_was_seen_is_not_new_any_more():
    rnd = Rnd(generators(0, 1), 3, SMALL_RND)
    states = np.random.default_rng(0).normal(size=(2, 500, 2)).astype(np.float32)
    near = torch.from_numpy(states) - 2
    far, action = near + 8, torch.zeros(2, 500, 1)
    rnd.normalise(torch.cat([near, far], 1), torch.zeros(2, 1000, 1))
    for step in range(500):
        rnd.update(near[:, step : step + 1], action[:, :1])
    seen, new = rnd.bonus(near, action).mean(1), rnd.bonus(far, action).mean(1)
    assert (new > 5 * seen).all()
    # As an error, what was seen is gone; over the deviation of errors something is left of it.
    error = seen * rnd.errors.value[:, 0]
    assert (error < 0.05).all()
    assert (seen > 3 * error).all()
    assert (new > 1).all()


def test_the_deviation_is_that_of_all_numbers_so_far_and_a_zero():
    numbers = torch.from_numpy(np.random.default_rng(0).gamma(2, 3, (2, 60)))
    running = RunningDeviation(2)
    assert running.value.tolist() == [[1.0], [1.0]], 'nothing was seen, nothing is scaled'
    for part in numbers.split(7, 1):
        running.update(part)
    expected = torch.cat([torch.zeros(2, 1), numbers], 1).std(1, correction=0, keepdim=True)
    torch.testing.assert_close(running.value, expected, check_dtype=False)


def test_novelty_does_not_know_units_and_survives_inputs_that_never_change():
    rng = np.random.default_rng(0)
    states = torch.from_numpy(rng.normal(size=(1, 400, 2)).astype(np.float32))
    action = torch.full((1, 400, 1), 1000.1)
    metres, millimetres = (Rnd(generators(0), 3, SMALL_RND) for _ in range(2))
    metres.normalise(states, action)
    millimetres.normalise(1000 * states + 7, action)
    for step in range(50):
        here = states[:, step : step + 1]
        metres.update(here, action[:, :1])
        millimetres.update(1000 * here + 7, action[:, :1])
    ours = metres.bonus(states, action)
    torch.testing.assert_close(
        ours, millimetres.bonus(1000 * states + 7, action), atol=1e-2, rtol=1e-2
    )
    # What was constant in the data moves a little online, which is no great news.
    moved = metres.bonus(states, action + 0.01)
    torch.testing.assert_close(moved, ours, atol=0.3, rtol=0.1)


def test_a_resumed_novelty_is_the_same():
    rnd, other = Rnd(generators(0), 3, SMALL_RND), Rnd(generators(5), 3, SMALL_RND)
    states, action = 5 * torch.randn(1, 40, 2), torch.randn(1, 40, 1)
    rnd.normalise(states, action)
    rnd.update(states, action)
    # Copies, as a file would hold.
    other.load_tensors({name: tensor.clone() for name, tensor in rnd.tensors().items()})
    assert other.normalised
    for subject in (rnd, other):
        subject.update(states + 1, action)
    torch.testing.assert_close(rnd.bonus(states, action), other.bonus(states, action))
    for wrong in ({'layers': ()}, {'layers': (8, 0)}, {'learning_rate': 0.0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            RndConfig(**wrong)


def test_the_oldest_are_forgotten_and_the_rest_is_taken_up_again():
    replay = Replay(2, 5)
    for start in (0, 10, 20):
        replay.insert(rows(2, seeds=2, start=start))
    drawn = replay.sample(generators(0, 1), 200)['reward']
    assert [sorted(set(seed)) for seed in drawn.tolist()] == [[1, 10, 11, 20, 21]] * 2
    other = Replay(2, 5)
    other.load_tensors(replay.tensors())
    for memory in (replay, other):
        memory.insert(rows(1, seeds=2, start=30))
    for name, array in replay.sample(generators(0, 1), 50).items():
        np.testing.assert_array_equal(array, other.sample(generators(0, 1), 50)[name])


def test_offline_data_are_shared_by_seeds_that_draw_their_own():
    data = OfflineData({name: array[0] for name, array in rows(50).items()})
    drawn = data.sample(generators(0, 1), 30)
    assert drawn['observation'].shape == (2, 30, 3)
    assert (drawn['reward'][0] != drawn['reward'][1]).any()


@pytest.mark.parametrize(
    'wrong', [{'num_min_qs': 11}, {'offline_ratio': 1.5}, {'utd': 0}, {'target_rate': 3.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        AgentConfig(**wrong)


@pytest.mark.parametrize(
    'wrong', [{'latent_dim': 0}, {'crop_padding': -1}, {'features': (0,)}, {'utd': 0}]
)
def test_impossible_settings_of_drq_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        DrqConfig(**wrong)


def test_the_image_encoder_has_the_sizes_of_d4pg():
    assert D4pgEncoder(3, (32, 64, 128, 256))(
        torch.zeros(2, 3, 48, 48, dtype=torch.uint8)
    ).shape == (
        2,
        256 * 2 * 2,
    )


def test_crops_move_images_by_at_most_the_padding():
    images = torch.arange(20 * 20, dtype=torch.float32).view(1, 1, 20, 20).expand(300, 1, 20, 20)
    middle = random_crop(images, 4, np.random.default_rng(0))[:, 0, 10, 10].long()
    rows_, columns = middle // 20 - 10, middle % 20 - 10
    for moved in (rows_, columns):
        assert sorted(set(moved.tolist())) == list(range(-4, 5))


def test_the_actor_looks_through_the_critics_encoder_and_does_not_change_it():
    agent = Drq(DrqConfig(hidden=(8,), num_qs=2, features=(4, 4)), generators(0), (3, 16, 16), 2)
    rng = np.random.default_rng(0)
    batch = to_tensors(rows(6))
    for name in ('observation', 'next_observation'):
        batch[name] = torch.from_numpy(rng.integers(0, 255, (1, 6, 3, 16, 16), np.uint8))
    draws = Draws.make(generators(0), agent.config, 6, 2)
    before = {name: tensor.clone() for name, tensor in agent.tensors().items()}
    agent.update_actor(batch, draws)
    after = agent.tensors()
    same = [n for n in before if n.startswith('critic.')]
    assert any('encoder' in name for name in same)
    for name in same:
        assert torch.equal(before[name], after[name]), name
    assert not any(name.startswith('actor.encoder') for name in after)
    changed = [n for n in before if n.startswith('actor.') and not torch.equal(before[n], after[n])]
    assert changed
    agent.update_critic(batch, draws)
    assert not torch.equal(
        agent.tensors()['critic.encoder.0.weight'], before['critic.encoder.0.weight']
    )
    with pytest.raises(ValueError, match='one seed'):
        Drq(DrqConfig(), generators(0, 1), (3, 16, 16), 2)
