# SPDX-License-Identifier: Apache-2.0
"""Values that follow from the equations of the paper and the authors' code."""

import copy

import numpy as np
import pytest
import torch

from tests.vvf_models.toy import small_icvf
from vvf_models.data.frames import SUCCESS, FrameStore
from vvf_models.errors import UserError
from vvf_models.values.goal_sampling import GoalProbabilities, GoalSampler
from vvf_models.values.icvf import (
    HEADS,
    Icvf,
    IcvfConfig,
    MultilinearHead,
    expectile_weight,
    icvf_loss,
    make_target,
    progress_from_value,
    rewards_and_discounts,
    steps_to_goal,
    update_target,
)


def chain_store(length, episodes=1, outcome=SUCCESS):
    count = length * episodes
    return FrameStore(
        images={},
        state=np.arange(count, dtype=np.float32)[:, None],
        actions=None,
        starts=np.arange(episodes) * length,
        lengths=np.full(episodes, length),
        outcome=np.full(episodes, outcome, np.int8),
        success_index=np.full(episodes, length - 1 if outcome == SUCCESS else -1),
        episode_ids=[str(e) for e in range(episodes)],
        failure_kinds=[''] * episodes,
    )


@pytest.mark.parametrize(
    ('discount', 'steps', 'value'),
    [(0.99, 0, 0.0), (0.99, 1, -1.0), (0.99, 2, -1.99), (0.99, 10, -9.5618), (0.98, 10, -9.1464)],
)
def test_steps_to_goal_inverts_the_fixed_point(discount, steps, value):
    assert -(1 - discount**steps) / (1 - discount) == pytest.approx(value, abs=1e-4)
    found = steps_to_goal(torch.tensor(value, dtype=torch.float64), discount)
    assert float(found) == pytest.approx(steps, abs=1e-3)


def test_steps_to_goal_is_finite_at_the_lower_bound_and_zero_above_the_goal():
    found = steps_to_goal(torch.tensor([-100.0, -1e6, 3.0]), 0.99)
    assert torch.isfinite(found).all()
    assert found[2] == 0


def test_progress_rises_with_value_from_0_to_1():
    config = small_icvf(d_max=20.0)
    progress = progress_from_value(torch.tensor([-40.0, -16.0, -8.0, 0.0]), config)
    assert progress[0] == 0
    assert progress[-1] == 1
    assert (progress.diff() > 0).all()


def test_expectile_weights():
    weight = expectile_weight(torch.tensor([-1.0, 0.0, 2.0]), 0.9)
    torch.testing.assert_close(weight, torch.tensor([0.1, 0.9, 0.9]))


def test_loss_sums_over_heads_with_the_weight_of_the_intent_advantage():
    config = IcvfConfig(discount=0.5)
    loss, info = icvf_loss(
        value=torch.tensor([[0.0, -1.0], [-1.0, -2.0]]),
        next_value_goal=torch.tensor([[-2.0, -2.0], [-4.0, -4.0]]),
        next_value_intent=torch.tensor([[-2.0, -2.0], [-4.0, -4.0]]),
        value_intent=torch.tensor([[-2.0, -4.0], [-2.0, -4.0]]),
        goal_reached=torch.tensor([False, True]),
        intent_reached=torch.tensor([False, False]),
        config=config,
    )
    # Backups: sample 0 is -1 + .5 * (-2, -4) = (-2, -3), each head with its own target; sample 1
    # is 0, reached. Advantages with the smaller head: -1 + .5 * -4 - (-2, -4) = (-1, 1).
    expected = (0.1 * (2.0**2 + 2.0**2) + 0.9 * (1.0**2 + 2.0**2)) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(info['accept_probability']) == pytest.approx(0.5)


def test_without_intents_every_sample_has_the_upper_weight():
    one = torch.zeros(2, 1)
    reached = torch.tensor([False])
    loss, _ = icvf_loss(one, one, one - 50, one, reached, reached, IcvfConfig(no_intent=True))
    assert float(loss) == pytest.approx(2 * 0.9, rel=1e-4)


@pytest.mark.parametrize('head', ['monolithic', 'multilinear'])
def test_without_intents_a_value_does_not_depend_on_them(head):
    model = Icvf(small_icvf(head=head, no_intent=True))
    state, goal, intent = torch.randn(3, 4, model.latent_size)
    value = model.intent_values(state, goal, intent)
    torch.testing.assert_close(value, model.intent_values(state, goal, goal))
    pairs = model.pairwise_values(state, goal[:3])
    torch.testing.assert_close(pairs[:, range(3), range(3)], value[:, :3])


def test_the_target_moves_by_its_rate():
    model = Icvf(small_icvf())
    target = make_target(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    before = [p.clone() for p in target.parameters()]
    update_target(target, model, 0.005)
    for old, new in zip(before, target.parameters(), strict=True):
        torch.testing.assert_close(new - old, torch.full_like(old, 0.005), atol=1e-6, rtol=0)


def test_goals_are_drawn_with_the_probabilities_of_the_authors():
    store = chain_store(100, episodes=50)
    sampler = GoalSampler(store, np.arange(50), GoalProbabilities())
    current = np.full(40_000, 10)
    goals = sampler.sample_goals(np.random.default_rng(0), current)
    assert np.mean(goals == 10) == pytest.approx(0.2, abs=0.02)
    ahead = (goals > 10) & (goals < 100)
    assert np.mean(ahead) == pytest.approx(0.5 + 0.3 * 0.02, abs=0.02)
    assert np.mean(goals >= 100) == pytest.approx(0.3, abs=0.02)
    # Uniform over what is left of the episode, not geometric.
    assert np.mean(goals[ahead]) == pytest.approx(55, abs=1)


def test_goal_equals_intent_half_of_the_time():
    store = chain_store(50, episodes=40)
    sampler = GoalSampler(store, np.arange(40), GoalProbabilities(1.0, 0.0, 0.0))
    drawn = sampler.sample(np.random.default_rng(0), 20_000)
    assert np.mean(drawn.goal == drawn.intent) == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(
        drawn.next, np.minimum(drawn.current + 1, store.last[drawn.current])
    )


def test_task_goals_are_done_frames_of_any_success_and_count_as_reached_in_done_frames():
    store = chain_store(10, episodes=4)
    store.outcome[1] = -1
    store.success_index[:] = (7, -1, 7, 7)
    sampler = GoalSampler(store, np.arange(4), GoalProbabilities(task=1.0))
    drawn = sampler.sample(np.random.default_rng(0), 2_000)
    done = np.flatnonzero(store.done)
    np.testing.assert_array_equal(done, [7, 8, 9, 27, 28, 29, 37, 38, 39])
    assert set(drawn.goal) == set(done)
    np.testing.assert_array_equal(drawn.goal_reached, np.isin(drawn.current, done))


def test_without_task_goals_another_episode_is_never_reached():
    store = chain_store(10, episodes=2)
    sampler = GoalSampler(store, np.arange(2), GoalProbabilities())
    steps = sampler.steps_until(np.array([9, 9, 5, 5, 5]), np.array([19, 9, 5, 7, 4]))
    np.testing.assert_array_equal(steps == 0, [False, True, True, False, False])
    assert steps[3] == 2
    assert steps[4] > 1_000


def test_the_last_frame_of_an_unlabelled_clip_starts_no_transition():
    store = chain_store(5, episodes=2, outcome=0)
    sampler = GoalSampler(store, np.arange(2), GoalProbabilities(task=0.4))
    assert set(sampler.starts) == {0, 1, 2, 3, 5, 6, 7, 8}
    assert not any(len(goals) for goals in sampler.task_goals)


def test_several_steps_stop_at_the_goal_or_rest_in_the_last_frame():
    store = chain_store(10, episodes=2)
    store.outcome[1], store.success_index[:] = -1, (7, -1)
    sampler = GoalSampler(store, np.arange(2), GoalProbabilities(task=1.0), n_step=3)
    drawn = sampler.sample(np.random.default_rng(0), 3_000)
    done = np.flatnonzero(store.done)
    for frame, following, steps, reached in ((3, 6, 3, False), (5, 8, 2, True), (18, 19, 3, False)):
        row = np.flatnonzero((drawn.current == frame) & np.isin(drawn.goal, done))[0]
        assert drawn.next[row] == following
        assert (drawn.goal_steps[row], drawn.goal_reached[row]) == (steps, reached)


def test_rewards_of_several_steps_add_up():
    config = IcvfConfig(discount=0.5)
    reward, discount = rewards_and_discounts(
        torch.tensor([True, True, False]), torch.tensor([0, 2, 3]), config
    )
    torch.testing.assert_close(reward, torch.tensor([0.0, -1.5, -1.75]))
    torch.testing.assert_close(discount, torch.tensor([0.0, 0.0, 0.125]))


@pytest.mark.parametrize('n_step', [1, 3])
def test_a_table_learns_the_discounted_distances_of_a_chain(n_step):
    length = 6
    config = IcvfConfig(discount=0.9, ensemble=2)
    sampler = GoalSampler(chain_store(length), np.arange(1), GoalProbabilities(), n_step)
    table = torch.zeros(2, length, length, length, requires_grad=True)
    target = table.detach().clone()
    rng = np.random.default_rng(0)
    for _ in range(1500 // n_step):
        drawn = sampler.sample(rng, 256)
        s, following, g, z = (
            torch.from_numpy(index)
            for index in (drawn.current, drawn.next, drawn.goal, drawn.intent)
        )
        loss, _ = icvf_loss(
            table[:, s, g, z],
            target[:, following, g, z],
            target[:, following, z, z],
            target[:, s, z, z],
            torch.from_numpy(drawn.goal_reached),
            torch.from_numpy(drawn.intent_reached),
            config,
            torch.from_numpy(drawn.goal_steps),
            torch.from_numpy(drawn.intent_steps),
        )
        (gradient,) = torch.autograd.grad(loss * 256, table)
        with torch.no_grad():
            table -= 0.05 * gradient
            target.lerp_(table, 0.2)
    for s in range(length):
        for g in range(s, length):
            expected = -(1 - 0.9 ** (g - s)) / (1 - 0.9)
            torch.testing.assert_close(
                table[:, s, g, g].detach(), torch.full((2,), expected), atol=0.01, rtol=0.02
            )


@pytest.mark.parametrize('layer_norm', [True, False])
@pytest.mark.parametrize('head', ['monolithic', 'multilinear'])
def test_pairwise_values_equal_the_plain_forward(head, layer_norm):
    torch.manual_seed(0)
    model = Icvf(small_icvf(head=head, layer_norm=layer_norm))
    states, goals = (
        torch.randn(5, model.encoder.output_dim),
        torch.randn(3, model.encoder.output_dim),
    )
    pairs = model.pairwise_values(states, goals)
    assert pairs.shape == (2, 5, 3)
    for column, goal in enumerate(goals):
        repeated = goal.expand_as(states)
        torch.testing.assert_close(
            pairs[:, :, column],
            model.intent_values(states, repeated, repeated),
            atol=1e-4,
            rtol=1e-4,
        )


def test_the_multilinear_head_is_the_formula():
    torch.manual_seed(0)
    head = MultilinearHead(5, (7, 4), layer_norm=False)
    s, g, z = torch.randn(3, 2, 5)
    t = head.intent(head.goal(z))
    expected = sum(
        head.left(t * head.state(s))[:, k] * head.right(t * head.goal(g))[:, k] for k in range(4)
    )
    torch.testing.assert_close(head(s, g, z), expected)


@pytest.mark.parametrize('head', ['monolithic', 'multilinear'])
def test_a_network_learns_the_discounted_distances_of_a_chain(head):
    length = 6
    config = IcvfConfig(discount=0.9, head=head, hidden=(64, 64))
    sampler = GoalSampler(chain_store(length), np.arange(1), GoalProbabilities())
    torch.manual_seed(0)
    make = HEADS[head]
    heads = torch.nn.ModuleList(make(length, (64, 64), layer_norm=True) for _ in range(2))
    target = copy.deepcopy(heads).requires_grad_(False)
    optimizer = torch.optim.Adam(heads.parameters(), 2e-3)
    rng, eye = np.random.default_rng(0), torch.eye(length)

    def values(modules, *indices):
        return 5 * torch.stack([module(*(eye[i] for i in indices)) for module in modules])

    for step in range(1200):
        drawn = sampler.sample(rng, 128)
        s, following, g, z = drawn.current, drawn.next, drawn.goal, drawn.intent
        with torch.no_grad():
            ahead = values(target, following, g, z), values(target, following, z, z)
            here = values(target, s, z, z)
        reached = torch.from_numpy(drawn.goal_reached), torch.from_numpy(drawn.intent_reached)
        loss, _ = icvf_loss(values(heads, s, g, z), *ahead, here, *reached, config)
        optimizer.param_groups[0]['lr'] = 2e-3 * (1 - step / 1200)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_target(target, heads, 0.1)
    s, g = np.triu_indices(length)
    expected = -(1 - 0.9 ** torch.from_numpy(g - s)) / (1 - 0.9)
    learned = values(heads, s, g, g).detach().mean(0)
    torch.testing.assert_close(learned, expected.float(), rtol=0.02, atol=0.02)


def test_goals_of_the_own_trajectory_only_and_not_too_far():
    sampler = GoalSampler(
        chain_store(50, episodes=4),
        np.arange(4),
        GoalProbabilities(0.3, 0.5, 0.2, 0.0, max_distance=5, intent_same_trajectory=True),
    )
    rng = np.random.default_rng(0)
    current = np.full(4000, 10)
    intents = sampler.sample_goals(rng, current, same_trajectory=True)
    assert intents.min() == 10
    assert intents.max() == 15
    goals = sampler.sample_goals(rng, current)
    assert np.mean(goals > 15) == pytest.approx(0.3 * 184 / 200, abs=0.03)


def test_a_shift_moves_the_frame_shown_and_not_the_reward():
    store = chain_store(10, episodes=2)
    plain, moved = (
        GoalSampler(store, np.arange(2), GoalProbabilities(goal_shift=shift)).sample(
            np.random.default_rng(1), 64
        )
        for shift in (0, 1)
    )
    np.testing.assert_array_equal(np.minimum(plain.goal + 1, 19), moved.goal)
    np.testing.assert_array_equal(plain.goal_reached, moved.goal_reached)


def test_a_task_goal_is_of_the_same_instruction():
    store = chain_store(10, episodes=4)
    store.instructions = ['fold', 'fold', 'sort', 'sort']
    sampler = GoalSampler(store, np.arange(4), GoalProbabilities(task=1.0))
    rng = np.random.default_rng(0)
    for current, lowest, highest in ((3, 0, 19), (25, 20, 39)):
        goals = sampler.sample_goals(rng, np.full(200, current))
        assert lowest <= goals.min() <= goals.max() <= highest
    other = sampler.steps_until(np.array([3]), np.array([39]))
    assert other[0] > 1000


def test_bad_configurations_are_refused():
    with pytest.raises(UserError, match='sum to 1'):
        IcvfConfig(p_random=0.5)
    with pytest.raises(UserError, match='discount'):
        IcvfConfig(discount=1.0)


def test_dropout_is_behind_the_hidden_layers_and_only_while_training():
    torch.manual_seed(0)
    model = Icvf(small_icvf(head='multilinear', dropout=0.5))
    plain = Icvf(small_icvf(head='multilinear'))
    latents = torch.randn(4, model.latent_size)
    assert sum(isinstance(part, torch.nn.Dropout) for part in model.modules()) == 2 * 3 * 2
    assert not any(isinstance(part, torch.nn.Dropout) for part in plain.modules())
    model.train()
    twice = [model.intent_values(latents, latents, latents) for _ in range(2)]
    assert not torch.equal(*twice)
    model.eval()
    twice = [model.intent_values(latents, latents, latents) for _ in range(2)]
    assert torch.equal(*twice)
